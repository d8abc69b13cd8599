import { check } from '../errors.js';
import type { Precision } from '../graph/types.js';
import { modelDefinition } from '../nn/zoo/index.js';
import { compare, PartyProcess } from './compare.js';
import type { CompareOptions } from './compare.js';
import type { PartyEntry } from './party.js';
import { missing } from './rows.js';
import type { BenchRow } from './rows.js';
import { workloadName } from './workloads.js';
import type { WorkloadRequest } from './workloads.js';

/** Which networks take a training step and an attack. */
export interface NetworkSizes {
  readonly models: readonly string[];
  /** Images a step. */
  readonly batches: readonly number[];
  /** Steps of the PGD attack. */
  readonly steps: number;
}

/** For GPUs, and for software adapters, where the large ones would take an hour. */
export const networkSizes: Readonly<Record<'large' | 'small', NetworkSizes>> = {
  large: { models: ['resnet18', 'resnet50'], batches: [128, 512], steps: 100 },
  small: { models: ['resnet20'], batches: [8], steps: 5 },
};

/**
 * Sizes as they were asked for, in place of some of the usual ones.
 *
 * @throws LinbpError `unknown-model`, `bad-argument` for a batch that is none
 */
export function readNetworkSizes(given: {
  readonly models?: string | undefined;
  readonly batches?: string | undefined;
}): Partial<NetworkSizes> {
  const words = (text: string): string[] => text.split(',').map((word) => word.trim());
  const models = given.models === undefined ? undefined : words(given.models);
  for (const model of models ?? []) modelDefinition(model);
  const batches = given.batches === undefined ? undefined : words(given.batches).map(Number);
  for (const batch of batches ?? []) {
    const valid = Number.isInteger(batch) && batch >= 1 && batch <= 65536;
    check(
      valid,
      'bad-argument',
      `--batches: expected whole numbers from 1 to 65536, joined by commas, got "${given.batches}"`,
      'batches',
    );
  }
  return { ...(models !== undefined && { models }), ...(batches !== undefined && { batches }) };
}

/** Of {@link measureNetworks}; what every comparison has in common comes with it. */
export interface NetworkOptions extends Omit<CompareOptions, 'checkUnits' | 'tolerance'> {
  readonly sizes: NetworkSizes;
  readonly precisions: readonly Precision[];
  /** linbp first. */
  readonly parties: readonly PartyEntry[];
}

/**
 * Small enough that a step from random weights does not multiply rounding errors, which would hide whether the
 * parties agree.
 */
const lr = 1e-4;

function requests({ models, batches, steps }: NetworkSizes, precisions: readonly Precision[]): WorkloadRequest[] {
  const found: WorkloadRequest[] = [];
  for (const model of models)
    for (const batch of batches)
      for (const precision of precisions)
        found.push(
          { kind: 'training', model, batch, precision, lr },
          { kind: 'attack', model, batch, steps, precision },
        );
  return found;
}

/** Images a second, beside the time of a step or an attack. */
function withImages(request: WorkloadRequest, row: BenchRow): BenchRow {
  if (!('batch' in request) || row.unit !== 'ms' || !Number.isFinite(row.median)) return row;
  const images = `${Math.round((1000 * request.batch) / row.median)} images/s`;
  return { ...row, note: row.note === undefined ? images : `${images}; ${row.note}` };
}

/**
 * A training step and a whole PGD attack of each network, batch size and precision. Every comparison starts processes
 * of its own, so that one which runs out of memory gives back what it has and costs its own rows only, which say why.
 * Yields the rows of each.
 */
export async function* measureNetworks({
  sizes,
  precisions,
  parties,
  ...options
}: NetworkOptions): AsyncGenerator<BenchRow[]> {
  for (const request of requests(sizes, precisions)) {
    const processes = parties.map((entry) => new PartyProcess(entry));
    try {
      const half = 'precision' in request && request.precision === 'f16';
      // In f16 either party may leave out a first step, as the rule of the loss scale says, so that only the loss
      // before it is comparable.
      const units = { checkUnits: request.kind === 'training' && !half ? 2 : 1, tolerance: half ? 2e-2 : 1e-3 };
      yield (await compare(request, processes, { ...options, ...units })).map((row) => withImages(request, row));
    } catch (error) {
      options.signal.throwIfAborted();
      yield [
        missing(
          workloadName(request),
          parties[0]!.name,
          'ms',
          `failed: ${(error as Error).message.split('\n')[0]!.slice(0, 200)}`,
        ),
      ];
    } finally {
      for (const process of processes) process.end();
    }
  }
}
