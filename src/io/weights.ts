import { basename, dirname, join } from 'node:path';
import { LinbpError, check } from '../errors.js';
import { firstBytes, readRange, withRegularFile } from './read.js';
import { readSafetensors, tensorAsFloat32 } from './safetensors.js';
import type { StoredTensor } from './safetensors.js';
import { readTorch } from './torch/index.js';
import { quoted } from './torch/quote.js';

/** A tensor of weights: its shape, and its values once they are asked for. */
export interface StoredWeight {
  readonly shape: readonly number[];
  /** A fresh float32 array in row-major order. Throws `bad-dtype` where there is no conversion. */
  values(): Promise<Float32Array>;
}

/** The index of sharded safetensors is JSON; a network of a hundred thousand tensors has 10 MB. */
const MAX_INDEX = 64 * 1024 * 1024;

/**
 * The tensors of a file of weights by name, whatever the format: safetensors, sharded safetensors (the index file,
 * `model.safetensors.index.json`) or PyTorch ({@link readTorch}). The content decides, not the name.
 *
 * @throws LinbpError `missing-file` or `bad-file`
 */
export async function readWeights(path: string): Promise<Map<string, StoredWeight>> {
  const first = await withRegularFile(path, ({ handle }) => firstBytes(handle, 64));
  const head = Buffer.from(first).toString('latin1');
  if (/^\s*\{/.test(head)) return readShards(path);
  // The header of a safetensors file: its length in eight bytes, then JSON.
  if (/^.{8}\s*\{/s.test(head) || path.endsWith('.safetensors')) return safetensors(path);
  const tensors = await readTorch(path);
  return new Map(
    [...tensors].map(([name, { shape, dtype, data }]) => [
      name,
      {
        shape,
        values: async () => {
          expectFloats(name, dtype, ['float32', 'float16', 'bfloat16', 'float64']);
          return data;
        },
      },
    ]),
  );
}

/** Integers are no weights: they belong to quantized networks, whose scales lie elsewhere. */
function expectFloats(name: string, dtype: string, floats: readonly string[]): void {
  check(
    floats.includes(dtype),
    'bad-dtype',
    `tensor ${quoted(name)} holds ${dtype}, expected ${floats.join(', ')}`,
    name,
  );
}

async function floats(tensor: StoredTensor): Promise<Float32Array> {
  expectFloats(tensor.name, tensor.dtype, ['F32', 'F16', 'BF16', 'F64']);
  return tensorAsFloat32(await tensor.read());
}

async function safetensors(path: string): Promise<Map<string, StoredWeight>> {
  const { tensors } = await readSafetensors(path);
  return new Map([...tensors].map(([name, tensor]) => [name, { shape: tensor.shape, values: () => floats(tensor) }]));
}

/** Sharded safetensors: `weight_map` names for each tensor the file, in the same folder, that holds it. */
async function readShards(path: string): Promise<Map<string, StoredWeight>> {
  const fail = (what: string, cause?: unknown): never => {
    throw new LinbpError('bad-file', `${path}: ${what}`, { field: path, cause });
  };
  const map = await readWeightMap(path, fail);
  const shards = new Map<string, Map<string, StoredWeight>>();
  const weights = new Map<string, StoredWeight>();
  for (const [name, file] of Object.entries(map)) {
    if (typeof file !== 'string' || file === '' || basename(file) !== file || file === '..')
      return fail(`tensor ${quoted(name)}: its file must lie in the same folder`);
    let shard = shards.get(file);
    if (shard === undefined) shards.set(file, (shard = await safetensors(join(dirname(path), file))));
    weights.set(name, shard.get(name) ?? fail(`${quoted(file)} does not hold tensor ${quoted(name)}`));
  }
  if (weights.size === 0) fail('the index names no tensors');
  return weights;
}

async function readWeightMap(
  path: string,
  fail: (what: string, cause?: unknown) => never,
): Promise<Record<string, unknown>> {
  try {
    const text = await withRegularFile(path, ({ handle, size }) => {
      check(size <= MAX_INDEX, 'bad-file', `${path}: an index of ${size} bytes, expected at most ${MAX_INDEX}`, path);
      return readRange(handle, 0, size, path);
    });
    const index = JSON.parse(text.toString('utf8')) as unknown;
    const map = typeof index === 'object' && index !== null && 'weight_map' in index ? index.weight_map : undefined;
    if (typeof map !== 'object' || map === null || Array.isArray(map))
      return fail('a JSON file without "weight_map", not an index of sharded safetensors');
    return map as Record<string, unknown>;
  } catch (cause) {
    if (cause instanceof SyntaxError) fail('not valid JSON', cause);
    throw cause;
  }
}
