import { crc32 } from 'node:zlib';
import type { Entry, Options, ZipFile } from 'yauzl';
import { LinbpError, check } from '../../errors.js';
import { quoted } from './quote.js';

/** A zip archive whose records are read one by one. */
export interface Archive {
  readonly source: string;
  /** Names of all records, folders left out. */
  readonly names: readonly string[];
  /**
   * The content of a record, its checksum verified.
   *
   * @param maxBytes refuse, before anything is allocated, a record that claims more
   * @throws LinbpError `bad-file`
   */
  read(name: string, maxBytes: number): Promise<Uint8Array>;
  close(): void;
}

/** Deflate makes at most about 1,032 bytes of one; a record that claims more lies. */
const MAX_RATIO = 1100;
/** What all compressed records together may grow to beyond their own size, so that a small file stays small. */
const MAX_INFLATED = 256 * 1024 * 1024;

/** Opens a zip archive, zip64 included. Throws LinbpError `bad-file`. */
export async function openArchive(pathOrBytes: string | Uint8Array, source: string): Promise<Archive> {
  const yauzl = await import('yauzl');
  const options: Options = { lazyEntries: true, autoClose: false, validateEntrySizes: true, strictFileNames: false };
  const zip = await new Promise<ZipFile>((resolve, reject) => {
    const done = (error: Error | null, file: ZipFile): void => (error === null ? resolve(file) : reject(error));
    if (typeof pathOrBytes !== 'string') yauzl.fromBuffer(Buffer.from(pathOrBytes), options, done);
    else yauzl.open(pathOrBytes, options, done);
  }).catch((error: unknown) => {
    throw broken(source, error);
  });
  try {
    return archiveOf(zip, await listEntries(zip, source), source);
  } catch (error) {
    zip.close();
    throw error;
  }
}

function archiveOf(zip: ZipFile, entries: ReadonlyMap<string, Entry>, source: string): Archive {
  let inflated = 0;
  return {
    source,
    names: [...entries.keys()],
    async read(name, maxBytes) {
      const entry = entries.get(name);
      check(entry !== undefined, 'bad-file', `${source}: the archive has no record ${quoted(name)}`, source);
      checkEntry(entry, name, maxBytes, source);
      if (entry.compressionMethod !== 0) inflated += entry.uncompressedSize;
      const limit = Math.max(MAX_INFLATED, 20 * zip.fileSize);
      check(inflated <= limit, 'bad-file', `${source}: its records grow beyond ${limit} bytes`, source);
      return content(zip, entry, name, source);
    },
    close: () => zip.close(),
  };
}

function checkEntry(entry: Entry, name: string, maxBytes: number, source: string): void {
  const { compressedSize, uncompressedSize } = entry;
  const stored = entry.compressionMethod === 0;
  check(!entry.isEncrypted(), 'bad-file', `${source}: record ${quoted(name)} is encrypted`, source);
  check(
    stored || entry.compressionMethod === 8,
    'bad-file',
    `${source}: record ${quoted(name)} is compressed by method ${entry.compressionMethod}; only deflate can be read`,
    source,
  );
  check(
    uncompressedSize <= maxBytes,
    'bad-file',
    `${source}: record ${quoted(name)} claims ${uncompressedSize} bytes, expected at most ${maxBytes}`,
    source,
  );
  check(
    stored ? compressedSize === uncompressedSize : uncompressedSize <= MAX_RATIO * compressedSize + 64,
    'bad-file',
    `${source}: record ${quoted(name)} claims ${uncompressedSize} bytes from ${compressedSize}`,
    source,
  );
}

function content(zip: ZipFile, entry: Entry, name: string, source: string): Promise<Uint8Array> {
  return new Promise<Uint8Array>((resolve, reject) => {
    zip.openReadStream(entry, (error, stream) => {
      if (error !== null) return reject(broken(source, error, name));
      const bytes = new Uint8Array(entry.uncompressedSize);
      let length = 0;
      stream.on('error', (cause: Error) => reject(broken(source, cause, name)));
      stream.on('data', (chunk: Uint8Array) => {
        if (length + chunk.length <= bytes.length) bytes.set(chunk, length);
        length += chunk.length;
      });
      stream.on('end', () => {
        if (length === bytes.length && crc32(bytes) === entry.crc32) resolve(bytes);
        else
          reject(
            new LinbpError('bad-file', `${source}: record ${quoted(name)} is damaged (checksum)`, { field: source }),
          );
      });
    });
  });
}

/** All records by name; refuses archives that list a name twice, since two readers could see different contents. */
function listEntries(zip: ZipFile, source: string): Promise<Map<string, Entry>> {
  return new Promise((resolve, reject) => {
    const entries = new Map<string, Entry>();
    zip.on('error', (error: Error) => reject(broken(source, error)));
    zip.on('end', () => resolve(entries));
    zip.on('entry', (entry: Entry) => {
      if (entries.has(entry.fileName))
        return reject(new LinbpError('bad-file', `${source}: a record is listed twice`, { field: source }));
      if (!entry.fileName.endsWith('/')) entries.set(entry.fileName, entry);
      zip.readEntry();
    });
    zip.readEntry();
  });
}

function broken(source: string, cause: unknown, name?: string): LinbpError {
  const where = name === undefined ? 'not a readable zip archive' : `record ${quoted(name)} cannot be read`;
  return new LinbpError('bad-file', `${source}: ${where} (${quoted((cause as Error).message)})`, {
    field: source,
    cause,
  });
}
