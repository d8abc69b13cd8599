import type { Device } from '../runtime/device.js';
import type { Precision } from '../graph/types.js';
import { measureBarriers } from './barriers.js';
import { copyAgain, measureCeilings, measureKernels } from './ceilings.js';
import { measureMemory, measureStart } from './children.js';
import { compare, PartyProcess } from './compare.js';
import type { CompareOptions } from './compare.js';
import { measureDispatch } from './figures.js';
import { measureNetworks, networkSizes } from './networks.js';
import type { NetworkSizes } from './networks.js';
import { ownParty } from './peers.js';
import type { Peers } from './peers.js';
import { measureProducts, productSizes } from './products.js';
import { missing } from './rows.js';
import type { BenchRow } from './rows.js';
import { measureScaling } from './scaling.js';
import type { WorkloadRequest } from './workloads.js';

/** Parts of the benchmark, in the order in which they run. */
export const parts = [
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
export type Part = (typeof parts)[number];

/** What every part works with. */
export interface BenchContext {
  readonly device: Device;
  /** It is a software adapter. */
  readonly software: boolean;
  readonly chosen: ReadonlySet<Part>;
  readonly peers: Peers;
  readonly limits: Omit<CompareOptions, 'checkUnits' | 'tolerance'>;
  readonly products: 'auto' | 'large' | 'small';
  readonly precision: 'both' | Precision;
  /** Instead of the usual networks, batch sizes and steps. */
  readonly networks: Partial<NetworkSizes>;
  /** Weights of ResNet-20 for the attack; random ones where undefined. */
  readonly weights: string | undefined;
  /** Says what is at work. Throws `aborted` after an interruption. */
  readonly say: (text: string) => void;
  /** Takes the rows of one measurement. */
  readonly add: (rows: readonly BenchRow[]) => void;
}

const precisionsOf = ({ precision }: BenchContext): readonly Precision[] =>
  precision === 'both' ? ['f32', 'f16'] : [precision];

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

/**
 * Units that every party does first to compare results: enough steps for errors of training to show where a step is
 * short.
 */
const checkUnits = (request: WorkloadRequest): number =>
  request.kind !== 'training' ? 1 : request.model === 'resnet20' ? 3 : 10;

/** Ceilings, kernels beside them, and products. Gives the first row, the copy, for a control at the end. */
async function ceilingsAndProducts(context: BenchContext): Promise<BenchRow> {
  const { device, chosen, limits, peers, say, add } = context;
  say('ceilings');
  const ceilings = await measureCeilings(device, limits.rounds);
  add([...ceilings.rows, ...(await measureKernels(device, ceilings, limits.rounds))]);
  if (chosen.has('products')) {
    const usual = context.software ? 'small' : 'large';
    const peer = typeof peers.torch === 'string' ? undefined : new PartyProcess(peers.torch);
    try {
      add(
        await measureProducts(device, {
          sizes: productSizes[context.products === 'auto' ? usual : context.products],
          precisions: precisionsOf(context),
          ceilings,
          times: limits.rounds,
          turnMilliseconds: limits.turnMilliseconds / 4,
          answerSeconds: limits.answerSeconds,
          peer,
          signal: limits.signal,
          report: say,
        }),
      );
    } finally {
      peer?.end();
    }
    if (typeof peers.torch === 'string') add([missing('products', 'PyTorch', 'GFLOP/s', peers.torch)]);
  }
  return ceilings.rows[0]!;
}

/** The workloads of the chosen parts, every party in turns. */
async function comparisons({ chosen, weights, peers, limits, add }: BenchContext): Promise<void> {
  const requests = Object.entries(workloads(weights)).flatMap(([part, list]) => (chosen.has(part as Part) ? list : []));
  if (requests.length === 0) return;
  const parties = [ownParty, ...peers.entries].map((entry) => new PartyProcess(entry));
  try {
    for (const request of requests)
      add(await compare(request, parties, { ...limits, tolerance: 1e-3, checkUnits: checkUnits(request) }));
  } finally {
    for (const party of parties) party.end();
  }
}

async function networks(context: BenchContext): Promise<void> {
  const { device, peers, limits, add } = context;
  const torch = typeof peers.torch === 'string' ? [] : [peers.torch];
  // That the adapter has no f16 is said in the part products, once.
  const precisions = precisionsOf(context).filter(
    (precision) => precision === 'f32' || context.precision === 'f16' || device.features.has('shader-f16'),
  );
  const sizes = { ...networkSizes[context.software ? 'small' : 'large'], ...context.networks };
  for await (const found of measureNetworks({ ...limits, sizes, precisions, parties: [ownParty, ...torch] }))
    add(found);
  if (typeof peers.torch === 'string') add([missing('networks', 'PyTorch', 'ms', peers.torch)]);
}

/** Runs the chosen parts one after the other. */
export async function measureParts(context: BenchContext): Promise<void> {
  const { device, chosen, limits, say, add } = context;
  const needsCeilings = (['ceilings', 'kernels', 'products'] as const).some((part) => chosen.has(part));
  const copy = needsCeilings ? await ceilingsAndProducts(context) : undefined;
  if (chosen.has('dispatch')) {
    say('dispatch');
    add([...(await measureDispatch(device, limits.rounds)), ...(await measureBarriers(device, limits.rounds))]);
  }
  await comparisons(context);
  if (chosen.has('networks')) await networks(context);
  if (chosen.has('start')) {
    say('process start');
    add(await measureStart(3, limits.rounds));
  }
  if (chosen.has('scaling')) add(await measureScaling(device, limits.rounds, say));
  if (chosen.has('memory')) {
    say('memory');
    add(await measureMemory());
  }
  if (copy !== undefined) {
    say('control');
    add([await copyAgain(device, copy)]);
  }
}
