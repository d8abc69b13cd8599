import { expect } from 'chai';
import { Graph } from '../../src/graph/graph.js';
import type { ConvAttrs } from '../../src/graph/types.js';
import { compareGraph, randomArray } from '../support/compare.js';
import { convGraph } from '../support/convolution.js';
import { sharedDevice } from '../support/device.js';
import { elementCount } from '../../src/graph/types.js';
import { debugGraph } from '../../src/program/debug.js';
import { groupNodes } from '../../src/passes/fuse.js';
import { schedule } from '../../src/plan/schedule.js';
import { kernelDevice } from '../../src/program/kernelDevice.js';
import { Program } from '../../src/program/program.js';
import { kernelTraits } from '../../src/kernels/products.js';
import { usualUnrolling } from '../../src/kernels/tiles.js';
import { bp, guided, silu } from '../../src/rules/builtin.js';
import { choiceName, onlyChoice } from '../../src/choices/table.js';
import { sampleValues } from '../../src/tune/trial.js';
import { pending } from '../support/pending.js';

const plain: ConvAttrs = { stride: [1, 1], padding: [0, 0, 0, 0], dilation: [1, 1], groups: 1 };

const pick = (low: number, high: number): number => low + Math.floor(Math.random() * (high - low + 1));

async function expectClose(graph: Graph, tolerance = 1e-5): Promise<void> {
  for (const { name, error } of await compareGraph(graph, new Map())) expect(error, name).to.be.below(tolerance);
}

