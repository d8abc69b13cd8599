import { expect } from 'chai';
import { attack } from '../../src/attacks/index.js';
import type { AttackName, AttackNorm } from '../../src/attacks/index.js';
import type { ModelDefinition } from '../../src/nn/definition.js';
import type { StateDict } from '../../src/nn/model.js';

/**
 * One pixel x; the lead of class 0 is 0.05 + max(0.3 - x, 0) - 20 max(x - 0.9, 0). From x = 0.2 the way to the
 * linearized boundary ends where nothing has a slope; the boundary is far behind.
 */
const cliff: ModelDefinition = {
  name: 'cliff',
  input: [1, 1, 2],
  classes: 2,
  build: (net, x) => net.linear('fc2', net.relu('act', net.linear('fc1', net.flatten(x), 2)), 2),
};
const tensor = (shape: readonly number[], data: readonly number[]) => ({ shape, data: Float32Array.from(data) });
const weights: StateDict = new Map([
  ['fc1.weight', tensor([2, 2], [-1, 0, 1, 0])],
  ['fc1.bias', tensor([2], [0.3, -0.9])],
  ['fc2.weight', tensor([2, 2], [1, -20, 0, 0])],
  ['fc2.bias', tensor([2], [0.05, 0])],
]);
/** Always class 0, with no gradient at all. */
const flat: StateDict = new Map(
  [...weights].map(([key, { shape, data }]) => [
    key,
    tensor(
      shape,
      Array.from(data, (_, i) => (key === 'fc2.bias' && i === 0 ? 1 : 0)),
    ),
  ]),
);

describe('attacks for the smallest perturbation where gradients vanish', () => {
  const images = Float32Array.of(0.2, 0.5);
  const stays = async (name: AttackName, norm: AttackNorm, own: StateDict): Promise<void> => {
    const { samples, images: made } = await attack({
      ...{ model: { definition: cliff, weights: own }, device: 'reference', attack: name, norm, steps: 12 },
      ...{ images, labels: [0] },
    });
    expect([...made], `${name} ${norm}`).to.deep.equal([...images]);
    expect(samples[0]!.robustCorrect, `${name} ${norm}`).to.equal(true);
  };

  it('DeepFool and FAB do not go on along an old boundary: the image is left as it is', async () => {
    for (const norm of ['l2', 'linf'] as const) await stays('deepfool', norm, weights);
    for (const norm of ['linf', 'l2', 'l1'] as const)
      for (const name of ['fab', 'fab-t'] as const) await stays(name, norm, weights);
  });

  it('in a network without any gradient results are finite, and images are left as they are', async () => {
    for (const norm of ['l2', 'linf'] as const) await stays('deepfool', norm, flat);
    for (const norm of ['linf', 'l2', 'l1'] as const)
      for (const name of ['fab', 'fab-t', 'fmn'] as const) await stays(name, norm, flat);
    for (const [name, norm] of [
      ['ddn', 'l2'],
      ['cw', 'l2'],
      ['ead', 'l1'],
    ] as const)
      await stays(name, norm, flat);
  });
});
