import { readFile } from 'node:fs/promises';
import { cpus, loadavg } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isThere } from '../io/folders.js';
import { usualPatience } from '../bench/compare.js';
import { additions, squareRoots } from '../bench/control.js';
import { readNetworkSizes } from '../bench/networks.js';
import { measureParts, parts } from '../bench/parts.js';
import type { Part } from '../bench/parts.js';
import { installedPeers, ownParty, throttledParties } from '../bench/peers.js';
import type { Peers } from '../bench/peers.js';
import { comparisonChart, markdownTable, shownRows } from '../bench/present.js';
import { row } from '../bench/rows.js';
import type { BenchRow } from '../bench/rows.js';
import { check, LinbpError } from '../errors.js';
import { ensureWritableFolder, writeFileAtomic } from '../io/atomic.js';
import { modelDefinition } from '../nn/zoo/index.js';
import { namedWeights, openDevice, shownAdapter } from './common.js';
import { choice, expectOnce, integer, text } from './options.js';
import type { Need } from './options.js';
import { unknownName } from '../names.js';
import { defineVerb } from './verb.js';
import type { VerbContext } from './verb.js';

/** Parts that `--only` names. Throws `unknown-option`. */
function chosenParts(only: string | undefined): ReadonlySet<Part> {
  if (only === undefined) return new Set(parts);
  const names = only.split(',').map((name) => name.trim());
  expectOnce(names, 'only');
  for (const name of names) {
    if ((parts as readonly string[]).includes(name)) continue;
    const message = `--only: ${unknownName('part', name, { names: parts, command: 'linbp bench --help' })}`;
    throw new LinbpError('unknown-option', message, { field: 'only' });
  }
  return new Set(names as Part[]);
}

/** Sizes of `--models` and `--batches`. Throws as {@link readNetworkSizes}, and where one is named twice. */
function chosenNetworks(options: Parameters<typeof readNetworkSizes>[0]): ReturnType<typeof readNetworkSizes> {
  const networks = readNetworkSizes(options);
  expectOnce(networks.models ?? [], 'models');
  expectOnce(networks.batches ?? [], 'batches');
  return networks;
}

