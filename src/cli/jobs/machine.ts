import type { Device } from '../../runtime/device.js';
import { Progress } from '../progress.js';
import { screenOf } from '../terminal/screen.js';
import type { VerbContext } from '../verb.js';

/** What sessions get of the machine. */
export interface Machine {
  /** The GPU, opened when it is first asked for and shared by all sessions. */
  device(): Promise<Device>;
}

/** Contexts of jobs say nothing: the submitter shows the progress. */
export function silentContext(signal: AbortSignal): VerbContext {
  const stream = { isTTY: false, write: () => true } as unknown as NodeJS.WriteStream;
  return {
    ...{ signal, command: [], progress: new Progress(stream), print: () => undefined, lock: () => Promise.resolve() },
    verbs: () => Promise.resolve([]),
    ...screenOf(stream),
  };
}
