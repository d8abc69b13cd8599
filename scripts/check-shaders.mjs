/**
 * Compiles every file of shaders/ as it stands, and the linked forms of every op's kernels (fused and unfused, with and
 * without subgroups, every candidate of the tuner on a GPU, all of these with operands of 32 and of 16 bits), through
 * Dawn. What uses subgroup matrices or f16 compiles on Dawn's null backend, which has every feature. A warning counts
 * as a failure. Needs a build: `npm run check:shaders` after `npm run build`; `-- --short` leaves out the candidates.
 */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

process.env.LINBP_CHECK_CONSTANTS = '1';
const dist = (path) => import(new URL(`../dist/src/${path}.js`, import.meta.url));
const [
  { Graph },
  { scalarFunctions },
  { binaryFunctions },
  { linkAlone },
  { groupNodes },
  { narrow },
  { placeWindows },
  { schedule },
  { Device },
  rules,
  { loweringTable },
  { candidates },
  { orderOf },
  { instance, pin },
  { leastClasses },
  { targetedLosses },
] = await Promise.all(
  [
    'graph/graph',
    'graph/functions',
    'graph/binary',
    'wgsl/link',
    'passes/fuse',
    'passes/half',
    'passes/windows',
    'plan/schedule',
    'runtime/device',
    'rules/builtin',
    'kernels/table',
  ]
    .concat(['tune/candidates', 'kernels/choice', 'runtime/instance', 'ops/loss', 'graph/types'])
    .map(dist),
);

const shaderFolder = fileURLToPath(new URL('../shaders/', import.meta.url));
const files = readdirSync(shaderFolder, { recursive: true })
  .filter((name) => name.endsWith('.wgsl'))
  .map((name) => name.replaceAll('\\', '/').replace(/\.wgsl$/, ''))
  .sort();

/** A graph that holds every op at least once, with every variant of the kernels' text. */
function sampleGraph() {
  const graph = new Graph();
  const f32 = (name, ...shape) => graph.input(name, shape);
  const u32 = (name, ...shape) => graph.input(name, shape, 'u32');
  const use = (...tensors) => tensors.flat().forEach((tensor) => graph.output(`output ${graph.outputs.size}`, tensor));
  let count = 0;
  const name = (prefix) => `${prefix}${count++}`;

  const conv = { stride: [2, 2], padding: [1, 1, 1, 1], dilation: [1, 1], groups: 1 };
  const pool = { kernel: [3, 3], stride: [2, 2], padding: [1, 1, 1, 1], ceilMode: false };
  const x = f32('x', 4, 16, 15, 15);
  const w = graph.parameter('w', [32, 16, 3, 3]);
  const b = graph.parameter('b', [32]);
  const half = [4, 32, 8, 8];
  // convolutions with the general kernel, and those with stride 1, which have others to choose from
  const layers = [
    { attrs: conv, shape: half },
    { attrs: { ...conv, stride: [1, 1] }, shape: [4, 32, 15, 15] },
  ];
  const labels = u32('labels', 4);
  const given = { graph, use, f32, u32, name, conv, pool, x, w, b, half, layers, labels };
  const parts = [forwardChains, backwardChains, products, smallImages, depthwise, pooling, normalization];
  for (const add of [...parts, losses, norms, draws, elementwise]) add(given);
  return graph;
}

/** Forward chains: what a convolution or a pooling is fused with. */
function forwardChains({ graph, use, f32, name, pool, x, w, b, layers }) {
  for (const kind of ['relu', 'relu6', 'relu6Official']) {
    for (const mask of kind === 'relu6Official' ? [false] : [false, true]) {
      for (const { attrs, shape } of layers) {
        const y = graph.one(
          'scaleShift',
          [graph.one('conv2d', [x, w, b], attrs), f32(name('scale'), 32), f32(name('shift'), 32)],
          {},
        );
        use(graph.add('activation', [graph.one('add', [y, f32(name('other'), ...shape)], {})], { kind, mask }));
      }
      const [z, argmax] = graph.add('maxPool2d', [x], pool);
      use(argmax, graph.add('activation', [z], { kind, mask }));
    }
  }
}

