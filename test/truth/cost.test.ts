import { expect } from 'chai';
import { Attack } from '../../src/attacks/index.js';
import type { AttackOptions } from '../../src/attacks/index.js';
import type { DeviceExecutor } from '../../src/program/executor.js';
import { fromArrays } from '../../src/data/dataset.js';
import type { ModelDefinition } from '../../src/nn/definition.js';
import { Model } from '../../src/nn/model.js';
import type { CompiledDispatch } from '../../src/program/types.js';
import { buildTraining } from '../../src/train/step.js';
import { sgd } from '../../src/train/optimizers.js';
import { PlacedDataset } from '../../src/data/feed.js';
import { Program } from '../../src/program/program.js';
import { resolveRules } from '../../src/rules/resolve.js';
import { parseRules } from '../../src/rules/parse.js';
import { positionTable } from '../../src/nn/definition.js';
import { linearModel } from '../attacks/support.js';
import { sharedDevice } from '../support/device.js';

const definition: ModelDefinition = linearModel([1, 4, 4], 3);

/** What one run of a segment does: each kernel and its workgroups. */
const workOf = (dispatches: readonly CompiledDispatch[], segment: string): string[] =>
  dispatches
    .filter(({ source }) => source.segment === segment)
    .map(({ source, x, y, z }) => `${source.kernel} ${x} x ${y} x ${z}`);

describe('a step costs the same however many there are', () => {
  const step = async (options: Partial<AttackOptions>, segment: string): Promise<string[]> => {
    using model = Model.create(definition, { device: await sharedDevice(), seed: 1 });
    using attack = await Attack.compile({ model, eps: 0.1, batch: 2, ...options });
    const { executor } = await attack.executor();
    return workOf((executor as DeviceExecutor).program.dispatches, segment);
  };

  it('of PGD and APGD, whose logs have a column for each', async () => {
    for (const attack of ['pgd', 'apgd'] as const)
      for (const segment of ['step', 'evaluate']) {
        const few = await step({ attack, steps: 5 }, segment);
        expect(few, `${attack} ${segment}`).to.not.be.empty;
        expect(await step({ attack, steps: 5000 }, segment), `${attack} ${segment}`).to.deep.equal(few);
      }
  });

  it('of Square, whose steps are queries', async () => {
    const few = await step({ attack: 'square', steps: 5 }, 'query');
    expect(few).to.not.be.empty;
    expect(await step({ attack: 'square', steps: 5000 }, 'query')).to.deep.equal(few);
  });

  it('of training, whose log has a row for each', async () => {
    const device = await sharedDevice();
    const dataset = fromArrays({
      ...{ shape: [4, 1, 4, 4] as [number, number, number, number], classes: 3 },
      ...{ images: new Uint8Array(64), labels: new Uint8Array(4) },
    });
    const data = new PlacedDataset(dataset, device);
    const rules = resolveRules(parseRules('bp'), positionTable(definition));
    const work = async (logRows: number): Promise<string[]> => {
      const settings = { definition, rules, optimizer: sgd({ lr: 0.1 }), logRows, seed: 1 };
      const built = buildTraining(settings as never, data.feed, 2);
      const fields = { start: 'u32', row: 'u32', step: 'u32', lr: 'f32' } as const;
      using program = await Program.compile(built.graph, { device, steps: { fields, rows: logRows } });
      return workOf(program.dispatches, 'main');
    };
    const few = await work(4);
    expect(few.join()).to.include('record');
    expect(await work(4000)).to.deep.equal(few);
    data.destroy();
  });
});
