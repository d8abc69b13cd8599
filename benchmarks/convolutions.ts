/**
 * Rates of convolutions and linear layers in all three directions, as shares of the best raw matrix product of the
 * same adapter.
 *
 *     node dist/benchmarks/convolutions.js [--rounds 15] [--processes 3] [--batch 32] [--only TEXT] [--candidates]
 *
 * All subjects and the best products take turns, so that a disturbance meets all; in its turn each is computed once
 * and then as many times in a row as take about as long as the longest product, so that none is charged more than
 * others for cold caches and the start of a turn. A share is the median over rounds of the rate of a convolution over
 * the rate, in the same round, of the product that is fastest by its own median. Rates count the multiplications of
 * the direct method, so a kernel with fewer (Winograd) may exceed what the adapter does in a product. `--candidates`
 * also tries what the tuner would and shows the fastest. The last line says what a dispatch costs by itself.
 *
 * All that happens in processes of its own, one after the other, and the table shows medians over them with the least
 * and the largest share: on adapters that compile for the processor a kernel may have bad luck with its place in
 * memory for the whole of a process.
 */
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Graph } from '../src/graph/graph.js';
import { elementCount } from '../src/graph/types.js';
import type { KernelChoice } from '../src/kernels/problem.js';
import { median } from '../src/profile/profile.js';
import { kernelDevice } from '../src/program/kernelDevice.js';
import { Program } from '../src/program/program.js';
import { Device } from '../src/runtime/device.js';
import { candidates, refinements } from '../src/tune/candidates.js';
import { choiceName } from '../src/choices/table.js';
import { TimedProblem } from '../src/tune/trial.js';
import type { Trial } from '../src/tune/trial.js';
import { problemsOf } from '../src/tune/tuner.js';

/** One product or convolution, with floating-point operations of the direct method. */
interface Subject {
  readonly name: string;
  readonly graph: Graph;
  readonly flops: number;
}

interface Layer {
  readonly network: string;
  readonly channels: number;
  readonly outputs: number;
  readonly size: number;
  readonly kernel: number;
  readonly stride: number;
}

const layer = (network: string, channels: number, outputs: number, size: number, kernel = 3, stride = 1): Layer => ({
  network,
  channels,
  outputs,
  size,
  kernel,
  stride,
});

/**
 * Convolutions of the CIFAR ResNets: the stages of ResNet-20, then those of a narrow ResNet-18, and its 1 x 1 short
 * cuts.
 */
const layers: readonly Layer[] = [
  layer('ResNet-20', 16, 16, 32),
  layer('ResNet-20', 32, 32, 16),
  layer('ResNet-20', 64, 64, 8),
  layer('ResNet-20', 16, 32, 32, 3, 2),
  layer('ResNet-20', 32, 64, 16, 3, 2),
  layer('ResNet-18', 64, 64, 16),
  layer('ResNet-18', 128, 128, 8),
  layer('ResNet-18', 256, 256, 4),
  layer('ResNet-18', 512, 512, 2),
  layer('ResNet-18', 64, 128, 16, 3, 2),
  layer('ResNet-18', 256, 512, 4, 3, 2),
  layer('1 x 1', 64, 64, 16, 1),
  layer('1 x 1', 128, 256, 8, 1),
];

/** Most repetitions in a turn. */
const mostRepeats = 64;

const directions = ['forward', 'inputGradient', 'weightGradient'] as const;

function convolution(
  direction: (typeof directions)[number],
  { network, channels, outputs, size, kernel, stride }: Layer,
  batch: number,
): Subject {
  const graph = new Graph();
  const pad = (kernel - 1) / 2;
  const attrs = { stride: [stride, stride], padding: [pad, pad, pad, pad], dilation: [1, 1], groups: 1 } as const;
  const inputShape = [batch, channels, size, size];
  const weightShape = [outputs, channels, kernel, kernel];
  const outputShape = [batch, outputs, size / stride, size / stride];
  const [x, w, g] = [inputShape, weightShape, outputShape].map(
    (shape, index) => () => graph.input('xwg'[index]!, shape),
  ) as [() => ReturnType<Graph['input']>, () => ReturnType<Graph['input']>, () => ReturnType<Graph['input']>];
  const [output] = {
    forward: () => graph.add('conv2d', [x(), w()], attrs),
    inputGradient: () => graph.add('conv2dInputGradient', [g(), w()], { ...attrs, inputShape }),
    weightGradient: () => graph.add('conv2dWeightGradient', [g(), x()], { ...attrs, weightShape, bias: false }),
  }[direction]();
  graph.output('result', output!);
  const name =
    `${network} ${channels}->${outputs} ${size}x${size} ` +
    `k${kernel}${stride === 1 ? '' : ` stride ${stride}`} ${direction}`;
  return { name, graph, flops: 2 * elementCount(outputShape) * channels * kernel * kernel };
}

