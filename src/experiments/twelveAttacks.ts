import { attacks as builtin } from '../attacks/builtin.js';
import { normalizedMomentum } from '../attacks/stages.js';
import type { AttackDefinition } from '../attacks/stages.js';
import { gradientSamplings, inputTransforms } from '../attacks/transfer.js';
import { smoothedGradient } from '../attacks/transforms.js';
import type { Dataset } from '../data/dataset.js';
import { check } from '../errors.js';
import type { Cells } from './cells.js';
import type { Victim } from './crafting.js';
import { claim, percent, shownPoints } from './format.js';
import { cleanRight, craftRow, pooledGap, transferGap, transferred } from './transferMatrix.js';
import type { CleanRight, MatrixAttack, MatrixRow } from './transferMatrix.js';
import { verdictOf } from './statistics.js';
import { seedsOf } from './types.js';
import type { ExperimentContext, ResultTable, Setting, Statement } from './types.js';

/*
 * Twelve attacks with and without LinBP at equal numbers of gradients: input transforms and gradients at several points
 * cost more a step, so they take fewer steps. Numbers of samples are chosen so that every attack spends the budget, a
 * multiple of 20, exactly.
 */

const momentum: AttackDefinition = { ...builtin.ifgsm, momentum: normalizedMomentum };
const sampled = (name: keyof typeof gradientSamplings): AttackDefinition => ({
  ...momentum,
  name: `mi+${name}`,
  sampling: gradientSamplings[name],
});
const transformed = (name: keyof typeof inputTransforms): AttackDefinition => ({
  ...momentum,
  name: `mi+${name}`,
  transforms: [inputTransforms[name]],
});

const definitions: readonly (readonly [AttackDefinition, Readonly<Record<string, number>>?])[] = [
  [{ ...builtin.ifgsm, name: 'ifgsm' }],
  [builtin.noisy],
  [{ ...momentum, name: 'mi' }],
  [sampled('ni')],
  [sampled('vmi'), { samples: 4 }],
  [sampled('vni'), { samples: 4 }],
  [sampled('emi'), { samples: 5 }],
  [sampled('gra'), { samples: 4 }],
  [sampled('pgn'), { samples: 2 }],
  [transformed('di')],
  [transformed('si'), { scales: 5 }],
  [{ ...momentum, name: 'mi+ti', gradient: smoothedGradient }],
];

export const twelve: readonly MatrixAttack[] = definitions.map(([attack, parameters = {}]) => ({
  name: attack.name,
  options: { attack, parameters, keep: 'last' },
}));

/** Gradients an image: 100 at full size, a multiple of 20 always. */
export const budgetAt = (scale: number): number => 20 * Math.max(1, Math.round(5 * scale));

/** Attacks of one source under both rules. */
export interface AttackPair {
  readonly bp: MatrixRow;
  readonly linbp: MatrixRow;
}

/** What the twelve attacks found on some sources. */
export interface TwelveResult {
  readonly pairs: readonly AttackPair[];
  readonly clean: CleanRight;
  readonly gradients: number;
  readonly count: number;
}

/** Runs the twelve attacks on some sources; a pair that diverges is recorded. `starts` says where LinBP begins. */
export async function runTwelve(
  context: ExperimentContext,
  sources: readonly Victim[],
  victims: readonly Victim[],
  starts: ReadonlyMap<string, string>,
  images: Dataset,
  cells: Cells,
): Promise<TwelveResult> {
  const gradients = budgetAt(context.scale);
  const batch = Math.min(32, images.count);
  const settings = {
    ...{ sources, victims, attacks: twelve, norm: 'linf' as const, eps: 8 / 255, gradients, batch },
    seeds: seedsOf(context),
    signal: context.signal,
    onProgress: (what: string, share: number): void => context.progress.update(what, share),
  };
  const clean = await cleanRight(victims, images, batch);
  const pairs: AttackPair[] = [];
  for (const source of sources)
    for (const attack of twelve)
      await cells.run(`${source.name} ${attack.name}`, async () => {
        const bp = await craftRow(settings, source, attack, 'bp', images);
        const linbp = await craftRow(settings, source, attack, `linbp:from=${starts.get(source.name)!}`, images);
        const shares = [bp, linbp].map((row) => transferred(row, clean));
        const none = `no network but ${source.name} sees any of the images right, so nothing can transfer`;
        check(!shares.includes(undefined), 'bad-range', none, 'images');
        pairs.push({ bp, linbp });
        const [one, other] = shares.map((share) => percent(share!));
        context.progress.line(`${source.name} ${attack.name}: transfer ${one} with BP, ${other} with LinBP`);
      });
  return { pairs, clean, gradients, count: images.count };
}

