import { check, LinbpError } from '../../errors.js';
import type { OpenSession, Session } from '../../jobs/runner.js';
import type { Task } from '../../jobs/description.js';
import type { JobStore } from '../../jobs/store.js';
import type { Device } from '../../runtime/device.js';
import { openDevice } from '../common.js';
import { openAttackSession } from './attackSession.js';
import { openEvaluateSession } from './evaluateSession.js';
import { openReproduceSession } from './reproduceSession.js';
import { openTrainSession } from './trainSession.js';
import type { Machine } from './machine.js';

/** Jobs that stubs of this process have done. */
let stubsDone = 0;

/**
 * Computes nothing, for tests and measurements of queues and stores: takes `milliseconds`, fails at image `poison`,
 * ends its process at image `crash` as a crash does, and loses its GPU after `lostAfter` jobs of a process.
 */
function stubSession({ settings }: Task): Session {
  const [milliseconds, poison, lostAfter, crash] = ['milliseconds', 'poison', 'lostAfter', 'crash'].map((name) => {
    const value = settings[name] ?? (name === 'milliseconds' ? 0 : -1);
    check(
      Number.isSafeInteger(value) && (value as number) <= 2 ** 31 - 1,
      'bad-argument',
      `${name} of a stub must be a whole number`,
      name,
    );
    return value as number;
  }) as [number, number, number, number];
  return {
    adapter: { vendor: 'linbp', architecture: 'none', description: 'stub', software: true },
    async run(from, to) {
      if (milliseconds > 0) await new Promise((resolve) => setTimeout(resolve, milliseconds));
      if (from <= poison && poison < to)
        throw new LinbpError('bad-range', `stub ${poison} is poisoned`, { field: 'poison' });
      if (from <= crash && crash < to) process.abort();
      if (lostAfter >= 0 && stubsDone >= lostAfter) throw new LinbpError('device-lost', 'the stub has lost its GPU');
      stubsDone += 1;
      return Buffer.from(`${from}-${to}`);
    },
    close: () => undefined,
  };
}

async function openSession(task: Task, store: JobStore, machine: Machine): Promise<Session> {
  switch (task.kind) {
    case 'attack':
      return openAttackSession(task, store, machine);
    case 'evaluate':
      return openEvaluateSession(task, store, machine);
    case 'train':
      return openTrainSession(task, store, machine);
    case 'reproduce':
      return openReproduceSession(task, store, machine);
    case 'stub':
      return stubSession(task);
  }
}

/** This process' part of the machine, as jobs use it. */
export function openMachine(options: { readonly device: 'auto' | 'software'; readonly adapter?: string }): {
  readonly open: OpenSession;
  readonly close: () => void;
} {
  let opened: Promise<Device> | undefined;
  const machine: Machine = {
    device: () => (opened ??= openDevice({ device: options.device, adapter: options.adapter })),
  };
  return {
    open: (task, store) => openSession(task, store, machine),
    close() {
      opened?.then(
        (device) => device.destroy(),
        () => undefined,
      );
    },
  };
}
