import { expect } from 'chai';
import { formulaUniforms } from '../../src/io/formulaWeights.js';
import { apart, attackFixture, attackTensors, dataFolder, replay, testImages, trained } from './replay.js';
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

describe('attacks: Square', () => {
  for (const [name, run] of Object.entries(runs)) {
    const wide = name.startsWith('r20');
    for (const [count, queries, slow] of [
      [1, wide ? 6 : 15, wide],
      [6, run.queries, true],
    ] as const) {
      const title = `${name}: ${queries} queries of ${count} images as the official code makes them`;
      it(`${title}${slow ? ' @slow' : ''}`, async function () {
        if (dataFolder === '' || (slow && process.env['LINBP_SLOW'] === undefined)) return this.skip();
        this.timeout(900_000);
        const images = await testImages(run.set, run.images.slice(0, count));
        const model = await trained(run.model);
        const leads: Float64Array[] = [];
        const attack = await replay(
          {
            model,
            attack: 'square',
            norm: run.norm === 'L2' ? 'l2' : 'linf',
            eps: run.eps_value,
            steps: queries,
            batch: count,
          },
          official(run, count, model.definition.input),
          (segment, valuesOf) => {
            if (segment === 'start' || segment === 'query') leads.push(valuesOf('lead'));
          },
        );
        const { images: final } = await attack.run({ images, labels: run.labels.slice(0, count) });
        attack.destroy();
        for (let n = 0; n < count; n++) {
          let lead = NaN;
          for (let query = 0; query <= queries; query++) {
            const at = n * (run.queries + 1) + query;
            const margin = run.margin[at];
            if (margin === null || margin === undefined) break;
            if (query === 0 || run.accepted[at] === 1) lead = margin;
            expect(leads[query]![n], `image ${run.images[n]}, query ${query}`).to.be.closeTo(
              lead,
              1e-6 * (1 + Math.abs(lead)),
            );
          }
        }
        const given = queries < run.queries ? undefined : attackTensors('square')?.(`${name}.final`);
        if (given === undefined) return;
        for (const { image, share } of apart(final, given, images, { size: images.length / count, count }))
          expect(share, `final image ${run.images[image]}`).to.be.below(1e-5);
      });
    }
  }
});
