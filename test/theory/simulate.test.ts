import { expect } from 'chai';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LinbpError } from '../../src/errors.js';
import { writeSafetensors } from '../../src/io/safetensors.js';
import {
  attackDefaults,
  readAttackArrays,
  simulateAttack,
  simulateTraining,
  trainingDefaults,
} from '../../src/theory/simulate.js';
import type {
  AttackArrays,
  AttackSimulation,
  SimulationResult,
  TrainingSimulation,
} from '../../src/theory/simulate.js';
import type { Device } from '../../src/runtime/device.js';
import { sharedDevice } from '../support/device.js';
import { LegacyRandom } from './legacyRandom.js';
import { expectLinbpError } from '../io/support.js';

const freshSeed = (): number => Math.floor(Math.random() * 2 ** 32);

/** The arrays that the official script draws from NumPy's legacy generator with seed 0: per repeat W, V, x*, x_0. */
function officialArrays(repeats: number): AttackArrays {
  const random = new LegacyRandom(0);
  const { d1, d2, d3 } = attackDefaults;
  const parts: { w: number[]; v: number[]; xStar: number[]; xStart: number[] } = {
    w: [],
    v: [],
    xStar: [],
    xStart: [],
  };
  for (let repeat = 0; repeat < repeats; repeat++) {
    parts.w.push(...random.normals(d2 * d1));
    parts.v.push(...random.normals(d3 * d2));
    parts.xStar.push(...random.normals(d1).map((value) => 2 * value + 1));
    parts.xStart.push(...random.normals(d1));
  }
  return {
    w: Float64Array.from(parts.w),
    v: Float64Array.from(parts.v),
    xStar: Float64Array.from(parts.xStar),
    xStart: Float64Array.from(parts.xStart),
  };
}

/**
 * Mean distances of the official script with those arrays: start, BP at 10 and 100, LinBP at 10 and 100, repeats
 * LinBP wins of 10.
 */
const officialFigures = {
  raw: [195.8954, 195.3245, 195.0757, 194.3091, 193.448, 8],
  l2: [195.8954, 195.4897, 195.2675, 195.1694, 193.5011, 8],
  sign: [195.8954, 195.7112, 195.2181, 195.3487, 193.6002, 7],
} as const;

function expectOfficial(modes: ReadonlyMap<keyof typeof officialFigures, SimulationResult>, tolerance: number): void {
  for (const [mode, [start, bp10, bp100, linbp10, linbp100, won]] of Object.entries(officialFigures)) {
    const { distance } = modes.get(mode as keyof typeof officialFigures)!;
    expect(distance.bp.mean[0], mode).to.be.closeTo(start, tolerance);
    expect(distance.bp.mean[10], mode).to.be.closeTo(bp10, tolerance);
    expect(distance.bp.mean[100], mode).to.be.closeTo(bp100, tolerance);
    expect(distance.linbp.mean[10], mode).to.be.closeTo(linbp10, tolerance);
    expect(distance.linbp.mean[100], mode).to.be.closeTo(linbp100, tolerance);
    expect(distance.won[100], mode).to.equal(won / 10);
  }
}

function expectSame(actual: SimulationResult, expected: SimulationResult, relative: number): void {
  expect(actual.curves!.length).to.equal(expected.curves!.length);
  let worst = 0;
  expected.curves!.forEach((value, i) => {
    worst = Math.max(worst, Math.abs(actual.curves![i]! - value) / (Math.abs(value) + 1e-3));
  });
  expect(worst).to.be.below(relative);
  for (const quantity of ['distance', 'loss'] as const) {
    for (const side of ['bp', 'linbp', 'margin'] as const) {
      for (const figure of ['mean', 'halfWidth'] as const) {
        const scale = Math.max(...expected[quantity].bp.mean);
        expected[quantity][side][figure].forEach((value, t) =>
          expect(actual[quantity][side][figure][t]).to.be.closeTo(value, 10 * relative * scale),
        );
      }
    }
  }
}

