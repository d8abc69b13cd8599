import { LinbpError, check } from '../../errors.js';
import { torchItemBytes } from './dtypes.js';
import { TorchObjects } from './objects.js';
import type { StorageReference } from './objects.js';
import { readPickle } from './pickle.js';
import { quoted } from './quote.js';
import { openArchive } from './zip.js';
import type { Archive } from './zip.js';

/** An opened PyTorch file. */
export interface TorchFile {
  readonly source: string;
  /** What was saved. */
  readonly value: unknown;
  /** The bytes of a storage, little-endian; of a part of a storage, those of the whole. */
  storage(reference: StorageReference): Promise<Uint8Array>;
  close(): void;
}

/** A pickle of names and shapes; ResNet-152's has 100 kB. */
const MAX_PICKLE = 64 * 1024 * 1024;

/** Opens the zip format (PyTorch 1.6 and later): `ROOT/data.pkl` and a record `ROOT/data/KEY` for each storage. */
export async function readZip(pathOrBytes: string | Uint8Array, source: string): Promise<TorchFile> {
  const archive = await openArchive(pathOrBytes, source);
  try {
    const root = rootOf(archive);
    const objects = new TorchObjects(source);
    const { value } = readPickle(await archive.read(`${root}data.pkl`, MAX_PICKLE), objects, source);
    const order = archive.names.includes(`${root}byteorder`)
      ? Buffer.from(await archive.read(`${root}byteorder`, 16)).toString('latin1')
      : 'little';
    check(order === 'little' || order === 'big', 'bad-file', `${source}: byte order ${quoted(order)}`, source);
    return { source, value, storage: storageReader(archive, root, order === 'big'), close: () => archive.close() };
  } catch (error) {
    archive.close();
    throw error;
  }
}

function rootOf(archive: Archive): string {
  const { names, source } = archive;
  const scripted = names.some((name) => /(^|\/)(constants\.pkl|code\/)/.test(name));
  if (scripted)
    throw new LinbpError(
      'bad-file',
      `${source} is a TorchScript archive; save the weights with torch.save(model.state_dict(), FILE), or ` +
        'export the network with torch.onnx.export(...)',
      { field: source },
    );
  const pickles = names.filter((name) => /^([^/]+\/)?data\.pkl$/.test(name));
  check(
    pickles.length === 1,
    'bad-file',
    `${source}: a zip archive ${pickles.length === 0 ? 'without' : 'with more than one'} data.pkl, not a PyTorch file`,
    source,
  );
  return pickles[0]!.slice(0, -'data.pkl'.length);
}

function storageReader(archive: Archive, root: string, swapped: boolean): TorchFile['storage'] {
  // Tensors that share a storage usually follow each other; keeping one is enough and bounds memory.
  let kept: { key: string; bytes: Uint8Array } | undefined;
  return async ({ key, dtype, count, offset }) => {
    if (kept?.key === key) return kept.bytes;
    const item = torchItemBytes[dtype];
    const needed = (offset + count) * item;
    const bytes = await archive.read(`${root}data/${key}`, needed + 4096);
    check(
      bytes.length >= needed,
      'bad-file',
      `${archive.source}: storage ${quoted(key)} has ${bytes.length} bytes, its tensors need ${needed}`,
      archive.source,
    );
    kept = { key, bytes: swapped ? swap(bytes, item) : bytes };
    return kept.bytes;
  };
}

function swap(bytes: Uint8Array, item: number): Uint8Array {
  const swapped = new Uint8Array(bytes.length);
  const whole = bytes.length - (bytes.length % item);
  for (let i = 0; i < whole; i += item) for (let k = 0; k < item; k++) swapped[i + k] = bytes[i + item - 1 - k]!;
  return swapped;
}
