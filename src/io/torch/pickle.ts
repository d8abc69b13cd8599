import { LinbpError } from '../../errors.js';
import { quoted } from './quote.js';

/** A class or function that a pickle names. It is a name only: nothing is ever looked up or called. */
export class PickleGlobal {
  constructor(
    readonly module: string,
    readonly name: string,
  ) {}

  get path(): string {
    return `${this.module}.${this.name}`;
  }
}

/** What `REDUCE`, `NEWOBJ` and the like would have made of a name and its arguments. */
export interface PickleCall {
  readonly global: PickleGlobal;
  readonly args: readonly unknown[];
}

/** A Python tuple. */
export class PickleTuple {
  constructor(readonly items: readonly unknown[]) {}
}

/** A Python dictionary (also an `OrderedDict`), in insertion order. */
export class PickleDict {
  readonly entries = new Map<unknown, unknown>();
}

/** Something harmless that was read past, such as the arguments of a training script. */
export class PickleOpaque {
  constructor(readonly what: string) {}
}

/** Decides what a pickle may contain; whatever it does not know it refuses by throwing. */
export interface PickleHost {
  /** A name was mentioned. Throws for names that no file of weights needs. */
  allow(global: PickleGlobal): void;
  /** The value of a call. */
  call(call: PickleCall): unknown;
  /** The value behind a persistent id, such as a storage. */
  persistent(id: unknown): unknown;
}

/** Nested values beyond this are refused; a state dict needs a dozen. */
const MAX_STACK = 4_000_000;

const MARK = Symbol('mark');

/**
 * Reads one pickle (protocols 0 to 5) without executing anything: numbers, strings, tuples, lists and dictionaries
 * become values, names stay names, and every call is put to the host. All lengths are checked against the bytes
 * that there are before anything is allocated.
 *
 * Source of the format: CPython's `Lib/pickletools.py`, which documents each opcode.
 *
 * @param start where the pickle begins
 * @returns the value, and where the next byte after the pickle is
 * @throws LinbpError `bad-file`
 */
export function readPickle(
  bytes: Uint8Array,
  host: PickleHost,
  source: string,
  start = 0,
): { readonly value: unknown; readonly end: number } {
  return new Unpickler(bytes, host, source, start).run();
}

type Handler = (machine: Unpickler) => void;

class Unpickler {
  private readonly view: DataView;
  private readonly text = new TextDecoder('utf-8', { fatal: true });
  private stack: unknown[] = [];
  private readonly memo = new Map<number, unknown>();
  private finished = false;

  constructor(
    private readonly bytes: Uint8Array,
    readonly host: PickleHost,
    readonly source: string,
    private position: number,
  ) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  run(): { value: unknown; end: number } {
    while (!this.finished) {
      const opcode = this.byte();
      const handler = opcodes[opcode];
      if (handler === undefined) this.fail(`unknown opcode 0x${opcode.toString(16)} at byte ${this.position - 1}`);
      handler(this);
      if (this.stack.length > MAX_STACK) this.fail('too many nested values');
    }
    return { value: this.pop(), end: this.position };
  }

  fail(what: string): never {
    throw new LinbpError('bad-file', `${this.source}: not a readable pickle: ${what}`, { field: this.source });
  }

  finish(): void {
    this.finished = true;
  }

  private need(count: number): number {
    const at = this.position;
    if (!(count >= 0 && count <= this.bytes.length - at))
      this.fail(`it claims ${count} bytes at byte ${at}, the file ends after ${this.bytes.length - at}`);
    this.position = at + count;
    return at;
  }

  byte(): number {
    return this.bytes[this.need(1)]!;
  }

  uint16(): number {
    return this.view.getUint16(this.need(2), true);
  }

  int32(): number {
    return this.view.getInt32(this.need(4), true);
  }

  uint32(): number {
    return this.view.getUint32(this.need(4), true);
  }

  length64(): number {
    const length = this.view.getBigUint64(this.need(8), true);
    return length > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : Number(length);
  }

  float64(): number {
    return this.view.getFloat64(this.need(8), false);
  }

  take(count: number): Uint8Array {
    const at = this.need(count);
    return this.bytes.subarray(at, at + count);
  }

  string(count: number): string {
    const taken = this.take(count);
    try {
      return this.text.decode(taken);
    } catch {
      return this.fail('a string is not UTF-8');
    }
  }

