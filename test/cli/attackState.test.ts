import { join } from 'node:path';
import { expect } from 'chai';
import type { AutoAttackState } from '../../src/attacks/index.js';
import type { AttackedSample, AttackResult } from '../../src/attacks/result.js';
import { AttackState } from '../../src/cli/attack/state.js';
import { OutputFolder } from '../../src/io/outputFolder.js';
import { encodeSafetensors } from '../../src/io/safetensors.js';
import { refusal } from '../truth/support.js';
import { scratchFolder } from './support.js';

const sample = (id: number): AttackedSample => ({
  ...{ id, label: 3, cleanCorrect: true, robustCorrect: false, success: true },
  ...{ savedRobustCorrect: false, savedSuccess: true, cleanClass: 3, finalClass: 5, firstStep: 10 },
  ...{ cleanLoss: 0.1234567890123456, loss: 12.345678901234567, linf: 0.03137254901960784, l2: 1.2345678901234567 },
});

describe('what an attack keeps', () => {
  const folder = scratchFolder();

  it('is read again however many images a batch has @slow', async () => {
    const count = 65_536;
    const figures = { robustCorrect: 0, robustAccuracy: 0, successRate: 1 };
    const extreme = { largest: 0, mean: 0 };
    const result: AttackResult = {
      ...{ count, interrupted: false, cleanCorrect: count, cleanAccuracy: 1, ...figures, saved: figures },
      ...{ linf: extreme, l2: extreme, curve: [{ step: 0, restart: 0, loss: 0, robustAccuracy: 0 }] },
      ...{ gradients: 1, forwards: 1, overflows: 0, dispatches: 0, submits: 0, readbacks: 0 },
      ...{ seconds: 1, imageGradientsPerSecond: 1, losses: new Float32Array(count) },
      ...{ images: new Float32Array(count), images8: new Uint8Array(count) },
      samples: Array.from({ length: count }, (_, n) => sample(n)),
      passes: Array.from({ length: count }, () => ({ gradients: 10, forwards: 14 })),
    };
    const open = async (resume: boolean): Promise<AttackState> => {
      const out = await OutputFolder.open(join(folder, 'out'), 'attack', true);
      return AttackState.open(out, { run: 'x' }, { resume, adapter: 'y', note: () => undefined });
    };
    await (await open(false)).keep(0, 0, result);
    const [found] = await (await open(true)).finished(0);
    expect(found!.samples).to.have.length(count);
    expect(found!.samples.at(-1)).to.deep.equal(sample(count - 1));
  });

  it('of a battery has the passes of images that were broken before', async () => {
    const open = async (resume: boolean): Promise<AttackState> => {
      const out = await OutputFolder.open(join(folder, 'battery'), 'attack', true);
      return AttackState.open(out, { run: 'x' }, { resume, adapter: 'y', note: () => undefined });
    };
    const stage = { name: 'apgd-ce', attacked: 2, robustCorrect: 1, robustAccuracy: 0.5 } as const;
    const broken = { brokenBy: 'apgd-ce', sample: sample(0), pixels: 'AAAAAA==' } as const;
    const other = { brokenBy: null, sample: sample(1), passes: { gradients: 9, forwards: 12 } };
    const state = (gradients: number): AutoAttackState => ({
      ...{ format: 2, of: 'x', stages: [{ ...stage, gradients: 2, forwards: 8, seconds: 1 }] },
      ...{ done: 2, gradients, forwards: gradients, seconds: 1 },
      images: [{ ...broken, passes: { gradients, forwards: gradients + 3 } }, other],
    });
    const { keep } = await (await open(false)).battery(0);
    for (const gradients of [1, 2, 3]) await keep(state(gradients));
    expect((await (await open(true)).battery(0)).resume).to.deep.equal(state(3));
  });

  it('and nothing is written that its reader would refuse', async () => {
    const long = { text: 'x'.repeat(16 * 2 ** 20) };
    await refusal(() => encodeSafetensors({ a: { shape: [1], data: new Float32Array(1) } }, long), 'limit-exceeded');
  });
});