/** Linear layers: those of the MLP, and a larger one. */
const linearLayers = [
  [784, 400],
  [400, 200],
  [1024, 1024],
] as const;

function linear(
  direction: (typeof directions)[number],
  [inputs, outputs]: readonly [number, number],
  batch: number,
): Subject {
  const graph = new Graph();
  const [x, w, g] = [
    () => graph.input('x', [batch, inputs]),
    () => graph.input('w', [outputs, inputs]),
    () => graph.input('g', [batch, outputs]),
  ];
  const output = {
    forward: () => graph.one('linear', [x(), w()], {}),
    inputGradient: () => graph.one('linearInputGradient', [g(), w()], {}),
    weightGradient: () => graph.one('linearWeightGradient', [g(), x()], { bias: false }),
  }[direction]();
  graph.output('result', output);
  return {
    name: `linear ${inputs}->${outputs} batch ${batch} ${direction}`,
    graph,
    flops: 2 * batch * inputs * outputs,
  };
}

function product(size: number, transposeA: boolean, transposeB: boolean): Subject {
  const graph = new Graph();
  const [a, b] = [graph.input('a', [size, size]), graph.input('b', [size, size])];
  graph.output('c', graph.one('matmul', [a, b], { transposeA, transposeB }));
  return { name: `matmul ${size} ${transposeA ? 'A^T B' : transposeB ? 'A B^T' : 'A B'}`, graph, flops: 2 * size ** 3 };
}

/** A subject with one way to compute it. */
interface Entry {
  readonly subject: Subject;
  readonly problem: TimedProblem;
  readonly trial: Trial;
  readonly usual: boolean;
}

const rateOf = ({ subject, trial }: Entry): number => subject.flops / trial.shortest / 1e3;

/** The usual way of a subject and, when asked, the fastest `keep` other ways that the tuner would try. */
async function entries(subject: Subject, device: Device, others: boolean, keep: number): Promise<Entry[]> {
  const problem = new TimedProblem(subject.graph, device);
  using program = await Program.compile(subject.graph, { device });
  const { tuning } = [...problemsOf(program).values()][0]!.source;
  const { problem: tuned, choice: usual } = tuning!;
  const first = others ? candidates(tuned, usual, kernelDevice(device)) : [usual];
  const found: Entry[] = [];
  const enter = async (choices: readonly KernelChoice[]): Promise<void> => {
    for (const choice of choices) {
      const trial = await problem.trial(choice);
      // the shortest of three, so that one disturbance does not decide
      for (let turn = 0; turn < 3; turn++) await trial.sample();
      found.push({ subject, problem, trial, usual: choice === usual });
      found.sort((left, right) => rateOf(right) - rateOf(left));
      for (const entry of found.slice(keep).filter((each) => !each.usual)) {
        entry.trial.destroy();
        found.splice(found.indexOf(entry), 1);
      }
    }
  };
  await enter(first);
  if (others) await enter(refinements(tuned, found[0]!.trial.choice, first, kernelDevice(device)));
  return found;
}

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '15' },
    processes: { type: 'string', default: '3' },
    batch: { type: 'string', default: '32' },
    only: { type: 'string', default: '' },
    candidates: { type: 'boolean', default: false },
  },
});
const batch = Number(options.batch);

/**
 * Rate of a subject in 10^9 operations a second and its share of the best product's rate: by the clock, and by
 * processor time where that counts.
 */
interface Row {
  readonly name: string;
  readonly kernel: string;
  readonly figures: readonly { readonly rate: number; readonly share: number }[];
}

/** What one process measures. */
interface Measured {
  readonly description: string;
  /** The best products, then all subjects. */
  readonly products: readonly Row[];
  readonly rows: readonly Row[];
  /** Operations and microseconds of a dispatch that has next to nothing to do. */
  readonly empty: { readonly flops: number; readonly microseconds: number };
}

/** Products of all sizes, forms and candidates, the fastest first: the best are the ceiling. */
async function productEntries(device: Device, software: boolean, progress: (text: string) => void): Promise<Entry[]> {
  const products: Entry[] = [];
  for (const size of software ? [256, 512] : [1024, 2048, 4096]) {
    for (const [transposeA, transposeB] of [
      [false, false],
      [true, false],
      [false, true],
    ] as const) {
      progress(`matmul ${size}`);
      products.push(...(await entries(product(size, transposeA, transposeB), device, true, 1)));
    }
  }
  return products.sort((left, right) => rateOf(right) - rateOf(left));
}