  line(): string {
    const end = this.bytes.indexOf(10, this.position);
    if (end < 0) this.fail('a line does not end');
    const line = this.string(end - this.position);
    this.position = end + 1;
    return line;
  }

  /** A little-endian two's complement integer; one that is safe becomes a number. */
  long(count: number): number | bigint {
    if (count > 1024) this.fail(`an integer of ${count} bytes`);
    const digits = this.take(count);
    let value = 0n;
    for (let i = count - 1; i >= 0; i--) value = (value << 8n) | BigInt(digits[i]!);
    if (count > 0 && digits[count - 1]! & 0x80) value -= 1n << BigInt(8 * count);
    return this.integer(value);
  }

  integer(value: bigint): number | bigint {
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : value;
  }

  push(value: unknown): void {
    this.stack.push(value);
  }

  pop(): unknown {
    if (this.stack.length === 0 || this.stack.at(-1) === MARK) this.fail('a value is missing');
    return this.stack.pop();
  }

  top(): unknown {
    if (this.stack.length === 0 || this.stack.at(-1) === MARK) this.fail('a value is missing');
    return this.stack.at(-1);
  }

  mark(): void {
    this.stack.push(MARK);
  }

  /** Removes and returns what lies above the last mark. */
  popMark(): unknown[] {
    const at = this.stack.lastIndexOf(MARK);
    if (at < 0) this.fail('a mark is missing');
    const items = this.stack.splice(at);
    items.shift();
    return items;
  }

  popRaw(): void {
    if (this.stack.length === 0) this.fail('a value is missing');
    this.stack.pop();
  }

  store(index: number): void {
    this.memo.set(index, this.top());
  }

  memoize(): void {
    this.store(this.memo.size);
  }

  recall(index: number): void {
    if (!this.memo.has(index)) this.fail(`value ${index} was never stored`);
    this.push(this.memo.get(index));
  }

  name(module: string, name: string): void {
    const global = new PickleGlobal(module, name);
    this.host.allow(global);
    this.push(global);
  }

  call(callable: unknown, args: unknown): unknown {
    if (!(callable instanceof PickleGlobal)) return this.fail('a call of something that is not a name');
    if (!(args instanceof PickleTuple)) return this.fail(`a call of ${quoted(callable.path)} without a tuple`);
    return this.host.call({ global: callable, args: args.items });
  }

  append(list: unknown, items: readonly unknown[]): void {
    if (list instanceof PickleOpaque) return;
    if (!Array.isArray(list)) this.fail('values are appended to something that is not a list');
    for (const item of items) list.push(item);
  }

  assign(target: unknown, items: readonly unknown[]): void {
    if (target instanceof PickleOpaque) return;
    if (!(target instanceof PickleDict)) this.fail('items are set in something that is not a dictionary');
    if (items.length % 2 !== 0) this.fail('a key without a value');
    for (let i = 0; i < items.length; i += 2) target.entries.set(items[i], items[i + 1]);
  }
}