/** Backward chains, one for each built-in rule. */
function backwardChains({ graph, use, f32, u32, name, pool, x, w, layers }) {
  for (const activation of ['relu', 'relu6']) {
    for (const each of Object.values(rules.builtinRules)) {
      if (each.identity) continue;
      const rule = { rule: each, values: each.parameters.map(() => 0.5) };
      const saved = {
        mask: () => [u32(name('mask'), 4, 1, 15 * 15)],
        input: () => [f32(name('z'), 4, 16, 15, 15)],
        nothing: () => [],
      }[rule.rule.saves];
      const attrs = { kind: activation, rule };
      for (const layer of layers) {
        const dx = graph.one('conv2dInputGradient', [f32(name('g'), ...layer.shape), w], {
          ...layer.attrs,
          inputShape: x.shape,
        });
        use(graph.one('activationBackward', [dx, ...saved()], attrs));
      }
      const pooled = graph.one('maxPool2dBackward', [f32(name('g'), 4, 16, 8, 8), u32(name('argmax'), 4, 4, 64)], {
        ...pool,
        inputShape: x.shape,
      });
      use(graph.one('activationBackward', [pooled, ...saved()], attrs));
      const tiles = { kernel: [3, 3], stride: [3, 3], padding: [0, 0, 0, 0], ceilMode: false, inputShape: x.shape };
      const tiled = graph.one('maxPool2dBackward', [f32(name('g'), 4, 16, 5, 5), u32(name('argmax'), 4, 4, 25)], tiles);
      use(graph.one('activationBackward', [tiled, ...saved()], attrs));
      use(graph.one('activationBackward', [x, ...saved()], attrs));
    }
  }
}

/** Weight gradients and products of matrices. */
function products({ graph, use, f32, name, conv, x, w, half }) {
  for (const bias of [false, true]) {
    use(graph.add('conv2dWeightGradient', [f32(name('g'), ...half), x], { ...conv, weightShape: w.shape, bias }));
    use(graph.add('linearWeightGradient', [f32(name('g'), 200, 10), f32(name('x'), 200, 48)], { bias }));
    use(graph.add('linearWeightGradient', [f32(name('g'), 2, 10), f32(name('x'), 2, 48)], { bias }));
  }
  use(
    graph.one('linear', [f32('rows', 4, 48), graph.parameter('matrix', [10, 48]), graph.parameter('bias', [10])], {}),
  );
  use(graph.one('linearInputGradient', [f32('rowGradient', 4, 10), graph.parameter('matrix2', [10, 48])], {}));
  use(graph.one('matmul', [f32('left', 20, 30), f32('right', 30, 17)], { transposeA: false, transposeB: false }));
}

/** Small images as a whole, in fours and not. */
function smallImages({ graph, use, f32, u32, name, conv, w, b }) {
  for (const [size, stride] of [
    [[2, 2], 1],
    [[4, 4], 2],
    [[1, 3], 1],
  ]) {
    const attrs = { ...conv, stride: [stride, stride] };
    const small = f32(name('small'), 9, 16, ...size);
    const y = graph.one('conv2d', [small, w, b], attrs);
    const [z, mask] = graph.add('activation', [graph.one('add', [y, f32(name('other'), ...y.shape)], {})], {
      kind: 'relu',
      mask: true,
    });
    const dx = graph.one('conv2dInputGradient', [f32(name('g'), ...y.shape), w], { ...attrs, inputShape: small.shape });
    const saved = u32(name('mask'), 9, 1, size[0] * size[1]);
    use(z, mask, graph.one('activationBackward', [dx, saved], { kind: 'relu', rule: rules.bp }));
    for (const bias of [false, true])
      use(
        graph.add('conv2dWeightGradient', [f32(name('g'), ...y.shape), small], {
          ...attrs,
          weightShape: w.shape,
          bias,
        }),
      );
  }
}

/** Depthwise convolutions. */
function depthwise({ graph, use, f32, name, conv, x }) {
  for (const stride of [1, 2]) {
    for (const bias of [false, true]) {
      const attrs = { ...conv, stride: [stride, stride], groups: 16 };
      const w = graph.parameter(name('depthwise'), [16, 1, 3, 3]);
      const y = graph.one('conv2d', bias ? [x, w, graph.parameter(name('bias'), [16])] : [x, w], attrs);
      use(
        graph.add('activation', [y], { kind: 'relu6', mask: true }),
        graph.one('conv2dInputGradient', [f32(name('g'), ...y.shape), w], { ...attrs, inputShape: x.shape }),
      );
      use(graph.add('conv2dWeightGradient', [f32(name('g'), ...y.shape), x], { ...attrs, weightShape: w.shape, bias }));
    }
  }
}

