import { terminalText } from './quote.js';

/** Machine-readable reasons for a {@link LinbpError}. */
export type LinbpErrorCode =
  | 'bad-argument'
  | 'bad-shape'
  | 'bad-dtype'
  | 'bad-range'
  | 'bad-file'
  | 'unknown-option'
  | 'unknown-model'
  | 'unknown-rule'
  | 'unknown-layer'
  | 'missing-file'
  | 'missing-data'
  | 'missing-package'
  | 'not-writable'
  | 'no-adapter'
  | 'unsupported'
  | 'device-lost'
  | 'gpu-error'
  | 'disposed'
  | 'limit-exceeded'
  | 'diverged'
  | 'aborted'
  | 'unreachable'
  | 'internal';

/**
 * The one error type that linbp throws for anything a caller can get wrong or a machine can lack.
 * Messages about arguments name the field, what was expected and what came. Control characters in a message are
 * escaped and what is too long for one is left out, since part of it may come from a file.
 */
export class LinbpError extends Error {
  /** Stable machine-readable reason. */
  readonly code: LinbpErrorCode;
  /** The option, tensor, file or field the error is about. */
  readonly field: string | undefined;

  constructor(code: LinbpErrorCode, message: string, options: { field?: string; cause?: unknown } = {}) {
    super(terminalText(message), options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'LinbpError';
    this.code = code;
    this.field = options.field;
  }
}

/** Throws a {@link LinbpError} unless `condition` holds. */
export function check(condition: unknown, code: LinbpErrorCode, message: string, field?: string): asserts condition {
  if (!condition) throw new LinbpError(code, message, field === undefined ? {} : { field });
}