/** What each opcode does, by its byte; names as in `pickletools`. */
const opcodes: Readonly<Record<number, Handler>> = table({
  // PROTO, FRAME: the number says nothing that the opcodes do not say.
  0x80: (m) => void m.byte(),
  0x95: (m) => void m.length64(),
  '.': (m) => m.finish(),
  '(': (m) => m.mark(),
  '0': (m) => m.popRaw(),
  '1': (m) => void m.popMark(),
  '2': (m) => m.push(m.top()),
  N: (m) => m.push(null),
  0x88: (m) => m.push(true),
  0x89: (m) => m.push(false),
  // INT, LONG, FLOAT: decimal text of protocol 0; 00 and 01 are the booleans.
  I: (m) => {
    const text = m.line();
    m.push(text === '00' || text === '01' ? text === '01' : m.integer(decimal(m, text)));
  },
  L: (m) => m.push(m.integer(decimal(m, m.line().replace(/L$/, '')))),
  F: (m) => m.push(Number(m.line())),
  J: (m) => m.push(m.int32()),
  K: (m) => m.push(m.byte()),
  M: (m) => m.push(m.uint16()),
  0x8a: (m) => m.push(m.long(m.byte())),
  0x8b: (m) => m.push(m.long(m.uint32())),
  G: (m) => m.push(m.float64()),
  // Strings and bytes.
  S: (m) => m.push(unquoted(m, m.line())),
  V: (m) => m.push(m.line()),
  U: (m) => m.push(latin1(m.take(m.byte()))),
  T: (m) => m.push(latin1(m.take(m.uint32()))),
  X: (m) => m.push(m.string(m.uint32())),
  0x8c: (m) => m.push(m.string(m.byte())),
  0x8d: (m) => m.push(m.string(m.length64())),
  C: (m) => m.push(m.take(m.byte())),
  B: (m) => m.push(m.take(m.uint32())),
  0x8e: (m) => m.push(m.take(m.length64())),
  0x96: (m) => m.push(m.take(m.length64())),
  // Containers.
  ')': (m) => m.push(new PickleTuple([])),
  t: (m) => m.push(new PickleTuple(m.popMark())),
  0x85: (m) => m.push(new PickleTuple([m.pop()])),
  0x86: (m) => m.push(tupleOf(m, 2)),
  0x87: (m) => m.push(tupleOf(m, 3)),
  ']': (m) => m.push([]),
  l: (m) => m.push(m.popMark()),
  a: (m) => {
    const item = m.pop();
    m.append(m.top(), [item]);
  },
  e: (m) => {
    const items = m.popMark();
    m.append(m.top(), items);
  },
  '}': (m) => m.push(new PickleDict()),
  d: (m) => {
    const items = m.popMark();
    m.push(new PickleDict());
    m.assign(m.top(), items);
  },
  s: (m) => {
    const value = m.pop();
    const key = m.pop();
    m.assign(m.top(), [key, value]);
  },
  u: (m) => {
    const items = m.popMark();
    m.assign(m.top(), items);
  },
  // Sets are never weights.
  0x8f: (m) => m.push(new PickleOpaque('set')),
  0x90: (m) => void m.popMark(),
  0x91: (m) => {
    m.popMark();
    m.push(new PickleOpaque('set'));
  },
  // The memo.
  p: (m) => m.store(Number(decimal(m, m.line()))),
  q: (m) => m.store(m.byte()),
  r: (m) => m.store(m.uint32()),
  0x94: (m) => m.memoize(),
  g: (m) => m.recall(Number(decimal(m, m.line()))),
  h: (m) => m.recall(m.byte()),
  j: (m) => m.recall(m.uint32()),
  // Names and calls.
  c: (m) => {
    const module = m.line();
    m.name(module, m.line());
  },
  0x93: (m) => {
    const name = m.pop();
    const module = m.pop();
    if (typeof name !== 'string' || typeof module !== 'string') return m.fail('a name that is not text');
    m.name(module, name);
  },
  R: (m) => {
    const args = m.pop();
    m.push(m.call(m.pop(), args));
  },
  0x81: (m) => {
    const args = m.pop();
    m.push(m.call(m.pop(), args));
  },
  0x92: (m) => {
    m.pop();
    const args = m.pop();
    m.push(m.call(m.pop(), args));
  },
  i: (m) => {
    const module = m.line();
    const name = m.line();
    const args = m.popMark();
    m.name(module, name);
    m.push(m.call(m.pop(), new PickleTuple(args)));
  },
  o: (m) => {
    const [callable, ...args] = m.popMark();
    m.push(m.call(callable, new PickleTuple(args)));
  },
  // BUILD: attributes of an object (an OrderedDict's `_metadata`, a parameter's hooks); none of them is a weight.
  b: (m) => void m.pop(),
  P: (m) => m.push(m.host.persistent(m.line())),
  Q: (m) => m.push(m.host.persistent(m.pop())),
});

function table(named: Readonly<Record<string, Handler>>): Record<number, Handler> {
  return Object.fromEntries(
    Object.entries(named).map(([key, handler]) => [/^\d\d+$/.test(key) ? Number(key) : key.charCodeAt(0), handler]),
  );
}

function decimal(machine: Unpickler, text: string): bigint {
  if (!/^-?\d{1,2000}$/.test(text)) return machine.fail(`${quoted(text)} is not an integer`);
  return BigInt(text);
}

function tupleOf(machine: Unpickler, count: number): PickleTuple {
  const items: unknown[] = [];
  for (let i = 0; i < count; i++) items.unshift(machine.pop());
  return new PickleTuple(items);
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}

function unquoted(machine: Unpickler, text: string): string {
  const match = /^(['"])(.*)\1$/.exec(text);
  if (match === null) return machine.fail('a string without quotes');
  return match[2]!;
}