/** Other pooling. */
function pooling({ graph, use, f32, pool, x }) {
  use(graph.one('maxPool2dSoftmaxBackward', [f32('gs', 4, 16, 8, 8), x], { ...pool, inputShape: x.shape, tau: 10 }));
  use(graph.one('avgPool2d', [x], pool), graph.one('adaptiveAvgPool2d', [x], { size: [4, 4] }));
  use(graph.one('avgPool2dBackward', [f32('ga', 4, 16, 8, 8)], { ...pool, inputShape: x.shape }));
  use(graph.one('adaptiveAvgPool2dBackward', [f32('gd', 4, 16, 4, 4)], { size: [4, 4], inputShape: x.shape }));
}

/** Batch norm, windows of channels, dropout. */
function normalization({ graph, use, f32, u32, name, x }) {
  const perChannel = (channels) => f32(name('channels'), channels);
  use(
    graph.add('batchNormScaleShift', [perChannel(16), perChannel(16), perChannel(16), perChannel(16)], {
      epsilon: 1e-5,
    }),
  );
  for (const image of [x, f32('wide', 32, 16, 8, 8)]) {
    const [gamma, beta, residual] = [perChannel(16), perChannel(16), f32(name('residual'), ...image.shape)];
    const [mean, variance, scale] = graph.add('batchNormStatistics', [image, gamma], { epsilon: 1e-5 });
    const normal = graph.one('batchNormApply', [image, mean, scale, beta, gamma], {});
    use(variance, graph.add('activation', [graph.one('add', [normal, residual], {})], { kind: 'relu', mask: true }));
    use(graph.add('channelSums', [residual, image], {}), graph.add('channelSums', [residual, image, mean], {}));
    const dx = graph.one('batchNormInputGradient', [residual, image, mean, scale, perChannel(16), perChannel(16)], {});
    use(graph.one('add', [dx, f32(name('other'), ...image.shape)], {}));
  }
  use(graph.one('concat', [x, f32('more', 4, 3, 15, 15)], {}));
  for (const stride of [
    [1, 1],
    [2, 2],
  ]) {
    const padded = graph.one('channelPad', [x], { before: 2, after: 3, stride });
    use(padded, graph.one('channelSlice', [padded], { first: 2, stride, shape: x.shape }));
  }
  // a window of channels in an epilogue
  const cut = graph.one('channelSlice', [graph.one('add', [x, x], {})], {
    first: 4,
    stride: [1, 1],
    shape: [4, 8, 15, 15],
  });
  use(graph.one('add', [f32('beside', 4, 8, 15, 15), cut], {}));
  for (const value of [7, { step: 'word' }]) {
    use(
      graph.one('dropout', [x, u32(name('ids'), 4)], { p: 0.5, stream: 3, firstElement: 8, seed: value, step: value }),
    );
  }
  const rows = f32('rowsOfLogits', 4, 10);
  use(graph.one('logSoftmaxBackward', [rows, graph.one('logSoftmax', [rows], {})], {}));
}

/** Losses and what is recorded of them. */
function losses({ graph, use, f32, u32, name, labels }) {
  const log = graph.state('log', [8, 2]);
  for (const classes of [10, 1000]) {
    const logits = f32(name('logits'), 4, classes);
    for (const kind of Object.keys(leastClasses)) {
      const inputs = targetedLosses.has(kind) ? [logits, labels, u32(name('targets'), 4)] : [logits, labels];
      const loss = graph.one('loss', inputs, { kind });
      use(loss, graph.one('lossBackward', inputs, { kind, scale: 0.25 }));
      const logs = [graph.state(name('losses'), [4, 7]), graph.state(name('margins'), [4, 7])];
      graph.add('logColumn', [loss, loss, ...logs], { column: classes === 10 ? 1 : { step: 'row' } });
      graph.add('record', [loss, graph.one('correct', [logits, labels], {}), log], {
        row: classes === 10 ? 1 : { step: 'row' },
      });
    }
  }
  for (const rank of [2, { step: 'row' }])
    use(graph.one('classAtRank', [f32(name('logits'), 4, 10), labels], { rank }));
}

