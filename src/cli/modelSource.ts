import { extname, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { check, LinbpError } from '../errors.js';
import { kindOf } from '../io/read.js';
import { checkDefinition } from '../nn/checkDefinition.js';
import type { ModelDefinition } from '../nn/definition.js';
import { importOnnx } from '../onnx/index.js';
import { isModelName, modelDefinition } from '../nn/zoo/index.js';

/**
 * The network that `--model` names: one of linbp's by name, or a file: an ONNX model, or a module (`.js`, `.mjs`,
 * `.cjs`, `.ts`, `.mts`) that exports a definition. A module runs as the user's own code; nothing of an ONNX file runs.
 *
 * @param size height and width of images, for ONNX files that leave them open
 *
 * @throws LinbpError `unknown-model` with the nearest name, `missing-file`, `bad-argument`, `bad-shape`, or what
 *   `importOnnx` throws
 */
export async function openModel(name: string, size?: readonly [number, number]): Promise<ModelDefinition> {
  const ending = extname(name).toLowerCase();
  if (ending === '.onnx') return await importOnnx(name, size === undefined ? {} : { size });
  if (['.js', '.mjs', '.cjs', '.ts', '.mts'].includes(ending)) return importedModel(name);
  if (!isModelName(name) && (/[/\\]/.test(name) || ['.pt', '.pth', '.ckpt', '.safetensors', '.json'].includes(ending)))
    throw new LinbpError(
      'unknown-model',
      `${name} is no network: a file must end in .onnx, .js, .mjs, .cjs, .ts or .mts; weights are another option`,
      { field: 'model' },
    );
  return modelDefinition(name);
}

async function importedModel(path: string): Promise<ModelDefinition> {
  // The system would wait for ever for a pipe's writer, and an endless device has no end.
  const kind = await kindOf(path);
  check(kind !== undefined, 'missing-file', `no such file: ${path}`, 'model');
  check(kind === 'file', 'bad-file', `${path} is not a regular file`, 'model');
  let module: Record<string, unknown>;
  try {
    module = (await import(pathToFileURL(resolve(path)).href)) as Record<string, unknown>;
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    const why =
      code === 'ERR_UNKNOWN_FILE_EXTENSION'
        ? 'this Node runs no TypeScript; use Node 22.18 or newer, or compile it to JavaScript'
        : message;
    throw new LinbpError('bad-argument', `${path} cannot be imported: ${why}`, { field: 'model', cause });
  }
  const candidates = [module['default'], module['model'], module['definition'], ...Object.values(module)];
  const found = candidates.find((value) => typeof value === 'object' && value !== null && 'build' in value);
  if (found === undefined)
    throw new LinbpError(
      'bad-argument',
      `${path} exports no model definition; it needs "export ` +
        'default { name, input, classes, build(net, images) { ... } }"',
      { field: 'model' },
    );
  return checkDefinition(found, path);
}