async function measure(): Promise<Measured> {
  using device = await Device.open();
  const { description, software } = device.adapterInfo;
  const progress = (text: string): void => void process.stderr.write(`${text}\n`);

  // All compete first, the best six go on.
  const raw = (await productEntries(device, software, progress)).slice(0, 6);

  const wanted = [
    ...layers.flatMap((each) => directions.map((direction) => convolution(direction, each, batch))),
    ...linearLayers.flatMap((each) => directions.map((direction) => linear(direction, each, 2 * batch))),
  ].filter(({ name }) => name.includes(options.only));
  const contestants: Entry[] = [];
  for (const subject of wanted) {
    progress(subject.name);
    contestants.push(...(await entries(subject, device, options.candidates, 1)));
  }
  // What a dispatch costs that has next to nothing to do: a part of every time.
  const empty = (await entries(linear('forward', [8, 8], 8), device, false, 1))[0]!;

  const all = [...raw, ...contestants, empty];
  // A turn computes each as often as takes the time of the longest product.
  const turn = Math.max(...raw.map(({ trial }) => trial.shortest));
  for (const { trial } of all) trial.repeat(Math.max(1, Math.min(mostRepeats, Math.round(turn / trial.shortest))));
  for (let round = 0; round < Number(options.rounds); round++) for (const { trial } of all) await trial.run();

  /**
   * Time for a floating-point operation of the direct method in a round, by the clock or by the process's processor
   * time.
   */
  type Meter = (entry: Entry, round: number) => number;
  const clock: Meter = ({ trial, subject }, round) => trial.microseconds[round]! / subject.flops;
  const processor: Meter = ({ trial, subject }, round) => Math.max(1, trial.processor[round]!) / subject.flops;

  const rounds = Array.from({ length: Number(options.rounds) }, (_, round) => round);
  /** The product that is fastest by its median over rounds. */
  const ceiling = (meter: Meter): Entry => {
    const times = raw.map((entry) => median(rounds.map((round) => meter(entry, round))));
    return raw[times.indexOf(Math.min(...times))]!;
  };
  // On adapters that compute on the CPU other load enters the clock's figures, but hardly those of processor time.
  const meters = (software ? [clock, processor] : [clock]).map((meter) => ({ meter, best: ceiling(meter) }));
  const rowOf = (entry: Entry): Row => ({
    name: entry.subject.name,
    kernel: choiceName(entry.trial.choice),
    figures: meters.map(({ meter, best }) => ({
      rate: median(rounds.map((round) => 1 / meter(entry, round) / 1e3)),
      share: median(rounds.map((round) => meter(best, round) / meter(entry, round))),
    })),
  });
  return {
    description,
    products: raw.map(rowOf).sort((left, right) => right.figures[0]!.rate - left.figures[0]!.rate),
    rows: contestants.map(rowOf),
    empty: { flops: empty.subject.flops, microseconds: median(empty.trial.microseconds) },
  };
}

/** {@link measure} in a process of its own, with the same options. */
const measureApart = (): Promise<Measured> =>
  new Promise((resolve, reject) => {
    const child = fork(fileURLToPath(import.meta.url), process.argv.slice(2), {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    child.once('message', (message) => resolve(message as Measured));
    child.once('exit', (code) => reject(new Error(`a process that measures ended with code ${code}`)));
  });

const percent = (share: number): string => (100 * share).toFixed(0);

/** Rates and shares of one subject in all processes: medians, and the least and the largest share. */
const figureCells = (rows: readonly Row[]): string[] =>
  rows[0]!.figures.flatMap((_, meter) => {
    const [rates, shares] = [
      rows.map(({ figures }) => figures[meter]!.rate),
      rows.map(({ figures }) => figures[meter]!.share),
    ];
    const spread = shares.length === 1 ? '' : ` (${percent(Math.min(...shares))} to ${percent(Math.max(...shares))})`;
    return [median(rates).toFixed(1), `${percent(median(shares))} %${spread}`];
  });

function print(runs: readonly Measured[]): void {
  const { description, rows, empty } = runs[0]!;
  const meters = rows[0]?.figures.length ?? 1;
  const heads = [
    'subject',
    'kernel',
    'GFLOP/s',
    'share of the best product',
    ...(meters > 1 ? ['GFLOP per second of processor time', 'share'] : []),
  ];
  const best = runs.map(({ products }) => products[0]!);
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |\n`;
  process.stdout.write(`${description}, batch ${batch}\n\n${line(heads)}${line(heads.map(() => '---'))}`);
  for (const row of best) process.stdout.write(line([`best product: ${row.name}`, row.kernel, ...figureCells([row])]));
  for (const [index, { name }] of rows.entries()) {
    const same = runs.map((run) => run.rows[index]!);
    process.stdout.write(
      line([name, [...new Set(same.map(({ kernel }) => kernel))].join(', or '), ...figureCells(same)]),
    );
  }
  const microseconds = median(runs.map((run) => run.empty.microseconds)).toFixed(0);
  process.stdout.write(
    `\nA dispatch of ${empty.flops} operations takes ${microseconds} us; that is part of each time.\n`,
  );
}

if (process.send !== undefined) {
  process.send(await measure());
} else {
  const runs: Measured[] = [];
  for (let run = 0; run < Number(options.processes); run++) runs.push(await measureApart());
  print(runs);
}
