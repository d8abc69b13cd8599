import { attack, attacks } from '../../src/attacks/index.js';
import type { AttackOptions } from '../../src/attacks/index.js';
import { rightness } from '../../src/experiments/attackRuns.js';
import type { Model } from '../../src/nn/model.js';
import { slowly } from '../support/slow.js';
import { expectAgree, expectWithin } from './figures.js';
import { attackFigures, dataFolder, onDevice, testImages, testLabels } from './replay.js';

const victims = ['resnet20', 'resnet32', 'resnet56', 'resnet8'] as const;
interface Row {
  readonly alpha: string;
  readonly steps: number;
}
type Victims = Readonly<Record<(typeof victims)[number], { readonly correct?: string; readonly robust: number }>>;

/** The first of its 200 or 500 images. */
const count = 100;
const mi = { attack: attacks.mifgsm };

/** Attacks without random numbers: which images are left right. */
const fixed: Readonly<Record<string, Partial<AttackOptions>>> = {
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
};

/** Attacks with random numbers, one draw of which is in the file: how many images are left right. */
const drawn: Readonly<Record<string, Partial<AttackOptions>>> = {
  di: { attack: 'di', parameters: { probability: 0.5 } },
  bsr: { attack: 'bsr', parameters: { shuffles: 5, strips: 2 } },
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

  /** Per victim, 1 for each image that is right after the attack of a row. */
  async function rightAfter(row: Row, options: Partial<AttackOptions>): Promise<readonly number[][]> {
    const indices = Array.from({ length: count }, (_, n) => n);
    const [images, labels] = [await testImages('cifar', indices), await testLabels('cifar', indices)];
    const [levels, all] = row.alpha.split('/').map(Number) as [number, number];
    const common = {
      ...{ model: await modelOf('resnet20'), images, labels, batch: count, eps: 8 / 255, alpha: levels / all },
      ...(row.steps > 1 && { steps: row.steps }),
    };
    const made = await attack({ ...common, ...options });
    const found: number[][] = [];
    for (const victim of victims) found.push(await rightness(await modelOf(victim), made.images, labels, count));
    return found;
  }

  for (const [name, options] of Object.entries({ ...fixed, ...drawn })) {
    const what = name in fixed ? 'which images are left right' : 'how many images are left right';
    slowly('golden', `${name}: ${what} on four networks`, 1_800_000, async () => {
      const row = attackFigures<{ results: Readonly<Record<string, Row & Victims>> }>('transfer-table')?.results[name];
      if (dataFolder === '' || row === undefined) return;
      const found = await rightAfter(row, options);
      for (const [k, victim] of victims.entries()) {
        const { correct, robust } = row[victim];
        if (name in fixed) {
          const differ = found[k]!.filter((right, n) => right !== Number(correct![n])).length;
          expectWithin(`transfer-table ${name}`, differ, 0.03 * count, `images that ${victim} sees otherwise`);
        } else {
          const share = found[k]!.filter(Boolean).length / count;
          expectAgree(`transfer-table ${name}`, [share], [robust], count, victim);
        }
      }
    });
  }
});
