import { existsSync, readFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { compare, PartyProcess, usualPatience } from '../bench/compare.js';
import { measureMemory, measureStart } from '../bench/children.js';
import { measureBarriers } from '../bench/barriers.js';
import { copyAgain, measureCeilings, measureKernels } from '../bench/ceilings.js';
import { additions, squareRoots } from '../bench/control.js';
import { measureDispatch } from '../bench/figures.js';
import { measureNetworks, networkSizes, readNetworkSizes } from '../bench/networks.js';
import { installedPeers, ownParty, throttledParties } from '../bench/peers.js';
import type { Peers } from '../bench/peers.js';
import { measureProducts, productSizes } from '../bench/products.js';
import { comparisonChart, markdownTable, shown, spread } from '../bench/present.js';
import { missing, row } from '../bench/rows.js';
import type { BenchRow } from '../bench/rows.js';
import { measureScaling } from '../bench/scaling.js';
import type { WorkloadRequest } from '../bench/workloads.js';
import { check } from '../errors.js';
import { ensureWritableFolder, writeFileAtomic } from '../io/atomic.js';
import { readStateDict } from '../nn/model.js';
import { modelDefinition } from '../nn/zoo/index.js';
import { openDevice, shownAdapter } from './common.js';
import { choice, integer, text } from './options.js';
import { didYouMean } from './suggest.js';
import { defineVerb } from './verb.js';

/** Parts of the benchmark, in the order in which they run. */
const parts = [
  'ceilings',
  'dispatch',
  'training',
  'attack',
  'forward',
  'kernels',
  'products',
  'networks',
  'start',
  'scaling',
  'memory',
] as const;
type Part = (typeof parts)[number];

/** Parts that `--only` names. Throws `unknown-option`. */
function chosenParts(only: string | undefined): ReadonlySet<Part> {
  if (only === undefined) return new Set(parts);
  const names = only.split(',').map((name) => name.trim());
  for (const name of names) {
    const known = (parts as readonly string[]).includes(name);
    check(
      known,
      'unknown-option',
      `--only: there is no part "${name}"${didYouMean(name, parts)}; there are ${parts.join(', ')}`,
      'only',
    );
  }
  return new Set(names as Part[]);
}

/** What the parties are compared by. */
function workloads(weights: string | undefined): Readonly<Partial<Record<Part, readonly WorkloadRequest[]>>> {
  return {
    training: [
      { kind: 'training', model: 'lenet5', batch: 64 },
      { kind: 'training', model: 'mlp', batch: 64 },
      { kind: 'training', model: 'resnet20', batch: 16 },
    ],
    attack: [8, 32].map((batch) => ({
      kind: 'attack',
      model: 'resnet20',
      batch,
      steps: 10,
      ...(weights !== undefined && { weights }),
    })),
    forward: [
      { kind: 'forward', model: 'lenet5', batch: 64 },
      { kind: 'forward', model: 'resnet20', batch: 8 },
    ],
    kernels: [
      { kind: 'matmul', size: 512 },
      { kind: 'matmul', size: 1024 },
      { kind: 'elementwise', count: 1 << 22 },
    ],
  };
}

/** Rounds unless the user says how many, and how many of them the budget leaves at least. */
const usualRounds = 7;
const leastRounds = 3;

/**
 * What `--peers`, `--weights` and `--out` name, looked at before any work. Throws `missing-file`, `bad-file` or
 * `not-writable`.
 */
async function checkFiles({
  peers,
  weights,
  out,
}: { readonly [name in 'peers' | 'weights' | 'out']?: string | undefined }): Promise<void> {
  const named = peers === undefined || peers === 'none' || existsSync(join(peers, 'peers'));
  check(
    named,
    'missing-file',
    `--peers: ${peers} is no folder with the peers, which has a folder "peers" like benchmarks/`,
    'peers',
  );
  if (weights !== undefined) await readStateDict(modelDefinition('resnet20'), weights);
  if (out !== undefined) ensureWritableFolder(out);
}

/**
 * Units that every party does first to compare results: enough steps for errors of training to show where a step is
 * short.
 */
const checkUnits = (request: WorkloadRequest): number =>
  request.kind !== 'training' ? 1 : request.model === 'resnet20' ? 3 : 10;

const packageRoot = fileURLToPath(new URL('../../../', import.meta.url));

/** The version of the Dawn that everybody runs on. */
function dawnVersion(): string {
  const file = fileURLToPath(new URL('./package.json', import.meta.resolve('webgpu')));
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}

/** `linbp bench`: speed against peers and against the device's own ceilings. */
export const benchVerb = defineVerb({
  name: 'bench',
  summary: "measures speed against peers and against the device's own ceilings",
  examples: ['linbp bench --only dispatch --peers none', 'linbp bench --only training,attack --out results'],
  options: {
    only: text({ help: `some parts only, joined by commas: ${parts.join(', ')}`, placeholder: 'PARTS' }),
    peers: text({
      help: 'folder with the peers (see benchmarks/), or none [the one beside this package]',
      placeholder: 'DIR',
    }),
    rounds: integer({
      help: `turns of each party, whatever the budget [${usualRounds}, and ${leastRounds} at least where the budget cuts]`,
      min: 1,
    }),
    budget: integer({
      help: 'seconds for all turns of one comparison; slow ones get fewer turns',
      byDefault: 60,
      min: 1,
    }),
    patience: integer({
      help: 'seconds for one answer of a party; a peer that takes longer has failed',
      byDefault: usualPatience,
      min: 1,
      max: 86400,
    }),
    turn: integer({ help: 'length of a turn in milliseconds', byDefault: 400, min: 1 }),
    products: choice(['auto', 'large', 'small'], {
      help: 'large: matmul 1024 to 4096 and ResNet-50; small: matmul 128 and 256 and ResNet-20; auto: large on GPUs',
      byDefault: 'auto',
    }),
    precision: choice(['both', 'f32', 'f16'], { help: 'of products and networks', byDefault: 'both' }),
    models: text({
      help: 'networks of the part networks, joined by commas [resnet18,resnet50; on the CPU resnet20]',
      placeholder: 'NAMES',
    }),
    batches: text({ help: 'their batch sizes [128,512; on the CPU 8]', placeholder: 'N,..' }),
    steps: integer({ help: 'steps of their PGD attack [100; on the CPU 5]', min: 1, max: 4096 }),
    weights: text({ help: 'weights of ResNet-20 for the attack; random ones unless given', placeholder: 'FILE' }),
    out: text({ help: 'also write benchmarks.md and benchmarks.svg into this folder', placeholder: 'DIR' }),
  },
  notes: [
    '',
    'Ctrl-C ends the measurement, writes the rows so far and ends with exit code 130; a second one ends at once.',
  ],
  async run(given, { signal, progress, print }) {
    const options = { ...given, rounds: given.rounds ?? usualRounds };
    const chosen = chosenParts(options.only);
    await checkFiles(options);
    const networks = readNetworkSizes(options);
    const folder = resolve(options.peers ?? join(packageRoot, 'benchmarks'));
    const peers: Peers =
      options.peers === 'none'
        ? { entries: [], versions: {}, torch: 'left out by --peers none' }
        : installedPeers(folder);
    const torch = typeof peers.torch === 'string' ? [] : [peers.torch];
    if (typeof peers.torch === 'string' && options.peers !== 'none') progress.line(`note: ${peers.torch}`);
    if (peers.entries.length === 0)
      progress.line('note: no peers are installed; "npm run bench" in a clone installs them');
    const rows: BenchRow[] = [];
    const roots: number[] = [];
    const sums: number[] = [];
    const loads = [loadavg()[0]!];
    let part = 0;
    const say = (text: string): void => {
      check(!signal.aborted, 'aborted', 'the benchmark was interrupted');
      progress.update('bench', part / chosen.size, text);
    };
    const add = (found: readonly BenchRow[]): void => {
      progress.clear();
      part++;
      roots.push(squareRoots());
      sums.push(additions(1e7));
      for (const each of found) {
        rows.push(each);
        const figures = `${shown(each.median).padStart(8)} ${each.unit}${spread(each)}`;
        const ratio = each.ratio === null || each.agrees === false ? '' : `  x${shown(each.ratio)}`;
        print(
          `${each.name.padEnd(58)} ${each.subject.padEnd(14)} ${figures}${ratio}${each.note ? `  ${each.note}` : ''}`,
        );
      }
    };

    const device = await openDevice({ device: 'auto', adapter: undefined });
    const adapter = shownAdapter(device);
    const copies: BenchRow[] = [];
    const precisions = options.precision === 'both' ? (['f32', 'f16'] as const) : [options.precision];
    const limits = {
      rounds: options.rounds,
      budgetSeconds: options.budget,
      leastRounds: given.rounds ?? leastRounds,
      answerSeconds: options.patience,
      turnMilliseconds: options.turn,
      processorTime: adapter.software,
      signal,
      onProgress: say,
    };
    try {
      if (chosen.has('ceilings') || chosen.has('kernels') || chosen.has('products')) {
        say('ceilings');
        const ceilings = await measureCeilings(device, options.rounds);
        copies.push(ceilings.rows[0]!);
        add([...ceilings.rows, ...(await measureKernels(device, ceilings, options.rounds))]);
        if (chosen.has('products')) {
          const sizes =
            productSizes[options.products === 'auto' ? (adapter.software ? 'small' : 'large') : options.products];
          const [peer] = torch.map((entry) => new PartyProcess(entry));
          try {
            const lengths = {
              times: options.rounds,
              turnMilliseconds: options.turn / 4,
              answerSeconds: options.patience,
            };
            add(await measureProducts(device, { sizes, precisions, ceilings, ...lengths, peer, signal, report: say }));
          } finally {
            peer?.end();
          }
          if (typeof peers.torch === 'string') add([missing('products', 'PyTorch', 'GFLOP/s', peers.torch)]);
        }
      }
      if (chosen.has('dispatch')) {
        say('dispatch');
        add([...(await measureDispatch(device, options.rounds)), ...(await measureBarriers(device, options.rounds))]);
      }
      const requests = Object.entries(workloads(options.weights)).filter(([part]) => chosen.has(part as Part));
      if (requests.length > 0) {
        const parties = [ownParty, ...peers.entries].map((entry) => new PartyProcess(entry));
        try {
          for (const [, list] of requests) {
            for (const request of list)
              add(await compare(request, parties, { ...limits, tolerance: 1e-3, checkUnits: checkUnits(request) }));
          }
        } finally {
          for (const party of parties) party.end();
        }
      }
      if (chosen.has('networks')) {
        const steps = options.steps !== undefined && { steps: options.steps };
        const sizes = { ...networkSizes[adapter.software ? 'small' : 'large'], ...networks, ...steps };
        // That the adapter has no f16 is said in the part products, once.
        const stored = precisions.filter(
          (precision) => precision === 'f32' || options.precision === 'f16' || device.features.has('shader-f16'),
        );
        for await (const found of measureNetworks({
          ...limits,
          sizes,
          precisions: stored,
          parties: [ownParty, ...torch],
        }))
          add(found);
        if (typeof peers.torch === 'string') add([missing('networks', 'PyTorch', 'ms', peers.torch)]);
      }
      if (chosen.has('start')) {
        say('process start');
        add(await measureStart(3, options.rounds));
      }
      if (chosen.has('scaling')) add(await measureScaling(device, options.rounds, say));
      if (chosen.has('memory')) {
        say('memory');
        add(await measureMemory());
      }
      if (copies.length > 0) {
        say('control');
        add([await copyAgain(device, copies[0]!)]);
      }
    } catch (error) {
      // What was at work when Ctrl-C came ends in any way; the rows before it hold.
      if (!signal.aborted) throw error;
    } finally {
      device.destroy();
    }
    if (roots.length > 0) {
      add([
        row('control: 20 million square roots on the host', 'host', 'ms', roots),
        row('control: 60 million additions on the host', 'host', 'ms', sums),
      ]);
    }
    loads.push(loadavg()[0]!);

    const settings = {
      dawn: dawnVersion(),
      ...(peers.entries.length > 0 && { peers: peers.versions }),
      rounds: options.rounds,
      device: device.adapterInfo.device,
      driver: device.adapterInfo.driver,
      pollingThrottled: throttledParties([ownParty, ...peers.entries]),
      processor: `${cpus().length} x ${cpus()[0]?.model ?? 'unknown'}`,
      load: loads,
    };
    const date = new Date().toISOString();
    if (options.out !== undefined) {
      const caption = `${adapter.description}, Dawn ${settings.dawn}, ${date.slice(0, 10)}`;
      const heading = `# Benchmarks\n\n${caption}; ${settings.processor}; Node ${process.version}.\n\n`;
      writeFileAtomic(join(options.out, 'benchmarks.md'), `${heading}${markdownTable(rows)}\n`);
      writeFileAtomic(join(options.out, 'benchmarks.svg'), comparisonChart(rows, caption));
    }
    return { adapter, settings, fields: { date, rows }, interrupted: signal.aborted };
  },
});
