import { expect } from 'chai';
import { Attack, attacks, elementwiseMap } from '../../src/attacks/index.js';
import type { AttackDefinition, AttackOptions, AttackResult } from '../../src/attacks/index.js';
import type { ElementwiseFunction } from '../../src/graph/types.js';
import { describeModel } from '../../src/nn/definition.js';
import type { ModelDefinition } from '../../src/nn/definition.js';
import type { Model, StateDict } from '../../src/nn/model.js';
import { lenet5 } from '../../src/nn/zoo/mnist.js';
import { eightBitImages, modelWith, numbers } from './support.js';

const pixels = 784;
const count = 16;
const bytes = (values: Float32Array): Buffer => Buffer.from(values.buffer, values.byteOffset, values.byteLength);

describe('attacks: laws', () => {
  let model: Model;
  let labels: Int32Array;
  const seed = Math.floor(Math.random() * 1e6);
  const images = eightBitImages(seed, count * pixels);
  before(async () => {
    model = await modelWith(lenet5);
    // Labels are what the network says, so that every clean image is right.
    const logits = await model.logits(images);
    labels = Int32Array.from({ length: count }, (_, n) => {
      const row = logits.subarray(10 * n, 10 * n + 10);
      return row.indexOf(Math.max(...row));
    });
  });
  after(() => model.destroy());

  async function attacked(options: Partial<AttackOptions>, targets?: Int32Array): Promise<AttackResult> {
    using attack = await Attack.compile({ model, batch: count, seed, eps: 0.05, ...options });
    return await attack.run({ images, labels, ...(targets === undefined ? {} : { targets }) });
  }

  for (const norm of ['linf', 'l2'] as const) {
    const unit = norm === 'linf' ? 1 : 10;
    it(`${norm}: eps, steps, restarts never leave more right; noise most${norm === 'l2' ? ' @slow' : ''}`, async () => {
      const falls = async (settings: Partial<AttackOptions>[]): Promise<number[]> => {
        const robust: number[] = [];
        for (const each of settings) robust.push((await attacked({ norm, ...each })).robustCorrect);
        for (let i = 1; i < robust.length; i++)
          expect(robust[i], `${robust.join(' ')}, seed ${seed}`).to.be.at.most(robust[i - 1]!);
        return robust;
      };
      const byEps = await falls([0, 0.01, 0.05, 0.3].map((eps) => ({ eps: unit * eps, steps: 8 })));
      expect(byEps[0]).to.equal(count);
      expect(byEps.at(-1), `eps ${unit * 0.3}, seed ${seed}`).to.equal(0);
      const small = { eps: unit * 0.01, alpha: unit * 0.002 };
      await falls([1, 2, 5, 10].map((steps) => ({ ...small, steps })));
      await falls([1, 2, 4].map((restarts) => ({ ...small, restarts, steps: 3 })));
      const noise = await attacked({ norm, eps: unit * 0.05, alpha: 0, steps: 1 });
      const aimed = await attacked({ norm, eps: unit * 0.05, steps: 8 });
      expect(noise.robustCorrect).to.be.greaterThan(aimed.robustCorrect);
    });
  }

  it('targeted attacks reach their targets, and only that counts as success', async () => {
    const targets = labels.map((label) => (label + 3) % 10);
    const result = await attacked({ targeted: true, eps: 0.5, steps: 20, loss: 'margin' }, targets);
    const logits = await model.logits(result.images);
    const reached = Array.from(
      targets,
      (target, n) => Math.max(...logits.subarray(10 * n, 10 * n + 10)) === logits[10 * n + target]!,
    );
    expect(result.samples.map(({ success }) => success)).to.deep.equal(reached);
    expect(result.successRate).to.be.greaterThan(0.5);
    expect(result.samples.every(({ loss, cleanLoss }) => loss < cleanLoss)).to.equal(true);
  });

  it('figures are recomputed on the true forward pass', async () => {
    const result = await attacked({ steps: 4, rules: 'linbp' });
    const right = async (pictures: Float32Array): Promise<number> => {
      const logits = await model.logits(pictures);
      return Array.from(labels).filter(
        (label, n) =>
          logits.subarray(10 * n, 10 * n + 10).indexOf(Math.max(...logits.subarray(10 * n, 10 * n + 10))) === label,
      ).length;
    };
    expect(result.robustCorrect).to.equal(await right(result.images));
    expect(result.saved.robustCorrect).to.equal(await right(Float32Array.from(result.images8, (level) => level / 255)));
    expect(result.robustAccuracy).to.equal(result.robustCorrect / count);
    expect(result.successRate).to.equal(1 - result.robustAccuracy);
    expect(result.curve.map(({ step }) => step)).to.deep.equal([0, 1, 2, 3, 4]);
    expect(result.curve.at(-1)!.robustAccuracy).to.equal(result.robustAccuracy);
  });

  it('the best iterate is kept: no sample ends with a lower loss than any iterate of its kind', async () => {
    const result = await attacked({ steps: 6, restarts: 2, alpha: 0.05, norm: 'linf', eps: 0.02 });
    for (const [n, sample] of result.samples.entries()) {
      const seen = Array.from({ length: 14 }, (_, k) => result.losses[k * count + n]!);
      if (sample.robustCorrect) expect(sample.loss).to.equal(Math.max(sample.cleanLoss, ...seen));
      else expect(seen).to.include(sample.loss);
    }
  });

  it('counts: dispatches = begin + restarts (start + T step + evaluate) + finish; no transfer inside', async () => {
    const device = model.device;
    const measured = [];
    for (const [steps, restarts] of [
      [5, 1],
      [25, 1],
      [5, 3],
    ] as const) {
      using attack = await Attack.compile({ model, batch: count, eps: 0.05, steps, restarts });
      const { executor, attack: built } = await attack.executor();
      const program = (executor as unknown as { program: import('../../src/program/program.js').Program }).program;
      const size = (segment: string): number => program.segmentDispatches(segment).length;
      const write = device.write.bind(device);
      let writes = 0;
      device.write = (...args) => {
        writes++;
        write(...args);
      };
      let result: AttackResult;
      try {
        result = await attack.run({ images, labels });
      } finally {
        device.write = write;
      }
      const loops = restarts * (size('start') + steps * size('step') + size('evaluate'));
      expect(result.dispatches).to.equal(
        size('begin') + size('remember') + 3 * size('evaluate') + loops + size('finish'),
      );
      expect(result.gradients).to.equal(count * steps * restarts);
      expect(result.imageGradientsPerSecond).to.be.closeTo(
        result.gradients / result.seconds,
        1e-6 * result.imageGradientsPerSecond,
      );
      const weightGradients = built.graph.nodes.filter(
        (node) => node.direction === 'weightGradient' || node.op.endsWith('WeightGradient'),
      );
      expect(weightGradients.map(({ op }) => op)).to.deep.equal([]);
      expect(result.submits).to.be.at.most(30 + steps * restarts);
      measured.push([result.readbacks, writes]);
    }
    expect(measured[1], 'read-backs and writes do not grow with steps').to.deep.equal(measured[0]);
    expect(measured[2], 'nor with restarts').to.deep.equal(measured[0]);
    expect(measured[0]![0]).to.be.at.most(6);
  });

  const someRules = ['bp', 'linbp', 'leaky:a=0.25'];
  const otherRules = ['linbp:from=all', 'guided', 'deconvnet', 'softplus:beta=0.5', 'silu'];
  for (const [tag, rules] of [
    ['', someRules],
    [' @slow', [...someRules, ...otherRules, 'linbp:match=activation,scope=sample']],
  ] as const) {
    it(`forward logits are bit-identical under ${rules.length} rules${tag}`, async () => {
      const logits: Buffer[] = [];
      const losses: Buffer[] = [];
      for (const rule of rules) {
        using attack = await Attack.compile({
          model,
          batch: count,
          eps: 0.05,
          steps: 2,
          alpha: 0,
          attack: 'ifgsm',
          keep: 'last',
          rules: rule,
        });
        const result = await attack.run({ images, labels });
        const { executor, attack: built } = await attack.executor();
        logits.push(bytes(await executor.read(built.graph.outputs.get('logits')!)));
        losses.push(bytes(result.losses));
      }
      for (const [i, rule] of rules.entries()) {
        expect(logits[i]!.equals(logits[0]!), rule).to.equal(true);
        expect(losses[i]!.equals(losses[0]!), `${rule}, inside the step`).to.equal(true);
      }
    });
  }

  it('LinBP equals BP where every pre-activation is positive, and differs elsewhere', async () => {
    const net: ModelDefinition = {
      name: 'two-layer',
      input: [1, 6, 6],
      classes: 4,
      build: (builder, x) =>
        builder.linear('out', builder.relu('act', builder.linear('hidden', builder.flatten(x), 20)), 4),
    };
    const weights = (low: number): StateDict =>
      new Map(
        describeModel(net).layout.specs.map((spec, index) => {
          const size = spec.shape.reduce((product, each) => product * each, 1);
          return [
            spec.name,
            { shape: spec.shape, data: numbers(seed + index, size, spec.name.startsWith('hidden') ? low : -1, 1) },
          ];
        }),
      );
    const few = numbers(seed + 9, 8 * 36);
    const outcome = async (low: number, rules: string): Promise<Buffer> => {
      using each = await modelWith(net, weights(low));
      using attack = await Attack.compile({
        model: each,
        batch: 8,
        eps: 0.1,
        norm: 'l2',
        steps: 3,
        attack: 'ifgsm',
        keep: 'last',
        rules,
      });
      return bytes((await attack.run({ images: few, labels: Int32Array.from({ length: 8 }, (_, n) => n % 4) })).images);
    };
    expect((await outcome(0.01, 'linbp:from=all')).equals(await outcome(0.01, 'bp'))).to.equal(true);
    expect((await outcome(-1, 'linbp:from=all')).equals(await outcome(-1, 'bp'))).to.equal(false);
  });

  it("a user's attack: one stage replaced", async () => {
    // steps along the sign for large entries only
    const large: ElementwiseFunction = {
      name: 'largeOnly',
      inputs: ['g', 'most'],
      scalars: ['share'],
      results: ['select(0.0, g, abs(g) >= share * most)'],
      reference: (g, most, share) => [Math.abs(g!) >= share! * most! ? g! : 0],
    };
    const sparse: AttackDefinition = {
      ...attacks.pgd,
      name: 'sparse',
      gradient: ({ graph }, g) =>
        elementwiseMap(graph, large, [g, graph.one('sampleNorm', [g], { norm: 'linf' })], [0.5]),
    };
    const moved = (result: AttackResult): number =>
      result.images.filter((pixel, i) => Math.abs(pixel - images[i]!) > 1e-6).length;
    const common = { eps: 0.3, steps: 3, randomStart: false, keep: 'last' } as const;
    const [own, plain] = [await attacked({ ...common, attack: sparse }), await attacked({ ...common, attack: 'pgd' })];
    expect(moved(own))
      .to.be.greaterThan(0)
      .and.below(0.3 * moved(plain));
    const same = await attacked({ ...common, attack: { ...attacks.pgd, name: 'mine' } });
    expect(bytes(same.images).equals(bytes(plain.images))).to.equal(true);
  });

  it('a transform is differentiated, and judged at the iterate itself', async () => {
    const halved: AttackDefinition = {
      ...attacks.ifgsm,
      name: 'darker',
      transform: ({ graph }, x) => graph.one('scaleShift', [x, graph.constant('half', [0.5])], {}),
    };
    const result = await attacked({ attack: halved, steps: 3, keep: 'best', eps: 0.02 });
    const clean = result.samples.map(({ cleanLoss }) => cleanLoss);
    expect(Array.from(result.losses.subarray(0, count))).to.deep.equal(clean);
    expect(result.linf.largest).to.be.greaterThan(0);
    // Iterates that no step looks at are evaluated for `best` only: the last one, once more as result and as saved.
    const last = await attacked({ attack: halved, steps: 3, keep: 'last', eps: 0.02 });
    expect(last.curve.map(({ step }) => step)).to.deep.equal([3]);
    expect([result.forwards / count, last.forwards / count]).to.deep.equal([3 + 1 + 3 + 3, 3 + 1 + 3]);
  });
});
