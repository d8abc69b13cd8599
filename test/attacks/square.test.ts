import { formulaUniforms } from '../../src/io/formulaWeights.js';
import { lacking, slowly } from '../support/slow.js';
import { expectWithin, largestDifference } from './figures.js';
import { attackFixture, attackTensors, dataFolder, replay, testImages, trained } from './replay.js';
import type { Draw } from './replay.js';

interface Run {
  readonly model: string;
  readonly set: string;
  readonly images: readonly number[];
  readonly labels: readonly number[];
  readonly norm: 'Linf' | 'L2';
  readonly eps_value: number;
  readonly queries: number;
  readonly key: string;
  readonly queries_used: readonly number[];
  /** [6, queries + 1]: the label's lead at each proposal, null after the image was fooled. */
  readonly margin: readonly (number | null)[];
  readonly accepted: readonly number[];
  readonly s: readonly number[];
}

const runs = attackFixture<Readonly<Record<string, Run>>>('square');

/** The official code's random numbers, in the order in which it takes them. */
function official(
  { norm, key, images }: Run,
  count: number,
  [channels, , width]: readonly [number, number, number],
): Draw {
  const streams = images
    .slice(0, count)
    .map((index) => formulaUniforms(key.replace('<image index>', String(index)), 60_000));
  const perQuery = (norm === 'Linf' ? 2 : 5) + channels;
  const startSize = norm === 'Linf' ? channels * width : 25 * (1 + channels);
  return (node, row) => {
    const field = (node.attrs.step as { step: string }).step;
    const query = Math.floor(row['draw0']! / 8);
    const k = Number(field.replace('draw', ''));
    return streams.flatMap((u) => {
      if (query === 0 && norm === 'Linf') return [...u.slice(0, startSize)];
      if (query === 0) {
        // each tile takes its turn, then its signs
        const tiles = Array.from({ length: 25 }, (_, tile) =>
          u.slice(tile * (1 + channels), (tile + 1) * (1 + channels)),
        );
        if (k === 0) return tiles.map((tile) => tile[0]!);
        return Array.from({ length: channels }, (_, c) => tiles.map((tile) => tile[1 + c]!)).flat();
      }
      const own = u.slice(startSize + (query - 1) * perQuery, startSize + query * perQuery);
      if (norm === 'L2') return k < 5 ? [own[k]!] : [...own.slice(5)];
      if (k < 2) return [own[k]!];
      // signs are the bits of one number
      return [own.slice(2).reduce((sum, value, c) => sum + (value >= 0.5 ? 2 ** -(c + 1) : 0), 0)];
    });
  };
}

const nameOf = (attrs: unknown): string => (attrs as { fn: { name: string } }).fn.name;

describe('attacks: Square', () => {
  for (const [name, run] of Object.entries(runs)) {
    const wide = name.startsWith('r20');
    for (const [count, queries, slow] of [
      [1, wide ? (run.norm === 'L2' ? 2 : 6) : 15, wide && run.norm !== 'L2'],
      [6, run.queries, true],
    ] as const) {
      const title = `${name}: ${queries} queries of ${count} images as the official code makes them`;
      slowly(slow && 'golden', title, 900_000, async () => {
        if (dataFolder === '') return lacking('LINBP_DATA');
        const images = await testImages(run.set, run.images.slice(0, count));
        const model = await trained(run.model);
        const tensors = attackTensors('square');
        const size = images.length / count;
        const leads: Float64Array[] = [];
        const margins: Float64Array[] = [];
        const accepted: Float64Array[] = [];
        let [start, final] = [new Float64Array(0), new Float64Array(0)];
        const drawn = official(run, count, model.definition.input);
        const sides = tensors?.(`${name}.s`);
        using attack = await replay(
          {
            ...{ model, attack: 'square', norm: run.norm === 'L2' ? 'l2' : 'linf' },
            ...{ eps: run.eps_value, steps: queries, batch: count },
          },
          (node, row) => {
            const query = Math.floor(row['draw0']! / 8);
            if (query > 0 && sides !== undefined)
              expectWithin(`square ${name}.s`, Math.abs(row['side']! - sides[query - 1]!), 0, `query ${query}`);
            return drawn(node, row);
          },
          (segment, valuesOf, reference) => {
            if (segment === 'start') start = new Float64Array(valuesOf('iterate'));
            if (segment === 'finish') final = new Float64Array(valuesOf('iterate'));
            if (segment !== 'start' && segment !== 'query') return;
            leads.push(valuesOf('lead'));
            const of = (name: string): Float64Array => {
              const own = reference.graph.nodes.filter((node) => node.segment === segment);
              const node = own.find(({ op, attrs }) => op === name || (op === 'map' && nameOf(attrs) === name))!;
              return Float64Array.from(reference.get(node.outputs.at(-1)!));
            };
            margins.push(of('loss').map((value) => -value));
            accepted.push(of('accept'));
          },
        );
        const { samples } = await attack.run({ images, labels: run.labels.slice(0, count) });
        const taken = tensors?.(`${name}.accepted`);
        for (let n = 0; n < count; n++) {
          let lead = NaN;
          for (let query = 0; query <= queries; query++) {
            const at = n * (run.queries + 1) + query;
            const margin = run.margin[at];
            if (margin === null || margin === undefined) break;
            if (query === 0 || run.accepted[at] === 1) lead = margin;
            const message = `image ${run.images[n]}, query ${query}`;
            for (const [mine, theirs] of [
              [leads[query]![n]!, lead],
              [margins[query]![n]!, margin],
            ] as const)
              expectWithin(`square ${name}.margin`, Math.abs(mine - theirs) / (1 + Math.abs(theirs)), 1e-6, message);
            if (taken !== undefined && query > 0)
              expectWithin(`square ${name}.accepted`, Math.abs(accepted[query]![n]! - taken[at]!), 0, message);
          }
        }
        if (tensors === undefined) return lacking('the golden files beside LINBP_DATA');
        const off = largestDifference(start, tensors(`${name}.start`).subarray(0, count * size));
        expectWithin(`square ${name}.start`, off, 1e-9, 'start');
        if (queries < run.queries) return;
        const asked = samples.map((sample) => sample.queries!);
        expectWithin(`square ${name}.queries_used`, largestDifference(asked, run.queries_used), 0, 'queries');
        expectWithin(`square ${name}.final`, largestDifference(final, tensors(`${name}.final`)), 1e-9, 'final images');
      });
    }
  }
});