/** Norms, custom kernels, searches along a line, and maps of images. */
function norms({ graph, use, f32, name, x }) {
  for (const norm of ['l1', 'l2', 'linf', 'sum'])
    use(graph.one('sampleNorm', [x], { norm }), graph.one('sampleNorm', [f32(name('large'), 2, 20000)], { norm }));
  const doubled = {
    name: 'doubled',
    inputs: ['x'],
    shape: (shape) => shape,
    wgsl: 'fn element(i: u32) -> f32 { return x_at(i) * f32(x_shape[0]); }',
    reference: ([values], [[count]]) => Float64Array.from(values, (value) => value * count),
  };
  use(graph.one('custom', [x], { kernel: doubled }));
  const capped = {
    name: 'capped',
    inputs: ['x', 't'],
    scalars: [],
    results: ['min(x, t)'],
    reference: (a, t) => [Math.min(a, t)],
  };
  for (const rising of [true, false])
    use(...graph.add('sampleRoot', [x, f32(name('most'), 4), f32(name('goal'), 4)], { fn: capped, rising }));
  for (const transposed of [true, false]) {
    for (const axis of ['rows', 'columns'])
      use(graph.one('axisMap', [x, f32(name('matrix'), 4, 15, 15)], { axis, transposed }));
    for (const mode of ['nearest', 'bilinear'])
      for (const planes of [2, 6])
        use(graph.one('gridSample', [x, f32(name('grid'), 4, planes, 15, 15)], { mode, transposed, size: [15, 15] }));
  }
  for (const [kind, count, planes, values] of [
    ['strips', 15, 6, [2, 0.4]],
    ['blocks', 22, 2, [3]],
    ['blockFactors', 22, 3, [3]],
    ['resize', 3, 1, [18, 1]],
    ['shift', 2, 2, [3]],
    ['warp', 2, 2, Array.from({ length: 12 }, (_, k) => k / 12)],
    ['index', 1, 1, []],
  ])
    use(graph.one('sampleField', [f32(name('numbers'), 4, count)], { kind, planes, size: [15, 15], values }));
  use(graph.one('overflow', [x], {}), graph.one('overflow', [f32('few', 7)], {}));
}

/** Sources of random numbers and of samples. */
function draws({ graph, use, f32, u32, name, x, labels }) {
  for (const distribution of ['uniform', 'normal']) {
    for (const value of [7, { step: 'word' }]) {
      use(graph.one('random', [labels], { shape: [4, 3, 5], distribution, stream: 1, seed: value, step: value }));
    }
  }
  for (const [flip, value] of [
    [true, 7],
    [false, { step: 'word' }],
  ]) {
    use(
      graph.one('randomCropFlip', [x, u32(name('ids'), 4)], { padding: 4, flip, stream: 10, seed: value, step: value }),
    );
  }
  for (const [transposed, value] of [
    [false, 7],
    [true, { step: 'word' }],
  ]) {
    const attrs = { largest: [17, 17], probability: 0.5, transposed, stream: 5, seed: value, step: value };
    use(graph.one('randomResizePad', [x, u32(name('ids'), 4)], attrs));
  }
  for (const start of [3, { step: 'word' }]) {
    use(
      graph.one('gatherImages', [u32(name('bytes'), 50, 12), u32(name('order'), 50)], {
        count: 4,
        sampleShape: [3, 4, 4],
        packed: true,
        start,
      }),
    );
    use(
      graph.one('gatherImages', [f32(name('floats'), 50, 48), u32(name('order'), 50)], {
        count: 4,
        sampleShape: [3, 4, 4],
        packed: false,
        start,
      }),
    );
    use(graph.one('gatherLabels', [u32(name('values'), 50), u32(name('order'), 50)], { count: 4, start }));
  }
}

/** Elementwise functions, and what moves elements. */
function elementwise({ graph, use, f32, x }) {
  const fn = {
    name: 'sample',
    inputs: ['x', 'g', 'norm', 'rate'],
    scalars: ['alpha', 'beta'],
    prelude: '  let direction = sign(g);',
    results: ['x + alpha * direction / norm', 'beta * rate * g'],
    reference: () => [0, 0],
  };
  const iterate = graph.state('iterate', [4, 16, 15, 15]);
  const more = [f32('gradient', 4, 16, 15, 15), f32('norms', 4), f32('rate', 1)];
  use(graph.add('map', [iterate, ...more], { fn, scalars: [0.1, { step: 'beta' }], targets: [0, 'new'] }));
  use(graph.add('map', [x, ...more], { fn, scalars: [0.1, 2], targets: ['new', 'new'] }));
  functionsOf(graph, use, x);
  moves(graph, use, x);
  graph.add('assign', [x, iterate], {});
  graph.one('reshape', [x], { shape: [4, 3600] });
}

