import { readdirSync, readFileSync } from 'node:fs';
import { expect } from 'chai';
import { LinbpError } from '../../src/errors.js';
import { processorOf, readProcessor } from '../../src/kernels/software/processor.js';
import { tallRows } from '../../src/kernels/software/gather.js';
import { plainDevice } from '../support/plainDevice.js';

const folder = new URL('../../../tuning/processors/', import.meta.url);
const documentOf = (name: string): unknown => JSON.parse(readFileSync(new URL(`${name}.json`, folder), 'utf8'));

type Path = readonly (string | number)[];

/** The paths of all fields and items of a document. */
const pathsOf = (value: unknown): Path[] =>
  typeof value !== 'object' || value === null
    ? []
    : Object.entries(value).flatMap(([name, child]) => {
        const key = Array.isArray(value) ? Number(name) : name;
        return [[key], ...pathsOf(child).map((path) => [key, ...path])];
      });

/** A copy of a document in which a field has another value, or is absent where that is undefined. */
function changed(document: unknown, path: Path, value: unknown): unknown {
  const copy = structuredClone(document);
  const owner = path.slice(0, -1).reduce<unknown>((at, key) => (at as Record<Path[number], unknown>)[key], copy);
  const fields = owner as Record<Path[number], unknown>;
  const last = path.at(-1)!;
  if (value === undefined) delete fields[last];
  else fields[last] = value;
  return copy;
}

function refusal(document: unknown): LinbpError {
  try {
    readProcessor(document, 'some');
  } catch (error) {
    if (error instanceof LinbpError) return error;
    throw error;
  }
  throw new Error('was read');
}

/** What need not be there. */
const optional = new Set(['mostStep', 'mostWidth', 'wideTile']);

describe('figures of processors', () => {
  it('are those of the package, for processors with AVX-512 and without', () => {
    expect(readdirSync(folder).sort()).to.deep.equal(['avx512.json', 'plain.json']);
    for (const [name, avx512] of [
      ['plain', false],
      ['avx512', true],
    ] as const)
      // prettier-ignore
      expect(processorOf({ ...plainDevice, avx512 }), name).to.deep.equal(documentOf(name));
  });

  it('name the field where a document is not what it should be', () => {
    for (const name of ['plain', 'avx512']) {
      const document = documentOf(name);
      for (const path of pathsOf(document)) {
        const last = path.at(-1)!;
        const field = path.reduce<string>(
          (text, key) => text + (typeof key === 'number' ? `[${key}]` : `.${key}`),
          'some',
        );
        const wrong = [null, -1, [], {}, 'x', ...(optional.has(String(last)) ? [] : [undefined])];
        // any text says where something was measured, and an item that is gone is a shorter list
        for (const value of wrong.filter((each) => !(last === 'measuredOn' && each === 'x'))) {
          if (value === undefined && typeof last === 'number') continue;
          const { code, message } = refusal(changed(document, path, value));
          expect(code).to.equal('internal');
          expect(message, `${field} = ${JSON.stringify(value)}`).to.contain(field);
        }
        if (typeof path.at(-1) === 'string')
          expect(refusal(changed(document, [...path.slice(0, -1), 'other'], 1)).message).to.contain('other');
      }
    }
  });

  it('have tiles that can run, the cheapest at cost 1', () => {
    for (const avx512 of [false, true]) {
      const device = { ...plainDevice, avx512 };
      const { scalarLoads, linearWeights } = processorOf(device);
      for (const { usual, rare } of [scalarLoads, linearWeights]) {
        expect(Math.min(...[...usual, ...rare].map(({ cost }) => cost))).to.equal(1);
        for (const { rows, columns } of [...usual, ...rare]) {
          expect(tallRows(rows, device), `${rows} rows`).to.equal(true);
          expect(columns % 4, `${columns} columns`).to.equal(0);
        }
      }
    }
  });
});
