import { check } from '../errors.js';
import type { StoredPlan } from './store.js';

/** A task cut into ranges, by number. */
export interface Parts {
  /** Images or cells in all. */
  readonly total: number;
  /** Number of jobs. */
  readonly count: number;
  /** Range of job `index`. */
  at(index: number): { readonly from: number; readonly to: number };
  /** The job with this range, written `from-to`; undefined where no job has it. */
  indexOf(range: string): number | undefined;
}

/** How long a job should take: long enough not to count what it costs, short enough to lose little with a worker. */
const targetSeconds = 25;

/** Ranges of a plan: `probes` ones of `probe` images, then ones of `shard`; the last of each may be shorter. */
export function partsOf(total: number, { probe, probes, shard }: StoredPlan): Parts {
  for (const [name, size] of Object.entries({ total, probe, shard }))
    check(
      Number.isSafeInteger(size) && size > 0,
      'bad-range',
      `${name} of a plan must be a whole number above 0, got ${size}`,
      name,
    );
  const probed = Math.min(total, probe * probes);
  const first = Math.ceil(probed / probe);
  const count = first + Math.ceil((total - probed) / shard);
  const at = (index: number): { from: number; to: number } => {
    const [origin, size, end, at] = index < first ? [0, probe, probed, index] : [probed, shard, total, index - first];
    const from = origin + at * size;
    return { from, to: Math.min(end, from + size) };
  };
  return {
    total,
    count,
    at,
    indexOf(range) {
      const [, from, to] = /^(\d{1,10})-(\d{1,10})$/.exec(range) ?? [];
      if (from === undefined) return undefined;
      const begin = Number(from);
      const index = begin < probed ? begin / probe : first + (begin - probed) / shard;
      if (!Number.isInteger(index) || index >= count) return undefined;
      const found = at(index);
      return found.from === begin && found.to === Number(to) ? index : undefined;
    },
  };
}

/** The plan of `--shard N`, and of cells, one a job. */
export const fixedPlan = (shard: number): StoredPlan => ({ probe: shard, probes: 0, shard });

/** Images of the first jobs, by whose speed the others are sized: a small share of the work for each worker. */
export const probeSize = (total: number, workers: number, batch: number): number =>
  Math.max(1, Math.min(batch, Math.ceil(total / (4 * Math.max(1, workers)))));

/**
 * Images a job, from what a measured job took: about 25 seconds of work, whole batches where a batch is shorter, and no
 * more than gives every worker a job.
 */
export function shardSize(
  measured: { readonly images: number; readonly seconds: number },
  left: number,
  workers: number,
  batch: number,
): number {
  const rate = measured.images / Math.max(measured.seconds, 1e-3);
  const wanted = Math.max(1, Math.min(Math.floor(rate * targetSeconds), Math.ceil(left / Math.max(1, workers))));
  return wanted > batch ? Math.floor(wanted / batch) * batch : wanted;
}