/** Every function of one or two numbers, alone and in epilogues. */
function functionsOf(graph, use, x) {
  const w = graph.parameter('ofFunctions', [16, 16, 1, 1]);
  const conv = { stride: [1, 1], padding: [0, 0, 0, 0], dilation: [1, 1], groups: 1 };
  for (const kind of Object.keys(scalarFunctions)) {
    const z = graph.one('conv2d', [x, w], conv);
    use(
      graph.one('unary', [z], { kind }),
      graph.one('unaryBackward', [graph.input(`g ${kind}`, x.shape), x], { kind }),
    );
  }
  const slope = graph.parameter('slopes', [16]);
  for (const [kind, ...slopes] of [['prelu', slope], ['leakyRelu'], ['hardSigmoid']]) {
    const [y, mask] = graph.add('activation', [x, ...slopes], { kind, mask: true });
    for (const [rule, saved] of [
      [rules.bp, mask],
      [rules.silu(), x],
    ])
      use(
        y,
        graph.one('activationBackward', [graph.input(`${rule.rule.name} ${kind}`, x.shape), saved, ...slopes], {
          kind,
          rule,
        }),
      );
  }
  use(graph.one('activationBackward', [graph.input('g smooth', x.shape), x], { kind: 'gelu', rule: rules.bp }));
  for (const kind of Object.keys(binaryFunctions))
    for (const shape of [x.shape, [16, 1, 1], [15], [15, 1], [4, 16, 1, 1]])
      use(graph.one('binary', [graph.input(`${kind} ${shape}`, shape), x], { kind }));
}

/** Ops that move elements or reduce axes. */
function moves(graph, use, x) {
  use(graph.one('transpose', [x], { order: [0, 2, 3, 1] }), graph.one('expand', [x], { shape: [2, ...x.shape] }));
  use(graph.one('slice', [x], { start: [0, 1, 14, 0], step: [1, 2, -1, 1], size: [4, 4, 7, 9] }));
  use(graph.one('pad', [x], { before: [0, 1, 0, 0], after: [0, 0, 2, 0], between: [0, 0, 0, 1], value: 1 }));
  use(graph.one('concat', [x, x], { axis: 2 }));
  const matrix = [
    graph.integers('first', [0, 1, 3]),
    graph.integers('index', [0, 1, 2]),
    graph.constant('weight', [1, 2, 3]),
  ];
  use(graph.one('axisMatrix', [x, ...matrix], { axis: 2, size: 2 }));
  for (const kind of ['sum', 'mean', 'max'])
    for (const axes of [[1], [0, 2, 3]]) use(graph.add('reduce', [x], { kind, axes }));
  use(graph.one('reduce', [graph.input('one long row', [2, 20000])], { kind: 'sum', axes: [1] }));
  for (const op of ['softmax', 'logSoftmax'])
    for (const axis of [1, 3]) use(graph.one(`${op}Backward`, [x, graph.one(op, [x], { axis })], { axis }));
  for (const center of [true, false])
    for (const image of [x, graph.input(`one row ${center}`, [1, 10000])]) {
      const attrs = { first: 1, epsilon: 1e-5, center };
      const [y, ...statistics] = graph.add('normalize', [image], attrs);
      use(y, graph.one('normalizeBackward', [image, image, ...statistics], attrs));
    }
  const stacked = [graph.input('left matrices', [6, 20, 30]), graph.input('right matrices', [6, 30, 17])];
  use(graph.one('matmul', stacked, { transposeA: false, transposeB: false }));
  const [g, places] = [graph.input('g of max', [4, 16, 1, 1]), graph.input('places', [4, 16, 1, 1], 'u32')];
  use(graph.one('reduceMaxBackward', [g, places], { axes: [2, 3], inputShape: x.shape }));
}

const device = await Device.open();
const subgroups = device.features.has('subgroups');
const base = {
  software: false,
  maxInvocations: 256,
  maxWorkgroupStorage: 16384,
  maxBindingBytes: 2 ** 27,
  maxStorageBuffers: 8,
};
const devices = [{ ...base, subgroupSize: 0 }];
if (subgroups)
  devices.push(...[4, 8, 32].map((subgroupSize) => ({ ...base, subgroupSize, software: subgroupSize === 8 })));

