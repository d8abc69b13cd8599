import { expect } from 'chai';
import { attack, attackNames, attacks, intermediateLevel } from '../../src/attacks/index.js';
import type { AttackDefinition, AttackName, AttackOptions } from '../../src/attacks/index.js';
import { buildAttackGraph } from '../../src/attacks/attackGraph.js';
import { settle } from '../../src/attacks/options.js';
import { layOut } from '../../src/attacks/schedule.js';
import { inputTransforms } from '../../src/attacks/transfer.js';
import { bentModel, eightBitImages, smallWeights } from './support.js';

const bent = bentModel(4, 4);
const model = { definition: bent, weights: smallWeights(bent, 12) };

/** Passes of one image as the program has them: products of the first layer, forward and back, of each segment run. */
function ran(options: AttackOptions): { gradients: number; forwards: number } {
  const settings = settle(options);
  const { runs, columns } = layOut(settings);
  const nodes = buildAttackGraph(bent, settings, 1, columns).graph.nodes.filter(({ layer }) => layer === 'fc1');
  const sum = { gradients: 0, forwards: 1 };
  for (const { segment, repeat = 1 } of runs)
    for (const { op, direction } of nodes.filter((node) => node.segment === segment)) {
      if (direction === 'inputGradient' && op !== 'reshape') sum.gradients += repeat;
      if (op === 'linear' && direction !== 'inputGradient') sum.forwards += repeat;
    }
  return sum;
}

const few = { samples: 2, scales: 2, admixed: 1, admixScales: 2, spectra: 2, shuffles: 2, structures: 2, warps: 2 };
const fewer: Readonly<Record<string, number>> = { ...few, directions: 2, rounds: 2 };

describe('passes through the network', () => {
  const images = eightBitImages(4, 16);
  const expectCounted = async (what: string, options: Partial<AttackOptions>, listed = true): Promise<void> => {
    const all = { model, device: 'reference', eps: 0.05, batch: 1, ...options } as const;
    const { gradients, forwards } = await attack({ ...all, images, labels: [1] });
    expect({ gradients, forwards }, what).to.deep.equal(ran(all));
    if (!listed) return;
    const said = layOut(settle(all));
    expect({ gradients: said.gradients, forwards: said.forwards }, `${what}, catalog`).to.deep.equal(ran(all));
  };

  it('are counted as the program runs them, by the result and the catalog, for every attack', async () => {
    for (const name of attackNames as AttackName[]) {
      const { plan, parameters, sampling, transforms = [], steps }: AttackDefinition = attacks[name];
      const own = Object.assign({}, parameters, sampling?.parameters, ...transforms.map((each) => each.parameters));
      const given = Object.fromEntries(Object.entries(fewer).filter(([option]) => option in (own as object)));
      for (const keep of plan === undefined ? (['best', 'last'] as const) : [undefined])
        await expectCounted(`${name} ${keep}`, {
          ...{ attack: name, parameters: given, ...(keep && { keep }), ...(steps === undefined && { steps: 2 }) },
        });
    }
  });

  it('with larger radii first, where iterates outside the ball are looked at, and before the first step', async () => {
    const moved = { ...attacks.apgd, name: 'moved', transforms: [inputTransforms.translate] };
    await expectCounted('shrinking', { attack: moved, norm: 'l1', shrinkRadius: true, steps: 5 });
    // the features of the clean images and of those to follow; the catalog has no such attack
    await expectCounted('ila', { attack: intermediateLevel('act'), steps: 2 }, false);
  });
});