const names = (rows: readonly AttackPair[]): string => rows.map(({ bp }) => bp.attack).join(', ') || 'none';

/** What holds for one source, in words made of the numbers. */
function statementsOf(
  source: string,
  own: readonly AttackPair[],
  { clean, gradients }: TwelveResult,
  seed: number,
): Statement[] {
  const by = (wanted: 'above' | 'below' | 'open'): AttackPair[] =>
    own.filter(({ bp, linbp }) => verdictOf(transferGap(bp, linbp, clean, seed)!) === wanted);
  const pooled = pooledGap(
    own.map(({ bp }) => bp),
    own.map(({ linbp }) => linbp),
    clean,
    seed,
  );
  const [helps, harms, open] = [by('above'), by('below'), by('open')];
  const rows = own.flatMap(({ bp, linbp }) => [bp, linbp]);
  const share = (row: MatrixRow): number => transferred(row, clean)!;
  const best = (list: readonly MatrixRow[]): MatrixRow =>
    list.reduce((most, row) => (share(row) > share(most) ? row : most));
  const [top, plain] = [best(rows), best(own.map(({ bp }) => bp))];
  const what = `From ${source}, over twelve attacks of ${gradients} gradients each, LinBP transfers better than BP`;
  return [
    claim(`${what}: ${shownPoints(pooled)}, over images, seeds and victims.`, pooled, 'above'),
    {
      verdict: 'note',
      text:
        `From ${source}, LinBP helps ${helps.length} of ${own.length} attacks (${names(helps)}), harms ` +
        `${harms.length} (${names(harms)}), and leaves ${open.length} open (${names(open)}).`,
    },
    {
      verdict: 'note',
      text:
        `From ${source}, ${top.attack} under ${top.rule} transfers best with ` +
        `${percent(share(top))}; the best attack under BP is ${plain.attack} with ` +
        `${percent(share(plain))}. They were chosen on the same images.`,
    },
  ];
}

/** Table, sentences and settings of the twelve attacks. */
export function reportTwelve(
  found: TwelveResult,
  seed: number,
): { readonly table: ResultTable; readonly statements: readonly Statement[]; readonly settings: readonly Setting[] } {
  const { pairs, clean, gradients, count } = found;
  const sources = [...new Set(pairs.map(({ bp }) => bp.source))];
  return {
    table: {
      title:
        `Twelve attacks at ${gradients} gradients: error of ` +
        'the other networks on images that they get right clean',
      columns: ['source', 'attack', 'steps', 'BP', 'LinBP', 'difference [95 %]'],
      rows: pairs.map(({ bp, linbp }) => [
        ...[bp.source, bp.attack, String(bp.steps)],
        ...[bp, linbp].map((row) => percent(transferred(row, clean)!)),
        shownPoints(transferGap(bp, linbp, clean, seed)!),
      ]),
    },
    statements: sources.flatMap((source) =>
      statementsOf(
        source,
        pairs.filter(({ bp }) => bp.source === source),
        found,
        seed,
      ),
    ),
    settings: [
      {
        name: 'twelve attacks',
        ours:
          `${twelve.map(({ name }) => name).join(', ')}; ${gradients} gradients ` +
          `an image each, so fewer steps where a step takes several; ${count} images; random ones with ` +
          'every seed; step size eps/steps, at least 1/255',
        official: 'attacks at their own numbers of steps',
      },
    ],
  };
}