const texts = new Map();
let skipped = 0;
for (const file of files) {
  const code = linkAlone(file);
  if (/^enable subgroups;/m.test(code) && !subgroups) skipped++;
  else texts.set(code, `${file}.wgsl`);
}
const graph = sampleGraph();
const half = sampleGraph();
narrow(half, (root) => root.kind !== 'state');
const graphs = [graph, half];
/** The texts of all kernels that a graph takes on a device. */
function addTexts(each, kernelDevice, fuse) {
  const groups = groupNodes(each, fuse);
  const { dispatches } = schedule(each, groups, kernelDevice, () => 5, placeWindows(each, groups));
  for (const { kernel, variant, code } of dispatches)
    if (!texts.has(code)) texts.set(code, `${kernel} ${variant}${each === graph ? '' : ' f16'}`.trim());
}
for (const kernelDevice of devices)
  for (const fuse of [false, true]) for (const each of graphs) addTexts(each, kernelDevice, fuse);

/** Adds every candidate of a GPU's tuner, one rank of all problems' lists after the other. */
function addCandidates() {
  const gpu = {
    ...base,
    subgroupSize: subgroups ? 32 : 0,
    matrices: {
      shapes: [
        { component: 'f16', m: 16, n: 16, k: 16 },
        { component: 'f32', m: 8, n: 8, k: 8 },
      ],
      subgroupSize: 32,
      pinned: false,
      granularity: 128,
    },
    maxWorkgroupStorage: 32768,
  };
  const listed = new Map();
  let ranks = 1;
  for (let rank = 0; rank < ranks; rank++) {
    const find = (problem) => {
      const list = listed.get(problem.layer);
      return list?.[Math.min(rank, list.length - 1)];
    };
    const choices = {
      find,
      order: (problem) => (find(problem) === undefined ? undefined : orderOf(find(problem).kernel)),
    };
    const dispatches = graphs.flatMap(
      (each) => schedule(each, groupNodes(each, true), { ...gpu, choices }, () => 5).dispatches,
    );
    for (const { kernel, variant, code, tuning } of dispatches) {
      if (!texts.has(code)) texts.set(code, `${kernel} ${variant}`.trim());
      if (rank === 0 && tuning !== undefined && !listed.has(tuning.problem.layer)) {
        listed.set(tuning.problem.layer, candidates(tuning.problem, tuning.choice, gpu, { halfProducts: true }));
        ranks = Math.max(ranks, listed.get(tuning.problem.layer).length);
      }
    }
  }
}
if (!process.argv.includes('--short')) addCandidates();

const nullAdapter = await (await instance('null', ['backend=null'])).requestAdapter();
const nullDevice = await nullAdapter.requestDevice({
  requiredFeatures: ['chromium-experimental-subgroup-matrix', 'shader-f16', 'subgroups', 'subgroup-size-control'],
});
pin(nullAdapter);
pin(nullDevice);
const deviceFor = (code) =>
  /^enable (f16|chromium_experimental_subgroup_matrix);/m.test(code) ? nullDevice : device.gpu;

const missing = Object.keys(loweringTable).filter((op) => !graph.nodes.some((node) => node.op === op));
if (missing.length > 0) console.error(`sampleGraph in scripts/check-shaders.mjs has no node of: ${missing.join(', ')}`);

// The same bound as for TypeScript; Prettier does not format WGSL.
const longLines = files.flatMap((file) =>
  readFileSync(join(shaderFolder, `${file}.wgsl`), 'utf8')
    .split('\n')
    .flatMap((line, n) => (line.length > 120 ? [`${file}:${n + 1} has ${line.length} columns, at most 120`] : [])),
);
for (const each of longLines) console.error(each);

let failed = missing.length + longLines.length;
/** The compiler's messages about one text. */
async function messagesOf(code, label) {
  const compiler = deviceFor(code);
  compiler.pushErrorScope('validation');
  const info = compiler.createShaderModule({ code, label }).getCompilationInfo();
  await compiler.popErrorScope();
  return (await info).messages;
}
const queue = [...texts];
while (queue.length > 0) {
  // many at once: each answer takes a turn of the event loop
  const some = queue.splice(0, 64);
  const answers = await Promise.all(some.map(([code, name]) => messagesOf(code, name)));
  for (const [index, messages] of answers.entries()) {
    if (messages.length === 0) continue;
    failed++;
    const [code, name] = some[index];
    const lines = code.split('\n');
    for (const { type, lineNum, linePos, message } of messages) {
      console.error(`${name}:${lineNum}:${linePos}: ${type}: ${message}\n  ${lines[lineNum - 1]?.trimEnd() ?? ''}`);
    }
  }
}
nullDevice.destroy();
device.destroy();
console.log(
  `${files.length} shader files, ${texts.size} texts compiled, ${failed} ` +
    `failed${skipped === 0 ? '' : `, ${skipped} skipped (no subgroups here)`}`,
);
process.exitCode = failed === 0 ? 0 : 1;