describe('implicit-GEMM kernels against the float64 reference', () => {
  const cases: [string, number[], number[], Partial<ConvAttrs>, boolean][] = [
    ['3x3 padded', [2, 3, 9, 9], [4, 3, 3, 3], { padding: [1, 1, 1, 1] }, true],
    ['stride 2, odd sizes', [1, 4, 7, 11], [6, 4, 3, 3], { stride: [2, 2], padding: [1, 1, 1, 1] }, true],
    ['1x1', [2, 6, 8, 8], [10, 6, 1, 1], {}, false],
    ['1x1 stride 2', [2, 6, 9, 8], [5, 6, 1, 1], { stride: [2, 2] }, true],
    ['5x5 many images', [64, 1, 28, 28], [6, 1, 5, 5], { padding: [2, 2, 2, 2] }, true],
    [
      'dilated and strided',
      [1, 5, 16, 17],
      [7, 5, 3, 3],
      { stride: [2, 3], padding: [2, 1, 2, 1], dilation: [2, 2] },
      true,
    ],
    ['groups', [2, 12, 8, 8], [8, 3, 3, 3], { padding: [1, 1, 1, 1], groups: 4 }, true],
    ['depthwise', [2, 8, 11, 9], [8, 1, 3, 3], { stride: [2, 2], padding: [1, 1, 1, 1], groups: 8 }, false],
    ['many rows', [1, 17, 5, 5], [33, 17, 3, 3], { padding: [1, 1, 1, 1] }, true],
    ['asymmetric padding', [2, 3, 8, 8], [4, 3, 3, 3], { stride: [2, 2], padding: [0, 0, 1, 1] }, true],
    ['stride beyond the kernel', [1, 2, 10, 10], [3, 2, 2, 2], { stride: [3, 3] }, true],
    ['64 channels', [5, 64, 4, 4], [64, 64, 3, 3], { padding: [1, 1, 1, 1] }, false],
  ];
  for (const [name, x, w, attrs, bias] of cases) {
    it(`convolution, ${name}: forward, input gradient, weight gradient`, async () => {
      await expectClose(convGraph(x, w, { ...plain, ...attrs }, bias));
    });
  }

  it('convolution by rows and the general kernel, strided and with one tap, in fours and not @slow', async () => {
    const device = await sharedDevice();
    const forms: Partial<ConvAttrs>[] = [
      {},
      { stride: [2, 2] },
      { stride: [1, 2], padding: [0, 3, 0, 2] },
      { stride: [2, 1], groups: 2 },
    ];
    for (const width of [16, 13]) {
      for (const taps of [1, 3]) {
        for (const attrs of forms) {
          const channels = 6 / (attrs.groups ?? 1);
          const shapes = [[3, 6, 5, width], [10, channels, Math.min(2, taps), taps], { ...plain, ...attrs }] as const;
          const graph = new Graph();
          const [x, w] = [graph.input('x', shapes[0]), graph.parameter('w', shapes[1])];
          const y = graph.one('conv2d', [x, w], shapes[2]);
          const g = graph.input('g', y.shape);
          graph.output('y', y);
          // by phases where it is strided, some of them without a tap
          graph.output('dx', graph.one('conv2dInputGradient', [g, w], { ...shapes[2], inputShape: shapes[0] }));
          const feeds = new Map([x, w, g].map((tensor) => [tensor, randomArray(elementCount(tensor.shape))]));
          // a GPU runs by rows what has several taps and no stride only
          const byRows = device.adapterInfo.software || (taps > 1 && attrs.stride === undefined);
          for (const kernel of ['gemm/conv', ...(byRows ? (['gemm/convRows'] as const) : [])] as const) {
            const choices = onlyChoice({ kernel, rows: 4, columns: 4, lanes: 8, share: 1 });
            for (const entry of await debugGraph(graph, feeds, { device, choices })) {
              expect(entry.kernel).to.equal(kernel);
              expect(entry.error, JSON.stringify(shapes)).to.be.below(1e-5);
            }
          }
        }
      }
    }
  });

  it('short sums are stored by straight-line code where each lane has a strip, same bits @slow', async function () {
    const device = await sharedDevice();
    if (!device.adapterInfo.software) pending(this, 'a software adapter: a GPU stores as fast by loops');
    for (const { groups, bias, relu, straight } of [
      { groups: 1, bias: false, relu: false, straight: true },
      { groups: 2, bias: true, relu: false, straight: true },
      { groups: 1, bias: true, relu: true, straight: false },
    ]) {
      const graph = new Graph();
      const [x, w, b] = [
        graph.input('x', [2, 12, 4, 16]),
        graph.parameter('w', [32, 12 / groups, 1, 1]),
        graph.parameter('b', [32]),
      ];
      const y = graph.one('conv2d', bias ? [x, w, b] : [x, w], { ...plain, groups });
      graph.output('y', relu ? graph.add('activation', [y], { kind: 'relu', mask: true })[0]! : y);
      const feeds = new Map(
        [x, w, ...(bias ? [b] : [])].map((tensor) => [tensor, randomArray(elementCount(tensor.shape))]),
      );
      const results: Buffer[] = [];
      for (const kernel of ['gemm/conv', 'gemm/convRows'] as const) {
        const choices = onlyChoice({ kernel, rows: 16, columns: 8, lanes: 8, share: 8 });
        using program = await Program.compile(graph, { device, choices });
        const variants = program.dispatches.map(({ source }) => source.variant).join();
        expect(/ straight\b/.test(variants), variants).to.equal(kernel === 'gemm/convRows' && straight);
        for (const [tensor, values] of feeds) program.write(tensor, values);
        await program.run([{ segment: 'main' }]);
        results.push(Buffer.from((await program.read('y')).buffer));
        for (const { error } of await debugGraph(graph, feeds, { device, choices })) expect(error).to.be.below(1e-5);
      }
      expect(results[1]!.equals(results[0]!)).to.equal(true);
    }
  });

  it('what is fused behind a convolution: same bits by scalars and vec4, fused or not @slow', async function () {
    const device = await sharedDevice();
    if (!device.adapterInfo.software) pending(this, 'a software adapter: a GPU goes pixel by pixel');
    for (const [kind, rule] of [
      ['relu', bp],
      ['relu', silu()],
      ['relu6', guided],
    ] as const) {
      const graph = new Graph();
      const conv = { ...plain, padding: [1, 1, 1, 1] } as const;
      const [x, w, wide] = [graph.input('x', [2, 5, 4, 8]), graph.parameter('w', [32, 5, 3, 3]), [2, 32, 4, 8]];
      const scaled = graph.one(
        'scaleShift',
        [graph.one('conv2d', [x, w], conv), graph.input('scale', [32]), graph.input('shift', [32])],
        {},
      );
      const before = graph.one('add', [scaled, graph.input('other', wide)], {});
      const [y, mask] = graph.add('activation', [before], { kind, mask: true });
      const saved = rule.rule.saves === 'input' ? before : mask!;
      const g = graph.one(
        'conv2dInputGradient',
        [graph.input('g', [2, 5, 4, 8]), graph.parameter('v', [5, 32, 3, 3])],
        {
          ...conv,
          inputShape: wide,
        },
      );
      graph.output('y', y!);
      graph.output('dx', graph.one('activationBackward', [g, saved], { kind, rule }));
      const feeds = new Map(
        graph.tensors
          .filter(({ kind: each, view }) => each !== 'value' && view === undefined)
          .map((tensor) => [tensor, randomArray(elementCount(tensor.shape))]),
      );
      const results: Buffer[][] = [];
      for (const [columns, fuse] of [
        [5, true],
        [8, true],
        [8, false],
      ] as const) {
        const choices = onlyChoice({ kernel: 'gemm/convRows', rows: 16, columns, lanes: 8, share: 8 });
        using program = await Program.compile(graph, { device, fuse, choices });
        expect(
          program.dispatches.some(
            ({ source }) => source.kernel === 'elementwise/pointwise' && source.variant.endsWith('vec4'),
          ),
        ).to.equal(!fuse);
        for (const [tensor, values] of feeds) program.write(tensor, values);
        await program.run([{ segment: 'main' }]);
        results.push([Buffer.from((await program.read('y')).buffer), Buffer.from((await program.read('dx')).buffer)]);
        for (const { tensor, error } of await debugGraph(graph, feeds, { device, fuse, choices }))
          expect(error, tensor).to.be.below(1e-5);
      }
      for (const other of results.slice(1)) {
        expect(other[0]!.equals(results[0]![0]!), 'forward').to.equal(true);
        expect(other[1]!.equals(results[0]![1]!), 'backward').to.equal(true);
      }
    }
  });

  it('weight gradients by rows give the bits of the general kernel, same accumulation order @slow', async function () {
    const device = await sharedDevice();
    if (!device.adapterInfo.software) pending(this, 'a software adapter: a GPU has the general kernel only');
    const shapes: readonly (readonly [number[], number[], Partial<ConvAttrs>, number, number, 'fetch'?])[] = [
      [[3, 5, 8, 8], [9, 5, 3, 3], { padding: [1, 1, 1, 1] }, 8, 3],
      [[2, 4, 9, 16], [6, 4, 3, 3], { stride: [2, 2], padding: [1, 1, 1, 1] }, 4, 6],
      [[2, 6, 7, 7], [10, 3, 2, 3], { padding: [0, 2, 1, 0], dilation: [2, 1], groups: 2 }, 8, 3],
      [[2, 3, 10, 13], [5, 3, 1, 1], { stride: [1, 2] }, 4, 2],
      // 32 rows; strips whose first inputs are the last of the strip before: two of five taps, in fours and one by one
      [[2, 4, 8, 16], [40, 4, 3, 3], { stride: [2, 2], padding: [1, 1, 1, 1] }, 32, 3],
      [[2, 3, 6, 12], [33, 3, 3, 5], { padding: [1, 2, 1, 2] }, 32, 5],
      [[2, 3, 6, 10], [33, 3, 1, 5], { padding: [0, 2, 0, 1] }, 32, 5],
      [[2, 3, 6, 16], [9, 3, 3, 2], { stride: [1, 2], padding: [1, 1, 1, 1] }, 8, 2],
      [[2, 3, 6, 8], [9, 3, 1, 1], { padding: [0, 1, 0, 1] }, 8, 1],
      // fetched ahead: whole images as one line, and the inputs of long strided lines
      [[3, 9, 6, 8], [18, 9, 1, 1], {}, 16, 2, 'fetch'],
      [[2, 3, 5, 34], [9, 3, 3, 3], { stride: [2, 2], padding: [1, 1, 1, 1] }, 8, 3, 'fetch'],
      // without a bias lanes that have one row of the window pass over the lines that it misses
      [[3, 16, 4, 4], [9, 16, 3, 3], { padding: [1, 1, 1, 1] }, 8, 6],
      [[2, 8, 5, 8], [17, 8, 3, 3], { padding: [2, 1, 0, 1] }, 16, 3],
      [[2, 16, 8, 8], [20, 8, 3, 3], { padding: [1, 1, 1, 1], dilation: [2, 1], groups: 2 }, 16, 3],
    ];
    for (const [index, [x, w, attrs, rows, columns, fetch]] of shapes.entries()) {
      const bias = w[1]! % 8 !== 0;
      const graph = convGraph(x, w, { ...plain, ...attrs }, bias);
      const feeds = new Map(
        graph.tensors
          .filter(({ kind, view }) => kind !== 'value' && view === undefined)
          .map((tensor) => [tensor, randomArray(elementCount(tensor.shape))]),
      );
      // both where tiles are small and compile fast
      for (const splits of index < 3 ? [1, 3] : [1 + 2 * (index % 2)]) {
        const results: Buffer[] = [];
        for (const kernel of ['gemm/weightGradient', 'software/weightGradientRows'] as const) {
          const choice = {
            kernel,
            rows: kernel === 'gemm/weightGradient' ? Math.min(16, rows) : rows,
            columns,
            lanes: 8,
            share: rows > 8 ? 8 : 1,
            splits,
          };
          using program = await Program.compile(graph, { device, choices: onlyChoice(choice) });
          expect(
            program.dispatches.some(({ source }) => source.variant.startsWith(`${choice.rows}x${columns}x8`)),
            `${String(w)} tile`,
          ).to.equal(true);
          const rowwise = kernel === 'software/weightGradientRows';
          for (const [form, expected] of [
            [' together', rowwise && !bias],
            [' fetch', rowwise && fetch !== undefined],
          ] as const) {
            expect(
              program.dispatches.some(({ source }) => source.variant.includes(form)),
              `${String(w)}${form}`,
            ).to.equal(expected);
          }
          expect(program.dispatches.map(({ source }) => source.kernel)).to.include(kernel);
          for (const [tensor, values] of feeds) program.write(tensor, values);
          await program.run([{ segment: 'main' }]);
          for (const name of ['dw', bias ? 'db' : 'dw']) results.push(Buffer.from((await program.read(name)).buffer));
        }
        expect(results[2]!.equals(results[0]!), `${String(w)} weights`).to.equal(true);
        expect(results[3]!.equals(results[1]!), `${String(w)} bias`).to.equal(true);
      }
    }
  });

  it('small images as a whole: all directions; weight gradients keep the general bits @slow', async function () {
    const device = await sharedDevice();
    if (!device.adapterInfo.software) pending(this, 'a software adapter: a GPU stages them through workgroup memory');
    const shapes: readonly (readonly [number[], number[], Partial<ConvAttrs>])[] = [
      [[11, 6, 2, 2], [20, 6, 3, 3], { padding: [1, 1, 1, 1] }],
      [[3, 8, 2, 2], [12, 4, 3, 3], { padding: [1, 1, 1, 1], groups: 2 }],
      [[9, 5, 4, 4], [17, 5, 3, 3], { stride: [2, 2], padding: [1, 1, 1, 1] }],
      [[2, 4, 4, 3], [16, 4, 3, 2], { stride: [2, 1], padding: [1, 0, 0, 0] }],
      [[2, 3, 2, 2], [4, 3, 2, 2], { padding: [1, 1, 1, 1], dilation: [2, 2] }],
      [[3, 4, 1, 1], [5, 4, 3, 3], { padding: [1, 1, 1, 1] }],
      [[2, 3, 1, 3], [4, 3, 3, 3], { padding: [1, 1, 1, 1] }],
    ];
    for (const [x, w, attrs] of shapes) {
      // no tap of the dilated one meets an input under every pixel, as the sum for a bias needs
      const bias = attrs.dilation === undefined;
      const graph = convGraph(x, w, { ...plain, ...attrs }, bias);
      const feeds = new Map(
        graph.tensors
          .filter(({ kind, view }) => kind !== 'value' && view === undefined)
          .map((tensor) => [tensor, randomArray(elementCount(tensor.shape))]),
      );
      const kernels = new Set<string>();
      for (const { kernel, tensor, error } of await debugGraph(graph, feeds, { device })) {
        kernels.add(kernel);
        expect(error, `${tensor} ${JSON.stringify([x, w])}`).to.be.below(1e-5);
      }
      expect(
        [...kernels].filter((kernel) => kernel.startsWith('gemm/') && !kernel.endsWith('Images')),
        JSON.stringify([x, w]),
      ).to.be.empty;
      const results: Buffer[] = [];
      const choiceOf = (kernel: 'gemm/weightGradient' | 'software/weightGradientImages', splits: number) =>
        onlyChoice({ kernel, rows: 8, columns: 8, lanes: 8, share: 8, splits });
      for (const kernel of ['gemm/weightGradient', 'software/weightGradientImages'] as const) {
        using program = await Program.compile(graph, { device, choices: choiceOf(kernel, 1) });
        for (const [tensor, values] of feeds) program.write(tensor, values);
        await program.run([{ segment: 'main' }]);
        for (const name of ['dw', bias ? 'db' : 'dw']) results.push(Buffer.from((await program.read(name)).buffer));
      }
      // parts are whole images
      for (const { error } of await debugGraph(graph, feeds, {
        device,
        choices: choiceOf('software/weightGradientImages', 3),
      })) {
        expect(error, JSON.stringify([x, w])).to.be.below(1e-5);
      }
      expect(results[2]!.equals(results[0]!), `${JSON.stringify([x, w])} weights`).to.equal(true);
      expect(results[3]!.equals(results[1]!), `${JSON.stringify([x, w])} bias`).to.equal(true);
    }
  });

  it('small images as a whole: fused or apart, the same bits by vec4 and by scalars @slow', async function () {
    const device = await sharedDevice();
    if (!device.adapterInfo.software) pending(this, 'a software adapter');
    for (const size of [
      [2, 2],
      [1, 3],
    ]) {
      const graph = new Graph();
      const conv = { ...plain, padding: [1, 1, 1, 1] } as const;
      const wide = [3, 20, ...size];
      const [x, w] = [graph.input('x', [3, 5, ...size]), graph.parameter('w', [20, 5, 3, 3])];
      const scaled = graph.one(
        'scaleShift',
        [graph.one('conv2d', [x, w], conv), graph.input('scale', [20]), graph.input('shift', [20])],
        {},
      );
      const [y, mask] = graph.add('activation', [graph.one('add', [scaled, graph.input('other', wide)], {})], {
        kind: 'relu',
        mask: true,
      });
      const g = graph.one(
        'conv2dInputGradient',
        [graph.input('g', [3, 5, ...size]), graph.parameter('v', [5, 20, 3, 3])],
        {
          ...conv,
          inputShape: wide,
        },
      );
      graph.output('y', y!);
      graph.output('dx', graph.one('activationBackward', [g, mask!], { kind: 'relu', rule: bp }));
      const feeds = new Map(
        graph.tensors
          .filter(({ kind: each, view }) => each !== 'value' && view === undefined)
          .map((tensor) => [tensor, randomArray(elementCount(tensor.shape))]),
      );
      const results: Buffer[] = [];
      for (const fuse of [true, false]) {
        using program = await Program.compile(graph, { device, fuse });
        expect(program.dispatches.some(({ source }) => source.kernel === 'software/convImages')).to.equal(true);
        expect(program.dispatches.some(({ source }) => source.kernel === 'elementwise/pointwise')).to.equal(!fuse);
        for (const [tensor, values] of feeds) program.write(tensor, values);
        await program.run([{ segment: 'main' }]);
        for (const name of ['y', 'dx']) results.push(Buffer.from((await program.read(name)).buffer));
        for (const { tensor, error } of await debugGraph(graph, feeds, { device, fuse }))
          expect(error, tensor).to.be.below(1e-5);
      }
      expect(results[2]!.equals(results[0]!), 'forward').to.equal(true);
      expect(results[3]!.equals(results[1]!), 'backward').to.equal(true);
    }
  });

  it('convolution of random shapes @swiftshader @slow', async () => {
    for (let trial = 0; trial < 4; trial++) {
      const groups = pick(1, 2);
      const kernel = [pick(1, 4), pick(1, 4)];
      const attrs: ConvAttrs = {
        stride: [pick(1, 3), pick(1, 3)],
        padding: [pick(0, 2), pick(0, 2), pick(0, 2), pick(0, 2)],
        dilation: [pick(1, 2), pick(1, 2)],
        groups,
      };
      const channels = groups * pick(1, 9);
      const x = [pick(1, 3), channels, pick(8, 15), pick(8, 15)];
      await expectClose(convGraph(x, [groups * pick(1, 11), channels / groups, ...kernel], attrs, trial % 2 === 0));
    }
  });

  for (const [n, i, o] of [
    [1, 1, 1],
    [3, 7, 5],
    [64, 784, 400],
    [65, 100, 10],
    [17, 129, 33],
  ] as const) {
    it(`linear ${n} x ${i} -> ${o}: forward, input gradient, weight gradient`, async () => {
      const graph = new Graph();
      const [x, w, b, g] = [
        graph.input('x', [n, i]),
        graph.parameter('w', [o, i]),
        graph.parameter('b', [o]),
        graph.input('g', [n, o]),
      ];
      graph.output('y', graph.one('linear', [x, w, b], {}));
      graph.output('dx', graph.one('linearInputGradient', [g, w], {}));
      const [dw, db] = graph.add('linearWeightGradient', [g, x], { bias: true });
      graph.output('dw', dw!);
      graph.output('db', db!);
      await expectClose(graph);
    });
  }

  it('weight gradients of linear layers: the same bits by scalars, vec4 and whole tiles @slow', async function () {
    const device = await sharedDevice();
    if (!device.adapterInfo.software) pending(this, 'a software adapter: a GPU has them one by one only');
    for (const [n, i, o, bias] of [
      [9, 100, 20, true],
      [3, 76, 47, true],
      [5, 36, 17, false],
      [4, 64, 8, true],
    ] as const) {
      const graph = new Graph();
      const [x, g] = [graph.input('x', [n, i]), graph.input('g', [n, o])];
      const [dw, db] = graph.add('linearWeightGradient', [g, x], { bias });
      graph.output('dw', dw!);
      if (bias) graph.output('db', db!);
      const data = [x, g].map((tensor) => [tensor, randomArray(elementCount(tensor.shape))] as const);
      const results: Buffer[][] = [];
      // whole tiles: the last ones are moved back to where rows and columns end
      for (const [kernel, rows, columns] of [
        ['gemm/weightGradient', 8, 3],
        ['gemm/weightGradient', 8, 4],
        ['gemm/weightGradient', 8, 8],
        ['software/weightGradientLinear', 8, 4],
        ['software/weightGradientLinear', o >= 40 ? 40 : o >= 16 ? 16 : 8, 8],
      ] as const) {
        const choices = onlyChoice({ kernel, rows, columns, lanes: 8, share: 8, splits: 1 });
        using program = await Program.compile(graph, { device, choices });
        expect(program.dispatches[0]!.source.kernel).to.equal(kernel);
        if (kernel === 'gemm/weightGradient')
          expect(program.dispatches[0]!.source.variant.endsWith(' vec4')).to.equal(columns !== 3);
        for (const [tensor, values] of data) program.write(tensor, values);
        await program.run([{ segment: 'main' }]);
        const read = async (name: string): Promise<Buffer> => Buffer.from((await program.read(name)).buffer);
        results.push([await read('dw'), await read(bias ? 'db' : 'dw')]);
      }
      for (const [weights, sums] of results.slice(1)) {
        expect(weights!.equals(results[0]![0]!), `${i} -> ${o} weights`).to.equal(true);
        expect(sums!.equals(results[0]![1]!), `${i} -> ${o} bias`).to.equal(true);
      }
    }
  });

  it('weight gradients of linear layers are not stored in fours where they begin elsewhere', async () => {
    const device = await sharedDevice();
    for (const offset of [0, 2, 4]) {
      const graph = new Graph();
      const [x, g] = [graph.input('x', [6, 64]), graph.input('g', [6, 32])];
      const flat = graph.state('flat', [4 + 32 * 64]);
      const [dw] = graph.add('linearWeightGradient', [g, x], { bias: false });
      dw!.view = { base: flat, offset };
      const data = [x, g].map((tensor) => randomArray(elementCount(tensor.shape)));
      using program = await Program.compile(graph, { device });
      const { kernel } = program.dispatches[0]!.source;
      if (device.adapterInfo.software)
        expect(kernel).to.equal(offset % 4 === 0 ? 'software/weightGradientLinear' : 'gemm/weightGradient');
      program.write(x, data[0]!);
      program.write(g, data[1]!);
      program.write(flat, new Float32Array(4 + 32 * 64).fill(7));
      await program.run([{ segment: 'main' }]);
      const found = await program.read(flat);
      for (let row = 0; row < 32; row++) {
        for (let column = 0; column < 64; column++) {
          let sum = 0;
          for (let n = 0; n < 6; n++) sum += data[1]![32 * n + row]! * data[0]![64 * n + column]!;
          expect(found[offset + 64 * row + column]).to.be.closeTo(sum, 1e-5);
        }
      }
      expect([...found.subarray(0, offset), ...found.subarray(offset + 32 * 64)]).to.deep.equal(Array(4).fill(7));
    }
  });

  it('products by many rows and packed ones: the bits of the general kernel, with epilogues @slow', async function () {
    const device = await sharedDevice();
    if (!device.adapterInfo.software)
      pending(this, 'a software adapter: a GPU stages operands through workgroup memory');
    for (const [n, i, o] of [
      [13, 22, 37],
      [32, 36, 16],
      [70, 5, 50],
    ] as const) {
      const graph = new Graph();
      const [x, w, b] = [graph.input('x', [n, i]), graph.parameter('w', [o, i]), graph.parameter('b', [o])];
      const [y, mask] = graph.add('activation', [graph.one('linear', [x, w, b], {})], { kind: 'relu', mask: true });
      const [g, v] = [graph.input('g', [n, i]), graph.parameter('v', [i, o])];
      graph.output('y', y!);
      graph.output(
        'dx',
        graph.one('activationBackward', [graph.one('linearInputGradient', [g, v], {}), mask!], {
          kind: 'relu',
          rule: bp,
        }),
      );
      graph.output('product', graph.one('matmul', [w, x], { transposeA: false, transposeB: true }));
      const feeds = new Map([x, w, b, g, v].map((tensor) => [tensor, randomArray(elementCount(tensor.shape))]));
      const results: Buffer[] = [];
      for (const [kernel, rows, columns] of [
        ['gemm/conv', 16, 4],
        ['gemm/conv', 32, 4],
        ['gemm/conv', 40, 4],
        ['gemm/conv', 48, 8],
        ['software/convPacked', 16, 4],
        ['software/convPacked', 16, 6],
        ['software/convPacked', 16, 8],
      ] as const) {
        const choices = onlyChoice({ kernel, rows, columns, lanes: 8, share: 8 });
        using program = await Program.compile(graph, { device, choices });
        // 40 rows do not fill the words of the mask that the first product writes
        const tiles = program.dispatches
          .filter(({ source }) => source.kernel !== 'software/pack')
          .map(({ source }) => source.variant.split(' ')[0]);
        expect(tiles.filter((tile) => tile === `${rows}x${columns}x8`).length, tiles.join()).to.equal(
          rows === 40 ? 2 : 3,
        );
        const packs = program.dispatches.filter(({ source }) => source.kernel === 'software/pack').length;
        expect(packs, kernel).to.equal(kernel === 'software/convPacked' ? 3 : 0);
        expect(program.dispatches.some(({ source }) => source.kernel === 'elementwise/pointwise')).to.equal(false);
        for (const [tensor, values] of feeds) program.write(tensor, values);
        await program.run([{ segment: 'main' }]);
        for (const name of ['y', 'dx', 'product']) results.push(Buffer.from((await program.read(name)).buffer));
        for (const { tensor, error } of await debugGraph(graph, feeds, { device, choices }))
          expect(error, tensor).to.be.below(1e-5);
      }
      for (const [index, result] of results.entries())
        expect(result.equals(results[index % 3]!), `${n} x ${i} -> ${o}: ${index}`).to.equal(true);
    }
  });

  it('packs an operand and stores weight gradients by whole tiles where that pays, on the CPU', async function () {
    const device = await sharedDevice();
    if (!device.adapterInfo.software) pending(this, 'a software adapter');
    const packed = [
      'software/pack',
      'gemm/convRows',
      'software/pack',
      'gemm/convRows',
      'software/weightGradientLinear',
    ];
    for (const [n, i, o, expected] of [
      [64, 1024, 512, packed],
      [
        64,
        784,
        400,
        kernelDevice(device).avx512 === true ? ['gemm/conv', 'gemm/conv', 'software/weightGradientLinear'] : packed,
      ],
      [64, 256, 120, ['gemm/conv', 'gemm/conv', 'software/weightGradientLinear']],
      [8, 85, 100, ['gemm/conv', 'gemm/conv', 'gemm/weightGradient']],
      [8, 84, 10, ['gemm/conv', 'gemm/conv', 'gemm/weightGradient']],
    ] as const) {
      const graph = new Graph();
      const [x, w, g] = [graph.input('x', [n, i]), graph.parameter('w', [o, i]), graph.input('g', [n, o])];
      graph.output('y', graph.one('linear', [x, w], {}));
      graph.output('dx', graph.one('linearInputGradient', [g, w], {}));
      graph.output('dw', graph.add('linearWeightGradient', [g, x], { bias: false })[0]!);
      using program = await Program.compile(graph, { device });
      expect(
        program.dispatches.map(({ source }) => source.kernel),
        `${n} x ${i} -> ${o}`,
      ).to.deep.equal(expected);
    }
  });

  it('what is usual with AVX-512 and what is usual without give the same bits @slow', async function () {
    const device = await sharedDevice();
    if (!device.adapterInfo.software || kernelDevice(device).plainCompiler === true)
      pending(this, 'a software adapter with AVX-512');
    const linear = (n: number, i: number, o: number): Record<string, (graph: Graph) => void> => {
      const [x, w, g] = [
        (graph: Graph) => graph.input('x', [n, i]),
        (graph: Graph) => graph.input('w', [o, i]),
        (graph: Graph) => graph.input('g', [n, o]),
      ];
      return {
        [`linear ${i} -> ${o}`]: (graph) => graph.output('r', graph.one('linear', [x(graph), w(graph)], {})),
        [`linear ${i} -> ${o}, input gradient`]: (graph) =>
          graph.output('r', graph.one('linearInputGradient', [g(graph), w(graph)], {})),
        [`linear ${i} -> ${o}, weight gradient`]: (graph) =>
          graph.output('r', graph.add('linearWeightGradient', [g(graph), x(graph)], { bias: false })[0]!),
      };
    };
    const conv =
      (channels: number, outputs: number, size: number, step: number, weights: boolean) => (graph: Graph) => {
        const attrs = { ...plain, stride: [step, step], padding: [1, 1, 1, 1] } as const;
        const weightShape = [outputs, channels, 3, 3];
        const x = graph.input('x', [3, channels, size, size]);
        const result = weights
          ? graph.add('conv2dWeightGradient', [graph.input('g', [3, outputs, size / step, size / step]), x], {
              ...attrs,
              weightShape,
              bias: false,
            })[0]!
          : graph.one('conv2d', [x, graph.input('w', weightShape)], attrs);
        graph.output('r', result);
      };
    const problems: Record<string, (graph: Graph) => void> = {
      ...linear(33, 67, 136),
      ...linear(40, 344, 200),
      'convolution 16 x 16': conv(5, 16, 16, 1, false),
      'convolution with stride 2': conv(5, 16, 16, 2, false),
      'weight gradient 8 x 8': conv(10, 32, 8, 1, true),
      'weight gradient 4 x 4': conv(20, 32, 4, 1, true),
      'weight gradient with stride 2': conv(10, 64, 32, 2, true),
    };
    let different = 0;
    for (const [name, build] of Object.entries(problems)) {
      const graph = new Graph();
      build(graph);
      const usual = [true, false].map((avx512) => {
        const { dispatches } = schedule(graph, groupNodes(graph, true), { ...kernelDevice(device), avx512 }, () => 1);
        const { choice } = dispatches[0]!.tuning!;
        // loops are written out as the device has it, so the choice says how the other kind does
        const loops =
          kernelTraits(choice.kernel)!.unrolls && choice.rows <= 16
            ? { unroll: usualUnrolling({ ...kernelDevice(device), avx512 }) }
            : {};
        return { ...choice, ...loops };
      });
      different += choiceName(usual[0]!) === choiceName(usual[1]!) ? 0 : 1;
      const results: Float32Array[] = [];
      for (const choice of usual) {
        using program = await Program.compile(graph, { device, choices: onlyChoice(choice) });
        for (const tensor of graph.tensors.filter(({ kind }) => kind === 'input'))
          program.write(tensor, sampleValues(tensor));
        await program.run([{ segment: 'main' }]);
        results.push(await program.read('r'));
      }
      expect(
        results[0]!.some((value) => value !== 0),
        name,
      ).to.equal(true);
      expect(Buffer.from(results[0]!.buffer).equals(Buffer.from(results[1]!.buffer)), name).to.equal(true);
    }
    expect(different).to.be.at.least(8);
  });

  it('matrix products with every transpose', async () => {
    for (const transposeA of [false, true]) {
      for (const transposeB of [false, true]) {
        const [m, k, n] = [pick(1, 70), pick(1, 70), pick(1, 150)];
        const graph = new Graph();
        const a = graph.input('a', transposeA ? [k, m] : [m, k]);
        const b = graph.input('b', transposeB ? [n, k] : [k, n]);
        graph.output('product', graph.one('matmul', [a, b], { transposeA, transposeB }));
        await expectClose(graph);
      }
    }
  });
});
