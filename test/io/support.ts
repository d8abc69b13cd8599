import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { LinbpError, type LinbpErrorCode } from '../../src/errors.js';

/** A fresh folder that is removed after each test of the enclosing suite. */
export function temporaryFolder(): () => string {
  let folder = '';
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'linbp-test-'));
  });
  afterEach(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  return () => folder;
}

/** Asserts that `run` fails with one LinbpError of this code whose message matches every pattern. */
export async function expectLinbpError(
  run: () => unknown,
  code: LinbpErrorCode,
  ...patterns: RegExp[]
): Promise<LinbpError> {
  let error: unknown;
  try {
    await run();
  } catch (caught) {
    error = caught;
  }
  expect(error, 'nothing was thrown').to.be.instanceOf(LinbpError);
  const failure = error as LinbpError;
  expect(failure.code, failure.message).to.equal(code);
  for (const pattern of patterns) expect(failure.message).to.match(pattern);
  return failure;
}

/** Whole numbers 0 (included) to `limit` (excluded), fresh in every run. */
export function randomInteger(limit: number): number {
  return Math.floor(Math.random() * limit);
}
