import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { fromArrays } from '../../src/data/dataset.js';
import type { Dataset } from '../../src/data/dataset.js';
import type { LossKind } from '../../src/graph/types.js';
import type { ModelDefinition } from '../../src/nn/definition.js';
import { initialState } from '../../src/nn/model.js';
import { normalized } from '../../src/nn/normalize.js';
import { wgslRule } from '../../src/rules/user.js';
import { adam } from '../../src/train/optimizers.js';
import type { Objective } from '../../src/train/step.js';
import { Trainer } from '../../src/train/trainer.js';
import { eightBitImages, randomLabels } from '../attacks/support.js';
import { refusal, smallNetwork } from './support.js';

const images = eightBitImages(3, 6 * 36);
const labels = randomLabels(4, 6, 4);

describe('resuming asks for the same run', () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'linbp-identity-'));
  });
  after(() => rmSync(folder, { recursive: true }));

  const dataset = (changes: Partial<Dataset> = {}): Dataset => ({
    ...fromArrays({ shape: [6, 1, 6, 6], classes: 4, images, labels }),
    ...changes,
  });
  const create = (data = dataset(), definition: ModelDefinition = smallNetwork, more: object = {}): Promise<Trainer> =>
    Trainer.create({
      model: { definition, weights: initialState(definition, 1) },
      device: 'reference',
      dataset: data,
      optimizer: adam(),
      batch: 3,
      ...more,
    });

  it('other pixels, labels, split, normalization, network, test images are named; another folder is not', async () => {
    const path = join(folder, 'run.safetensors');
    using first = await create(dataset({ name: 'folder:here' }), smallNetwork, { testDataset: dataset() });
    await first.fit({ epochs: 1, checkpoint: path });
    const other = images.slice();
    other[5] = 1 - other[5]!;
    const swapped = labels.slice();
    swapped[0] = (swapped[0]! + 1) % 4;
    const wider: ModelDefinition = {
      ...smallNetwork,
      build: (net, x) => smallNetwork.build(net, net.preprocess(x, [2], [0])),
    };
    const here = (changes: Partial<Dataset>): Dataset => dataset({ name: 'folder:here', ...changes });
    for (const [made, pattern] of [
      [create(here({ images: other })), /images is/],
      [create(here({ labels: swapped })), /labels is/],
      [create(here({ split: 'test' })), /split is "train" there and "test" here/],
      [
        create(here({}), normalized(smallNetwork, { means: [0.5], deviations: [0.5] })),
        /normalize is "none" there and "0.5\/0.5" here/,
      ],
      [create(here({}), wider), /network is/],
      [create(here({}), smallNetwork, { testDataset: dataset({ images: other }) }), /testImages is/],
      [create(here({ name: 'arrays' })), /dataset is "folder" there and "arrays" here/],
    ] as const) {
      using trainer = await made;
      expect((await refusal(() => trainer.resume(path), 'bad-file')).message).to.match(pattern);
    }
    using moved = await create(dataset({ name: 'folder:elsewhere' }));
    await moved.resume(path);
    expect(moved.history.length).to.equal(1);
  });

  it("an objective, a rule or a selection of one's own is known by its content, not by its name", async () => {
    const path = join(folder, 'own.safetensors');
    const of =
      (kind: LossKind): Objective =>
      (graph, logits, labels) =>
        graph.one('loss', [logits, labels], { kind });
    const rule = (factor: string) =>
      wgslRule({
        name: 'mine',
        saves: 'mask',
        wgsl: `fn rule(g: f32, d: f32, z: f32, p: RuleParams) -> f32 { return ${factor} * g * d; }`,
        reference: (g, d) => g * d,
      });
    const cases: readonly (readonly [object, object])[] = [
      [{ objective: of('crossEntropy') }, { objective: of('margin') }],
      [
        { rules: 'mine', userRules: [rule('1.0')] },
        { rules: 'mine', userRules: [rule('2.0')] },
      ],
    ];
    for (const [one, other] of cases) {
      using first = await create(dataset(), smallNetwork, one);
      await first.fit({ epochs: 1, checkpoint: path });
      using same = await create(dataset(), smallNetwork, one);
      await same.resume(path);
      using changed = await create(dataset(), smallNetwork, other);
      const error = await refusal(() => changed.resume(path), 'bad-file');
      expect(error.message).to.match(/own rules and objective is/);
    }
  });
});
