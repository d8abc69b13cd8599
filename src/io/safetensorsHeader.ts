import { LinbpError } from '../errors.js';
import { quoted, quotedName, quotedPath, quotedValue } from '../quote.js';

/** Bytes of one element by dtype of safetensors, such as `F32`: 4. */
export const safetensorsItemBytes = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  F8_E5M2: 1,
  F8_E4M3: 1,
  I16: 2,
  U16: 2,
  F16: 2,
  BF16: 2,
  I32: 4,
  U32: 4,
  F32: 4,
  I64: 8,
  U64: 8,
  F64: 8,
} as const;

/** Element types of the safetensors format. */
export type SafetensorsDtype = keyof typeof safetensorsItemBytes;

/** One checked row of a safetensors header; the bytes are `begin` (included) to `end` (excluded) of the data part. */
export interface SafetensorsHeaderEntry {
  readonly name: string;
  readonly dtype: SafetensorsDtype;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

/** A checked safetensors header. */
export interface SafetensorsHeader {
  readonly metadata: Record<string, string>;
  readonly entries: readonly SafetensorsHeaderEntry[];
}

/**
 * Parses the JSON header of a safetensors file and checks every statement in it against the number of data bytes.
 *
 * @param source name of the file, for messages
 * @throws LinbpError `bad-file` naming the file and the tensor
 */
export function parseSafetensorsHeader(header: Uint8Array, dataBytes: number, source: string): SafetensorsHeader {
  const fail = (what: string, cause?: unknown): never => {
    throw new LinbpError('bad-file', `${quotedPath(source)}: ${what}`, { field: source, cause });
  };
  let text = '';
  let parsed: unknown;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(header);
    parsed = JSON.parse(text);
  } catch (cause) {
    fail('the header is not valid JSON', cause);
  }
  if (!isRecord(parsed)) return fail('the header is not a JSON object');
  const duplicate = findDuplicateKey(text);
  if (duplicate !== undefined) fail(`key ${quoted(duplicate)} occurs twice in the header`);

  const metadata: Record<string, string> = Object.create(null) as Record<string, string>;
  const entries: SafetensorsHeaderEntry[] = [];
  for (const [name, value] of Object.entries(parsed)) {
    if (name !== '__metadata__') {
      entries.push(parseEntry(name, value, dataBytes, (what) => fail(`tensor ${quotedName(name)}: ${what}`)));
      continue;
    }
    // Some writers say null where they have nothing to say.
    if (value === null) continue;
    if (!isRecord(value)) return fail('__metadata__ is not an object');
    for (const [key, item] of Object.entries(value)) {
      if (typeof item !== 'string') return fail(`__metadata__ entry ${quotedName(key)} is not a string`);
      metadata[key] = item;
    }
  }

  // Without gaps and overlaps nothing hides in the file and no two tensors share bytes.
  let position = 0;
  for (const entry of [...entries].sort((a, b) => a.begin - b.begin || a.end - b.end)) {
    if (entry.begin !== position) {
      fail(
        `tensor ${quotedName(entry.name)}: data begin at ${entry.begin}, expected ${position} ` +
          `(${entry.begin < position ? 'overlap' : 'gap'})`,
      );
    }
    position = entry.end;
  }
  if (position !== dataBytes) fail(`the tensors cover ${position} bytes, the file holds ${dataBytes}`);
  return { metadata, entries };
}

function parseEntry(
  name: string,
  value: unknown,
  dataBytes: number,
  fail: (what: string) => never,
): SafetensorsHeaderEntry {
  if (!isRecord(value)) return fail('the entry is not an object');
  const { dtype, shape, data_offsets: offsets } = value;
  // What is stored in a dtype of a later version of the format can be passed over, as long as nobody asks for it.
  if (typeof dtype !== 'string' || !/^[A-Z][A-Z0-9_]{0,31}$/.test(dtype))
    return fail(`unknown dtype ${quotedValue(dtype)}`);
  if (!Array.isArray(shape) || !shape.every(isCount))
    return fail(`shape ${quotedValue(shape)} is not a list of non-negative integers`);
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isCount))
    return fail(`data_offsets ${quotedValue(offsets)} are not two non-negative integers`);
  const [begin, end] = offsets as [number, number];
  if (begin > end || end > dataBytes)
    return fail(`data_offsets ${quotedValue(offsets)} are outside the ${dataBytes} bytes of data`);
  const known = Object.hasOwn(safetensorsItemBytes, dtype);
  let bytes: number = known ? safetensorsItemBytes[dtype as SafetensorsDtype] : 1;
  // A zero dimension makes the product zero, but the others must still not overflow on the way.
  for (const size of shape as number[]) {
    bytes *= size;
    if (!Number.isSafeInteger(bytes)) return fail(`shape ${quotedValue(shape)} overflows`);
  }
  if (known && bytes !== end - begin)
    return fail(`shape ${quotedValue(shape)} of ${dtype} needs ${bytes} bytes, data_offsets give ${end - begin}`);
  return { name, dtype: dtype as SafetensorsDtype, shape: Object.freeze([...(shape as number[])]), begin, end };
}

/**
 * The first key that occurs twice in one object of valid JSON text. `JSON.parse` keeps the last one silently, so two
 * readers of the same file could see different tensors.
 */
function findDuplicateKey(text: string): string | undefined {
  const scopes: (Set<string> | undefined)[] = [];
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (c === '{') scopes.push(new Set());
    else if (c === '[') scopes.push(undefined);
    else if (c === '}' || c === ']') scopes.pop();
    else if (c === '"') {
      const begin = i;
      for (i++; text[i] !== '"'; i++) if (text[i] === '\\') i++;
      let next = i + 1;
      while (text[next] === ' ' || text[next] === '\n' || text[next] === '\r' || text[next] === '\t') next++;
      const keys = scopes.at(-1);
      // In valid JSON a string is followed by a colon exactly when it is a key.
      if (text[next] !== ':' || keys === undefined) continue;
      const key = JSON.parse(text.slice(begin, i + 1)) as string;
      if (keys.has(key)) return key;
      keys.add(key);
    }
  }
  return undefined;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
