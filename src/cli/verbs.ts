import { LinbpError } from '../errors.js';
import type { Verb } from './verb.js';

/** All verbs in the order of `linbp --help`. A verb's file is loaded only when it is asked for. */
const loaders: Readonly<Record<string, () => Promise<Verb>>> = {
  doctor: async () => (await import('./doctor-verb.js')).doctorVerb,
  demo: async () => (await import('./demo/verb.js')).demoVerb,
  train: async () => (await import('./train.js')).trainVerb,
  attack: async () => (await import('./attack.js')).attackVerb,
  transfer: async () => (await import('./transfer.js')).transferVerb,
  eval: async () => (await import('./eval.js')).evalVerb,
  worker: async () => (await import('./worker.js')).workerVerb,
  jobs: async () => (await import('./jobsVerb.js')).jobsVerb,
  predict: async () => (await import('./predict.js')).predictVerb,
  grad: async () => (await import('./grad.js')).gradVerb,
  profile: async () => (await import('./profile.js')).profileVerb,
  tune: async () => (await import('./tune.js')).tuneVerb,
  bench: async () => (await import('./bench.js')).benchVerb,
  positions: async () => (await import('./positions.js')).positionsVerb,
  export: async () => (await import('./export.js')).exportVerb,
  info: async () => (await import('./info.js')).infoVerb,
  simulate: async () => (await import('./simulate.js')).simulateVerb,
  reproduce: async () => (await import('./reproduce.js')).reproduceVerb,
  completion: async () => (await import('./completion.js')).completionVerb,
};

/** Names of the verbs. */
export const verbNames: readonly string[] = Object.keys(loaders);

/** A verb by name. Throws `unknown-option` where there is none. */
export async function loadVerb(name: string): Promise<Verb> {
  const load = Object.hasOwn(loaders, name) ? loaders[name] : undefined;
  if (load === undefined) throw new LinbpError('unknown-option', `there is no verb "${name}"`, { field: name });
  return load();
}
