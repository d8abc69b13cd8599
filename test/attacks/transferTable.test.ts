import { attack, attacks, intermediateLevel } from '../../src/attacks/index.js';
import type { AttackOptions } from '../../src/attacks/index.js';
import { rightness } from '../../src/experiments/attackRuns.js';
import type { Model } from '../../src/nn/model.js';
import { lacking, slowly } from '../support/slow.js';
import { expectAgree, expectWithin } from './figures.js';
import { attackFigures, attackFixture, dataFolder, onDevice, testImages, testLabels } from './replay.js';

const victims = ['resnet20', 'resnet32', 'resnet56', 'resnet8'] as const;
interface Row {
  readonly alpha: string;
  readonly steps: number;
  readonly images: number;
}
type Victims = Readonly<Record<(typeof victims)[number], { readonly correct?: string; readonly robust: number }>>;

/** Images for which rounding decides, in the reference code itself, whether a network sees them right. */
interface Spread {
  readonly rows: Readonly<Record<string, { readonly undecided: Readonly<Record<string, readonly number[]>> }>>;
}
const { rows: spread } = attackFixture<Spread>('transfer-spread');

/** Of rows that name the images left right the first of their 200 or 500 images; also the batch of all rows. */
const first = 100;
const mi = { attack: attacks.mifgsm };

/** A first attack whose images the next starts from. */
interface Options extends Partial<AttackOptions> {
  readonly startBy?: Partial<AttackOptions>;
}

/*
 * A row names the parameters that it has in place of those of `transfer-steps`, so `pi` has gamma 4/255 and `ila` goes
 * on from three steps of I-FGSM.
 */

/** Attacks without random numbers: which images are left right. */
const fixed: Readonly<Record<string, Options>> = {
  fgsm: { attack: 'fgsm' },
  'fgsm.naive-ce': { attack: 'fgsm', loss: 'ce-rounded' },
  ifgsm: { attack: 'ifgsm' },
  'ifgsm.naive-ce': { attack: 'ifgsm', loss: 'ce-rounded' },
  mi,
  ni: { attack: 'ni' },
  ti5: { attack: 'ti' },
  'sgm0.2': { ...mi, rules: 'sgm:gamma=0.2' },
  'sgm0.5': { ...mi, rules: 'sgm:gamma=0.5' },
  bpa: { ...mi, rules: 'bpa:from=layer3' },
  'si-ni': { attack: 'si-ni', parameters: { scales: 5 } },
  emi: { attack: 'emi', parameters: { samples: 11, reach: 7 } },
  pi: { attack: 'pi', parameters: { amplification: 2.5, patch: 4 / 255 } },
  ila: { attack: intermediateLevel('layer2'), startBy: { attack: 'ifgsm', steps: 3 } },
  'ifgsm x50': { attack: 'ifgsm' },
  'mi x50': mi,
  'sgm0.5 x50': { ...mi, rules: 'sgm:gamma=0.5' },
};

/** Attacks with random numbers, one draw of which is in the file: how many of all its images are left right. */
const drawn: Readonly<Record<string, Options>> = {
  di: { attack: 'di', parameters: { probability: 0.5 } },
  vmi: { attack: 'vmi', parameters: { samples: 5, reach: 1.5 } },
  admix: { attack: 'admix', parameters: { admixed: 3, admixScales: 3, strength: 0.2 } },
  pgn: { attack: 'pgn', parameters: { samples: 5, reach: 3, share: 0.5 } },
  ssa: { attack: 'ssa', parameters: { spectra: 5, rho: 0.5, sigma: 8 / 255 } },
  bsr: { attack: 'bsr', parameters: { shuffles: 5, strips: 2 } },
  sia: { attack: 'sia', parameters: { structures: 5, blocks: 2 } },
  gra: { attack: 'gra', parameters: { samples: 5, reach: 3.5 } },
};

describe('transfer from ResNet-20 as in the table of reference values', () => {
  const models = new Map<string, Model>();
  const modelOf = async (name: string): Promise<Model> => {
    const model = models.get(name) ?? (await onDevice(name));
    models.set(name, model);
    return model;
  };
  after(() => {
    for (const model of models.values()) model.destroy();
  });

  /** Per victim, 1 for each of the first images that is right after the attack of a row. */
  async function rightAfter(row: Row, count: number, { startBy, ...options }: Options): Promise<readonly number[][]> {
    const indices = Array.from({ length: count }, (_, n) => n);
    const [images, labels] = [await testImages('cifar', indices), await testLabels('cifar', indices)];
    const [levels, all] = row.alpha.split('/').map(Number) as [number, number];
    const common = {
      ...{ model: await modelOf('resnet20'), images, labels, batch: first, eps: 8 / 255, alpha: levels / all },
      ...(row.steps > 1 && { steps: row.steps }),
    };
    const start = startBy && { start: (await attack({ ...common, ...startBy })).images };
    const made = await attack({ ...common, ...options, ...start });
    const found: number[][] = [];
    for (const victim of victims) found.push(await rightness(await modelOf(victim), made.images, labels, first));
    return found;
  }

  for (const [name, options] of Object.entries({ ...fixed, ...drawn })) {
    const what = name in fixed ? 'which images are left right' : 'how many images are left right';
    slowly('golden', `${name}: ${what} on four networks`, 1_800_000, async () => {
      const row = attackFigures<{ results: Readonly<Record<string, Row & Victims>> }>('transfer-table')?.results[name];
      if (dataFolder === '' || row === undefined) return lacking('the golden files beside LINBP_DATA');
      const count = name in fixed ? first : row.images;
      const found = await rightAfter(row, count, options);
      for (const [k, victim] of victims.entries()) {
        const { correct, robust } = row[victim];
        if (name in fixed) {
          const undecided = spread[name]?.undecided[victim] ?? [];
          const differ = found[k]!.filter((right, n) => right !== Number(correct![n]) && !undecided.includes(n)).length;
          expectWithin(`transfer-table ${name}`, differ, 0.03 * count, `images that ${victim} sees otherwise`);
        } else {
          const share = found[k]!.filter(Boolean).length / count;
          expectAgree(`transfer-table ${name}`, [share], [robust], count, victim);
        }
      }
    });
  }
});
