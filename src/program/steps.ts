import { expectObject } from '../arguments.js';
import { check } from '../errors.js';

/** Fields of a program's step table: values that change from step to step of a repeated segment. */
export type StepFields = Readonly<Record<string, 'f32' | 'u32'>>;

/** Bytes of a row: the largest alignment a dynamic offset can need. */
export const rowBytes = 256;

/**
 * Host copy of a step table. Word 0 of each row is the row's number, from 0; named fields follow, up to 63, each an f32
 * or u32 word; a row takes 256 bytes. A program reads the rows on the GPU; nothing that changes per step is recorded in
 * a dispatch.
 */
export class StepTable {
  readonly rows: number;
  readonly bytes: ArrayBuffer;
  private readonly words = new Map<string, number>();
  private readonly fields: StepFields;
  private readonly f32: Float32Array;
  private readonly u32: Uint32Array;

  constructor(fields: StepFields, rows: number) {
    expectObject(fields, 'fields');
    const names = Object.keys(fields);
    check(names.length < 64, 'limit-exceeded', `a step row holds 63 fields, got ${names.length}`, 'steps');
    check(
      Number.isInteger(rows) && rows >= 1,
      'bad-range',
      `steps: rows must be a positive integer, got ${rows}`,
      'steps',
    );
    this.fields = fields;
    this.rows = rows;
    this.bytes = new ArrayBuffer(rows * rowBytes);
    this.f32 = new Float32Array(this.bytes);
    this.u32 = new Uint32Array(this.bytes);
    for (const [index, name] of names.entries()) this.words.set(name, index + 1);
    for (let row = 0; row < rows; row++) this.u32[row * 64] = row;
  }

  /** Word of the row that holds `field`. */
  word(field: string): number {
    const word = this.words.get(field);
    check(
      word !== undefined,
      'bad-argument',
      `the program has no step field "${field}"; it has ${[...this.words.keys()].join(', ') || 'none'}`,
      field,
    );
    return word;
  }

  /** Sets fields of one row. */
  set(row: number, values: Readonly<Record<string, number>>): void {
    expectObject(values, 'values');
    check(row >= 0 && row < this.rows, 'bad-range', `step row ${row} is outside 0..${this.rows - 1}`, 'steps');
    for (const [field, value] of Object.entries(values)) {
      const at = row * 64 + this.word(field);
      if (this.fields[field] === 'u32') this.u32[at] = value;
      else this.f32[at] = value;
    }
  }

  /** The fields of one row by name, for the CPU reference. */
  get(row: number, field: string): number {
    const at = row * 64 + this.word(field);
    return this.fields[field] === 'u32' ? this.u32[at]! : this.f32[at]!;
  }
}