describe('simulation of the attack', () => {
  it("reproduces the official figures from NumPy's arrays: 3 decimals in float64, 0.1 in float32", async () => {
    // The first numbers of np.random.RandomState(0).randn.
    const first = new LegacyRandom(0).normals(3);
    [1.764052345967664, 0.4001572083672233, 0.9787379841057392].forEach((value, i) =>
      expect(first[i]).to.be.closeTo(value, 1e-15),
    );
    const folder = mkdtempSync(join(tmpdir(), 'linbp-'));
    try {
      const path = join(folder, 'arrays.safetensors');
      const drawn = officialArrays(10);
      await writeSafetensors(path, {
        W: { shape: [10, 20, 100], data: drawn.w as Float64Array },
        V: { shape: [10, 10, 20], data: drawn.v as Float64Array },
        x_star: { shape: [10, 100], data: drawn.xStar as Float64Array },
        x_0: { shape: [10, 100], data: drawn.xStart as Float64Array },
      });
      const { arrays, sizes } = await readAttackArrays(path);
      expect(sizes).to.deep.equal({ d1: 100, d2: 20, d3: 10, repeats: 10 });
      const settings = { ...attackDefaults, ...sizes };
      expectOfficial((await simulateAttack('reference', settings, arrays)).modes, 5e-4);
      const { modes } = await simulateAttack(await sharedDevice(), settings, arrays);
      expectOfficial(modes, 0.1);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('has the known gap between BP and LinBP over 400 repeats, in each mode', async () => {
    const { modes } = await simulateAttack(await sharedDevice(), attackDefaults);
    expect([...modes.keys()]).to.deep.equal(['raw', 'l2', 'sign']);
    for (const [mode, { distance }] of modes) {
      expect(distance.bp.mean[0], mode).to.be.within(193.5, 197.5);
      expect(distance.margin.mean[100], mode).to.be.within(0.7, 1.4);
      expect(distance.margin.mean[100]! - distance.margin.halfWidth[100]!, mode).to.be.above(0);
      expect(distance.won[100], mode).to.be.within(0.55, 0.85);
    }
  });

  it('has it for fresh draws too', async () => {
    // The gap of one repeat has mean 1.0 to 1.1 and standard deviation 2.4 at most, its mean over 400 a standard
    // error of 0.12; the start one of
    // 0.74: the limits are more than 6 standard errors away, a chance of 2e-9 each.
    const seed = freshSeed();
    const { modes } = await simulateAttack(await sharedDevice(), { ...attackDefaults, seed, modes: ['l2'] });
    const { distance } = modes.get('l2')!;
    expect(distance.margin.mean[100], `seed ${seed}`).to.be.within(0.3, 1.85);
    expect(distance.bp.mean[0], `seed ${seed}`).to.be.within(190.8, 200.8);
  });

  it('follows the float64 reference over chunks of steps, for other sizes', async () => {
    const seed = freshSeed();
    for (const [d1, d2, d3, steps] of [
      [7, 5, 3, 130],
      [90, 70, 66, 12],
      [1, 1, 1, 100],
    ] as const) {
      // Modes l2 and sign jump where a gradient changes sign, which rounding can move to another step; raw is
      // continuous.
      const settings: AttackSimulation = {
        ...attackDefaults,
        d1,
        d2,
        d3,
        steps,
        repeats: 3,
        seed,
        modes: ['raw'],
        rates: { ...attackDefaults.rates, raw: 1e-4 },
      };
      const run = (device: Device | 'reference') => simulateAttack(device, settings, undefined, { keepCurves: true });
      const [{ modes }, reference] = [await run(await sharedDevice()), await run('reference')];
      expectSame(modes.get('raw')!, reference.modes.get('raw')!, 1e-3);
    }
  });

  it('stays where it is at the teacher, in every mode', async () => {
    const x = Float32Array.from({ length: 8 }, () => Math.random());
    const arrays = {
      w: Float32Array.from({ length: 24 }, () => Math.random() - 0.5),
      v: Float32Array.of(1, 2, 3, -1, 2, -3),
      xStar: x,
      xStart: x,
    };
    const settings = { ...attackDefaults, d1: 4, d2: 3, d3: 1, repeats: 2, steps: 5 };
    const { modes } = await simulateAttack(await sharedDevice(), settings, arrays);
    for (const { distance, loss } of modes.values()) {
      expect(Array.from(distance.linbp.mean)).to.deep.equal([0, 0, 0, 0, 0, 0]);
      expect(Array.from(loss.bp.mean)).to.deep.equal([0, 0, 0, 0, 0, 0]);
    }
  });

  it('refuses bad input', async () => {
    const device = await sharedDevice();
    for (const [code, change] of [
      ['bad-range', { d1: 0 }],
      ['bad-range', { d2: 1000 }],
      ['bad-range', { repeats: 0 }],
      ['bad-range', { eps: -1 }],
      ['bad-range', { rates: { raw: 0, l2: 1, sign: 1 } }],
      ['bad-argument', { modes: [] }],
      ['limit-exceeded', { repeats: 10_000_000 }],
    ] as const) {
      const error = await simulateAttack(device, { ...attackDefaults, ...change }).catch((cause: unknown) => cause);
      expect(error, JSON.stringify(change)).to.be.instanceOf(LinbpError).with.property('code', code);
    }
    const arrays = officialArrays(1);
    const error = await simulateAttack(device, { ...attackDefaults, repeats: 2 }, arrays).catch(
      (cause: unknown) => cause,
    );
    expect(error).to.be.instanceOf(LinbpError).with.property('code', 'bad-shape');
    const folder = mkdtempSync(join(tmpdir(), 'linbp-'));
    try {
      await expectLinbpError(() => readAttackArrays(join(folder, 'none')), 'missing-file');
      await writeSafetensors(join(folder, 'part'), { W: { shape: [1, 1, 1], data: Float32Array.of(1) } });
      await expectLinbpError(() => readAttackArrays(join(folder, 'part')), 'bad-file');
      writeFileSync(join(folder, 'junk'), 'junk');
      await expectLinbpError(() => readAttackArrays(join(folder, 'junk')), 'bad-file');
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe('simulation of training', () => {
  it('lets LinBP stay ahead over 10,000 steps, with the known final ratio @slow', async () => {
    const { distance, loss } = await simulateTraining(await sharedDevice(), trainingDefaults);
    for (const t of [100, 1000, 2000, 5000, 10000]) {
      expect(distance.linbp.mean[t], `step ${t}`).to.be.at.most(distance.bp.mean[t]!);
      expect(loss.linbp.mean[t], `step ${t}`).to.be.at.most(loss.bp.mean[t]!);
    }
    expect(distance.linbp.mean[10000]! / distance.bp.mean[10000]!).to.be.within(0.7, 0.82);
    expect(distance.won[10000]).to.equal(1);
  });

  it('does so for fresh draws too', async () => {
    // Over 24 repeats the mean margin at steps 100 and 600 is about 10 standard errors above 0.
    const seed = freshSeed();
    const { distance } = await simulateTraining(await sharedDevice(), {
      ...trainingDefaults,
      steps: 600,
      repeats: 24,
      seed,
    });
    for (const t of [100, 600]) expect(distance.margin.mean[t], `step ${t}, seed ${seed}`).to.be.above(0);
  });

  it('follows the float64 reference over chunks of steps and tiles of rows', async () => {
    const seed = freshSeed();
    for (const [d, rows, steps] of [
      [5, 13, 230],
      [37, 203, 20],
      [200, 10, 20],
      [1, 700, 20],
    ] as const) {
      const settings: TrainingSimulation = { ...trainingDefaults, d, rows, steps, repeats: 3, rate: 0.02, seed };
      const actual = await simulateTraining(await sharedDevice(), settings, { keepCurves: true });
      expectSame(actual, await simulateTraining('reference', settings, { keepCurves: true }), 1e-3);
    }
  });

  it('gives the same bits for the same seed, and each repeat its own', async () => {
    const settings = { ...trainingDefaults, steps: 30, repeats: 4, seed: freshSeed() };
    const device = await sharedDevice();
    const first = await simulateTraining(device, settings, { keepCurves: true });
    const second = await simulateTraining(device, settings, { keepCurves: true });
    expect(first.curves).to.deep.equal(second.curves);
    // A repeat's draws depend on its number only.
    const more = await simulateTraining(device, { ...settings, repeats: 7 }, { keepCurves: true });
    expect(Array.from(more.curves!.subarray(0, 4 * 31))).to.deep.equal(Array.from(first.curves!.subarray(0, 4 * 31)));
    expect(new Set([0, 1, 2, 3].map((repeat) => first.curves![repeat * 31])).size).to.equal(4);
  });

  it('the reference tells how far it is, stops when told to and refuses bad input', async () => {
    const shares: number[] = [];
    const onProgress = (share: number): void => void shares.push(share);
    const short = { ...trainingDefaults, steps: 5 };
    expect((await simulateTraining('reference', short, { onProgress })).curves).to.equal(undefined);
    expect(shares.at(-1)).to.equal(1);
    const abort = new AbortController();
    const stopped = { signal: abort.signal, onProgress: (): void => abort.abort() };
    for (const run of [
      () => simulateTraining('reference', { ...trainingDefaults, steps: 1_000_000 }, stopped),
      () => simulateAttack('reference', attackDefaults, undefined, { signal: AbortSignal.abort() }),
    ]) {
      const error = await run().catch((cause: unknown) => cause);
      expect(error).to.be.instanceOf(LinbpError).with.property('code', 'aborted');
    }
    const refused = await simulateTraining('reference', { ...short, d: 257 }).catch((cause: unknown) => cause);
    expect(refused).to.be.instanceOf(LinbpError).with.property('code', 'bad-range');
  });

  it('frees its memory, stops when told to and refuses bad input', async () => {
    const device = await sharedDevice();
    const before = device.memory();
    await simulateTraining(device, { ...trainingDefaults, steps: 5 });
    expect(device.memory().live).to.equal(before.live);
    const error = await simulateTraining(device, trainingDefaults, { signal: AbortSignal.abort() }).catch(
      (cause: unknown) => cause,
    );
    expect(error).to.be.instanceOf(LinbpError).with.property('code', 'aborted');
    for (const change of [{ d: 257 }, { rows: 0 }, { steps: 0 }, { rate: -1 }, { seed: 2 ** 32 }]) {
      const refused = await simulateTraining(device, { ...trainingDefaults, ...change }).catch(
        (cause: unknown) => cause,
      );
      expect(refused, JSON.stringify(change)).to.be.instanceOf(LinbpError).with.property('code', 'bad-range');
    }
  });
});