/** Options of parts that were not chosen count for nothing. */
function neededBy({ only }: { readonly only: string | undefined }) {
  const chosen = chosenParts(only);
  const of = (...owners: Part[]): Need => [
    owners.some((part) => chosen.has(part)),
    `is of the ${owners.length === 1 ? 'part' : 'parts'} ${owners.join(' and ')}, which --only leaves out`,
  ];
  return {
    ...{ products: of('products'), precision: of('products', 'networks'), weights: of('attack') },
    ...{ models: of('networks'), batches: of('networks'), steps: of('networks') },
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
  const named = peers === undefined || peers === 'none' || (await isThere(join(peers, 'peers')));
  check(
    named,
    'missing-file',
    `--peers: ${peers} is no folder with the peers, which has a folder "peers" like benchmarks/`,
    'peers',
  );
  if (weights !== undefined) await namedWeights(modelDefinition('resnet20'), weights);
  if (out !== undefined) await ensureWritableFolder(out);
}

const packageRoot = fileURLToPath(new URL('../../../', import.meta.url));

/** The version of the Dawn that everybody runs on. */
async function dawnVersion(): Promise<string> {
  const file = fileURLToPath(new URL('./package.json', import.meta.resolve('webgpu')));
  return (JSON.parse(await readFile(file, 'utf8')) as { version: string }).version;
}

/** The rows so far, and beside each part how fast the host was. */
class Record {
  readonly rows: BenchRow[] = [];
  /** Load of the machine before and after. */
  readonly loads = [loadavg()[0]!];
  private readonly roots: number[] = [];
  private readonly sums: number[] = [];
  private part = 0;

  constructor(
    private readonly parts: number,
    private readonly context: Pick<VerbContext, 'signal' | 'progress' | 'print' | 'width'>,
  ) {}

  /** Says what is at work. Throws `aborted` after an interruption. */
  readonly say = (text: string): void => {
    check(!this.context.signal.aborted, 'aborted', 'the benchmark was interrupted');
    this.context.progress.update('bench', this.part / this.parts, text);
  };

  readonly add = (found: readonly BenchRow[]): void => {
    this.context.progress.clear();
    this.part++;
    this.roots.push(squareRoots());
    this.sums.push(additions(1e7));
    this.print(found);
  };

  /** Adds the controls on the host. */
  end(): void {
    if (this.roots.length > 0)
      this.print([
        row('control: 20 million square roots on the host', 'host', 'ms', this.roots),
        row('control: 60 million additions on the host', 'host', 'ms', this.sums),
      ]);
    this.loads.push(loadavg()[0]!);
  }

  private print(found: readonly BenchRow[]): void {
    for (const line of shownRows(found, this.context.width)) this.context.print(line);
    this.rows.push(...found);
  }
}

/** Writes the tables and the chart of `--out`. */
async function writeReport(
  folder: string,
  rows: readonly BenchRow[],
  caption: string,
  processor: string,
): Promise<void> {
  const heading = `# Benchmarks\n\n${caption}; ${processor}; Node ${process.version}.\n\n`;
  await writeFileAtomic(join(folder, 'benchmarks.md'), `${heading}${markdownTable(rows)}\n`);
  await writeFileAtomic(join(folder, 'benchmarks.svg'), comparisonChart(rows, caption));
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
      help:
        'turns of each party, whatever the budget ' +
        `[${usualRounds}, or at least ${leastRounds} where the budget is short]`,
      min: 1,
    }),
    budget: integer({
      help: 'seconds for all turns of one comparison; slow ones get fewer turns',
      byDefault: 60,
      min: 1,
    }),
    patience: integer({
      help: 'seconds to wait for one answer; a peer that takes longer has failed',
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
  needs: neededBy,
  notes: [
    '',
    'Ctrl-C ends the measurement, writes the rows so far and ends with exit code 130; a second one ends at once.',
  ],
  async run(given, context) {
    const { signal, progress } = context;
    const options = { ...given, rounds: given.rounds ?? usualRounds };
    const chosen = chosenParts(options.only);
    await checkFiles(options);
    const networks = chosenNetworks(options);
    const folder = resolve(options.peers ?? join(packageRoot, 'benchmarks'));
    const peers: Peers =
      options.peers === 'none'
        ? { entries: [], versions: {}, torch: 'left out by --peers none' }
        : await installedPeers(folder);
    if (typeof peers.torch === 'string' && options.peers !== 'none') progress.line(`note: ${peers.torch}`);
    if (peers.entries.length === 0 && options.peers !== 'none')
      progress.line('note: no peers are installed; "npm run bench" in a clone installs them');
    const record = new Record(chosen.size, context);
    const device = await openDevice({ device: 'auto', adapter: undefined });
    const adapter = shownAdapter(device);
    const limits = {
      rounds: options.rounds,
      budgetSeconds: options.budget,
      leastRounds: given.rounds ?? leastRounds,
      answerSeconds: options.patience,
      turnMilliseconds: options.turn,
      processorTime: adapter.software,
      signal,
      onProgress: record.say,
    };
    try {
      await measureParts({
        ...{ device, software: adapter.software, chosen, peers, limits, say: record.say, add: record.add },
        products: options.products,
        precision: options.precision,
        networks: { ...networks, ...(options.steps !== undefined && { steps: options.steps }) },
        weights: options.weights,
      });
    } catch (error) {
      // What was at work when Ctrl-C came ends in any way; the rows before it hold.
      if (!signal.aborted) throw error;
    } finally {
      device.destroy();
    }
    const { rows } = record;
    record.end();
    const settings = {
      dawn: await dawnVersion(),
      ...(peers.entries.length > 0 && { peers: peers.versions }),
      rounds: options.rounds,
      device: device.adapterInfo.device,
      driver: device.adapterInfo.driver,
      pollingThrottled: throttledParties([ownParty, ...peers.entries]),
      processor: `${cpus().length} x ${cpus()[0]?.model ?? 'unknown'}`,
      load: record.loads,
    };
    const date = new Date().toISOString();
    if (options.out !== undefined) {
      const caption = `${adapter.description}, Dawn ${settings.dawn}, ${date.slice(0, 10)}`;
      await writeReport(options.out, rows, caption, settings.processor);
    }
    return { adapter, settings, fields: { date, rows }, interrupted: signal.aborted };
  },
});
