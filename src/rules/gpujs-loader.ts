import { fileURLToPath } from 'node:url';
import { isThere } from '../io/folders.js';
import { LinbpError } from '../errors.js';

/** The settings of gpu.js' function node that matter for translating one function. */
export interface FunctionNodeSettings {
  /** Name of the function in the source; the WGSL name is this with gpu.js' prefix. */
  name: string;
  argumentNames?: string[];
  /** gpu.js type names, `Number` for f32. */
  argumentTypes?: string[];
  returnType?: string;
  /** gpu.js insists on one even for a function that writes no output; any positive size will do. */
  output: number[];
  isRootKernel?: boolean;
  precision?: 'single' | 'unsigned';
  constants?: Record<string, unknown>;
  constantTypes?: Record<string, string>;
  lookupReturnType?: (name: string, ast: unknown, node: FunctionNode) => string | undefined;
  lookupFunctionArgumentTypes?: (name: string) => string[] | undefined;
  lookupFunctionArgumentName?: (functionName: string, index: number) => string;
  lookupFunctionArgumentBitRatio?: (functionName: string, argumentName: string) => number;
  needsArgumentType?: (functionName: string, index: number) => boolean;
  assignArgumentType?: (functionName: string, index: number, type: string) => void;
  triggerImplyArgumentType?: (...args: unknown[]) => void;
  triggerImplyArgumentBitRatio?: (...args: unknown[]) => void;
  onNestedFunction?: (ast: unknown, source: string) => void;
  onFunctionCall?: (caller: string, callee: string, args: unknown[]) => void;
}

/** A parsed JavaScript function that prints itself as WGSL. */
export interface FunctionNode {
  readonly name: string;
  readonly argumentNames: string[];
  readonly argumentTypes: string[];
  readonly returnType: string;
  /** The WGSL text of the function. Throws gpu.js' own error for JavaScript that it cannot translate. */
  toString(): string;
}

/** The part of gpu.js that is packed into linbp. */
export interface GpujsTranslator {
  readonly WGSLFunctionNode: new (
    source: string | ((...args: number[]) => number),
    settings: FunctionNodeSettings,
  ) => FunctionNode;
  readonly FunctionBuilder: unknown;
}

let loading: Promise<GpujsTranslator> | undefined;

/**
 * Loads gpu.js' JavaScript-to-WGSL translator on first use. It is packed at build time by `scripts/bundle-gpujs.mjs`,
 * without gpu.js' own GPU modules, so no second Dawn is ever installed.
 *
 * @throws LinbpError `missing-package` where the build step has not been run
 */
export async function loadFunctionNode(): Promise<GpujsTranslator> {
  const url = new URL('../vendor/gpujs.mjs', import.meta.url);
  if (!loading && !(await isThere(fileURLToPath(url)))) {
    throw new LinbpError(
      'missing-package',
      'The translator for JavaScript rules is missing from this build; run "npm run build".',
      { field: 'rule' },
    );
  }
  loading ??= import(url.href) as Promise<GpujsTranslator>;
  return loading;
}
