import { join, relative } from 'node:path';
import { constants, gunzipSync } from 'node:zlib';
import { LinbpError } from '../errors.js';
import { kindOf } from '../io/read.js';

/** The folder with the data sets: as given, or the environment's `LINBP_DATA`. */
export function dataFolderOrEnvironment(given: string | undefined): string | undefined {
  return given ?? (process.env['LINBP_DATA'] || undefined);
}

/**
 * The first of some files that exists, each tried as it is and with `.gz`.
 *
 * @param dataFolder the folder of all data sets; `undefined` when none is set
 * @param candidates paths inside it, in order of preference
 */
export async function findFile(
  dataFolder: string | undefined,
  candidates: readonly string[],
): Promise<string | undefined> {
  if (dataFolder === undefined) return undefined;
  for (const candidate of candidates) {
    for (const path of [join(dataFolder, candidate), join(dataFolder, `${candidate}.gz`)]) {
      if ((await kindOf(path)) === 'file') return path;
    }
  }
  return undefined;
}

/** As {@link findFile}; @throws LinbpError `missing-data` naming what was looked for and how to point to it */
export async function requireFile(
  dataFolder: string | undefined,
  candidates: readonly string[],
  dataset: string,
): Promise<string> {
  const found = await findFile(dataFolder, candidates);
  if (found === undefined) throw missingData(dataFolder, candidates, dataset);
  return found;
}

/** The error for data that are not there. */
export function missingData(
  dataFolder: string | undefined,
  candidates: readonly string[],
  dataset: string,
): LinbpError {
  const [first, ...others] = candidates;
  const also = others.length > 0 ? ` (or ${others.join(', ')})` : '';
  const where = dataFolder === undefined ? 'no data folder is set' : `not in ${dataFolder}`;
  const message =
    `data set ${dataset}: missing ${first}, plain or .gz${also}: ` +
    `${where}; set --data DIR or LINBP_DATA to the folder that holds it`;
  return new LinbpError('missing-data', message, {
    field: dataFolder === undefined ? 'data' : relative('.', join(dataFolder, first ?? '')),
  });
}

/** Whether content begins as gzip does, whatever the file is called. */
export function isGzip(bytes: Uint8Array): boolean {
  return bytes[0] === 0x1f && bytes[1] === 0x8b;
}

/**
 * The first bytes of gzip or plain content, at least `wanted` if there are so many.
 *
 * Only the first 64 KiB are unpacked, so that a bomb cannot cost more than their thousandfold.
 */
export function firstBytes(bytes: Uint8Array, wanted: number, source: string): Uint8Array {
  if (!isGzip(bytes)) return bytes.subarray(0, wanted);
  try {
    return gunzipSync(bytes.subarray(0, 65536), { finishFlush: constants.Z_SYNC_FLUSH }).subarray(0, wanted);
  } catch (cause) {
    throw new LinbpError('bad-file', `${source}: damaged gzip data: ${(cause as Error).message}`, {
      field: source,
      cause,
    });
  }
}

/**
 * Gzip or plain content, unpacked.
 *
 * @param maxBytes what the format promises; unpacking stops there
 * @throws LinbpError `bad-file` for damaged data or more than `maxBytes`
 */
export function unpack(bytes: Buffer, maxBytes: number, source: string): Buffer {
  const tooLong = () =>
    new LinbpError('bad-file', `${source}: holds more than the expected ${maxBytes} bytes`, { field: source });
  if (!isGzip(bytes)) {
    if (bytes.length > maxBytes) throw tooLong();
    return bytes;
  }
  try {
    return gunzipSync(bytes, { maxOutputLength: Math.max(maxBytes, 1) });
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') throw tooLong();
    throw new LinbpError('bad-file', `${source}: damaged gzip data: ${(cause as Error).message}`, {
      field: source,
      cause,
    });
  }
}
