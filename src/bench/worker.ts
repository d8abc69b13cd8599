/** Child process of a comparison: holds one party and does what the parent asks, one message at a time. */
import { exposeWebGPU } from './browser.js';
import { resetSpin } from '../runtime/polling.js';
import type { Party, PartyTask } from './party.js';
import { makeWorkload } from './workloads.js';
import type { WorkloadRequest } from './workloads.js';

/** What the parent asks for. */
export type Request =
  | { readonly call: 'open'; readonly workload: WorkloadRequest }
  | { readonly call: 'run'; readonly units: number }
  | { readonly call: 'result' }
  | { readonly call: 'close' };

/**
 * The answer: milliseconds of the call by the clock and of processor time of the party's processes, and, where there
 * is one, its result.
 */
export interface Answer {
  readonly milliseconds: number;
  readonly processor: number;
  readonly opened?: boolean;
  readonly result?: Float64Array;
  readonly error?: string;
}

const [, , module, browser] = process.argv;
let party: Party | undefined;
let task: PartyTask | undefined;

async function serve(request: Request): Promise<Answer> {
  if (request.call === 'open' && party === undefined) {
    if (browser === 'browser') await exposeWebGPU();
    party = ((await import(module!)) as { default: Party }).default;
  }
  const workload = request.call === 'open' ? await makeWorkload(request.workload) : undefined;
  resetSpin();
  const begin = performance.now();
  const used = process.cpuUsage();
  const took = (): Pick<Answer, 'milliseconds' | 'processor'> => {
    const { user, system } = process.cpuUsage(used);
    return { milliseconds: performance.now() - begin, processor: (user + system) / 1000 };
  };
  switch (request.call) {
    case 'open':
      task?.close();
      task = await party!.open(workload!);
      return { ...took(), opened: task !== undefined };
    case 'run': {
      const elsewhere = (await task!.run(request.units)) ?? 0;
      const { milliseconds, processor } = took();
      return { milliseconds, processor: processor + elsewhere };
    }
    case 'result':
      return { result: Float64Array.from(await task!.result()), ...took() };
    case 'close':
      task?.close();
      task = undefined;
      return took();
  }
}

process.on('message', (request: Request) => {
  serve(request)
    .catch((error: unknown): Answer => ({
      milliseconds: 0,
      processor: 0,
      error: error instanceof Error ? (error.stack ?? error.message) : String(error),
    }))
    .then((answer) => process.send!(answer))
    .catch(() => process.exit(1));
});
// Ctrl-C reaches every process of the terminal; the parent ends this one.
process.on('SIGINT', () => undefined);
process.on('disconnect', () => process.exit(0));
