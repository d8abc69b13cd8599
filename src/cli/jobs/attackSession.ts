import type { Dataset } from '../../data/dataset.js';
import { check, LinbpError } from '../../errors.js';
import { poolSize } from '../../attacks/pool.js';
import { decodeSafetensors, encodeSafetensors, tensorAsFloat32 } from '../../io/safetensors.js';
import type { SafetensorsTensor } from '../../io/safetensors.js';
import type { Task } from '../../jobs/description.js';
import { checkStoredImages, getImages } from '../../jobs/images.js';
import type { Session } from '../../jobs/runner.js';
import type { JobStore } from '../../jobs/store.js';
import { listCells } from '../attack/cells.js';
import { options } from '../attack/options.js';
import type { AttackValues } from '../attack/options.js';
import { openCell } from '../attack/run.js';
import { faultOfResult } from '../attack/storedResult.js';
import type { CellRun, ReadyCell } from '../attack/run.js';
import { shiftedLabels } from '../attack/targets.js';
import { quotedValue } from '../../quote.js';
import { keepRecent } from '../../runtime/recent.js';
import { referenceAdapter, shownAdapter } from '../common.js';
import { modelWith } from '../inference.js';
import { each, namesWith } from '../optionRoles.js';
import type { OptionRoles } from '../optionRoles.js';
import { readValues } from '../options.js';
import type { VerbContext } from '../verb.js';
import { silentContext } from './machine.js';
import type { Machine } from './machine.js';
import { getNetwork } from './network.js';

const textBytes = (value: unknown): Uint8Array => new Uint8Array(Buffer.from(JSON.stringify(value)));

/** What a job of an attack finds. */
export type PartRun = Omit<CellRun, 'cell'>;

/** A result as bytes: arrays as they are, the rest as JSON, whose numbers keep all their bits. */
function encodeRun({ result, settings, minimal }: CellRun): Uint8Array {
  const { images, images8, losses, ...rest } = result;
  // How long it took is in the record; the result is a function of the job alone.
  const record = textBytes({ rest: { ...rest, seconds: 0, imageGradientsPerSecond: 0 }, settings, minimal });
  return Buffer.concat(
    encodeSafetensors({
      images: { shape: [images.length], data: images },
      losses: { shape: [losses.length], data: losses },
      images8: { shape: [images8.length], data: images8 },
      record: { shape: [record.length], data: record },
    }),
  );
}

interface StoredRun {
  readonly rest: Omit<CellRun['result'], 'images' | 'images8' | 'losses'>;
  readonly settings: CellRun['settings'];
  readonly minimal: boolean;
}

/** Reads what a job found. Throws `bad-file`. */
export function decodeRun(bytes: Uint8Array): PartRun {
  const { tensors } = decodeSafetensors(bytes);
  const refuse = (why: string, cause?: unknown): never => {
    throw new LinbpError('bad-file', `this is no result of an attack: ${why}`, { field: 'store', cause });
  };
  const tensor = (name: string, dtype: string): SafetensorsTensor => {
    const found = tensors.get(name);
    return found?.dtype === dtype ? found : refuse(`it lacks the tensor ${name}`);
  };
  const arrays = {
    images: tensorAsFloat32(tensor('images', 'F32')).slice(),
    losses: tensorAsFloat32(tensor('losses', 'F32')).slice(),
    images8: Uint8Array.from(tensor('images8', 'U8').data),
  };
  let read: StoredRun;
  try {
    read = JSON.parse(Buffer.from(tensor('record', 'U8').data).toString('utf8')) as StoredRun;
  } catch (cause) {
    return refuse('its record is not JSON', cause);
  }
  const fault = faultOfResult(read?.rest, arrays);
  if (fault !== undefined) refuse(fault);
  const settled = typeof read.settings === 'object' && read.settings !== null && typeof read.minimal === 'boolean';
  if (!settled) refuse('its settings are missing');
  // JSON has no infinity, the radius of attacks that have none.
  const settings = { ...read.settings, eps: (read.settings.eps as number | null) ?? Infinity };
  return { result: { ...read.rest, ...arrays }, settings, minimal: read.minimal, interrupted: false };
}

/**
 * What jobs get of each option of the verb: its value, what was made of it (network, images, cell), or nothing, since
 * it is of the command that submits. A new option does not compile before it is here.
 */
const roles: OptionRoles<AttackValues> = {
  ...each(
    ['version', 'stages', 'gradient', 'transform', 'momentum', 'norm', 'alpha', 'steps', 'restarts', 'randomStart'],
    'value',
  ),
  ...each(['targeted', 'ila', 'ilaSteps', 'loss', 'decay', 'eot', 'keep', 'batch', 'precision', 'seed'], 'value'),
  ...each(['model', 'weights', 'classes', 'normalize'], 'made'),
  ...each(['dataset', 'data', 'limit', 'resize', 'crop', 'split', 'targetShift'], 'made'),
  ...each(['attack', 'rule', 'eps', 'device'], 'made'),
  ...each(['preset', 'list', 'victims', 'images', 'csv', 'out', 'resume', 'adapter'], 'nothing'),
  ...each(['queue', 'store', 'workers', 'shard', 'sameAdapter'], 'nothing'),
};

/** Options of the verb that decide what an attack finds, beside its name, rule and radius. */
export const attackValueNames = namesWith(roles, 'value');

/** The values of the verb as if they had been typed. */
function attackValues(given: Readonly<Record<string, unknown>>): AttackValues {
  const { attack, rule, eps, device, ...rest } = given;
  const unknown = Object.keys(rest).find((name) => !(attackValueNames as readonly string[]).includes(name));
  check(unknown === undefined, 'bad-argument', `a job of an attack has no option ${quotedValue(unknown)}`, 'values');
  const named = typeof attack === 'string' && typeof rule === 'string';
  check(named, 'bad-argument', 'a job of an attack needs an attack and a rule', 'values');
  check(device === 'gpu' || device === 'reference', 'bad-argument', 'device must be gpu or reference', 'device');
  const where = device === 'reference' ? 'reference' : 'auto';
  return readValues({ ...rest, attack, rule, eps, device: where }, options);
}

/** Programs that are kept, one for each size of batch: the jobs of a plan have three, of a queue any. */
const keptSizes = 3;

/** Makes an attack of a job's description ready. */
export async function openAttackSession(task: Task, store: JobStore, machine: Machine): Promise<Session> {
  const { network, images, values: given, shift, several } = task.settings;
  const stored = checkStoredImages(images);
  check(stored.count === task.count, 'bad-argument', 'the images are not as many as the task says', 'count');
  check(Number.isSafeInteger(shift) && (shift as number) > 0, 'bad-argument', 'shift must be a whole number', 'shift');
  const { definition, weights } = await getNetwork(store, network);
  const values = attackValues((given ?? {}) as Record<string, unknown>);
  const [cell, ...others] = listCells(values, definition);
  check(cell !== undefined && others.length === 0, 'bad-argument', 'a job is one attack, rule and radius', 'attack');
  const device = values.device === 'reference' ? undefined : await machine.device();
  const model = device === undefined ? { definition, weights } : modelWith(device, definition, weights);
  const ready = new Map<number, ReadyCell>();
  const cellFor = async (batch: number, context: VerbContext): Promise<ReadyCell> => {
    const there =
      ready.get(batch) ?? (await openCell(cell, { values: { ...values, batch }, model, context }, several === true));
    // A runner does one job after another, so nobody is using the others.
    keepRecent(ready, batch, there, keptSizes, (old) => old.close());
    return there;
  };
  let partners: Dataset | undefined;
  return {
    adapter: device === undefined ? referenceAdapter : shownAdapter(device),
    async run(from, to, signal) {
      const dataset = await getImages(store, stored, from, to);
      partners ??= await getImages(store, stored, 0, Math.min(poolSize, stored.count));
      const context = silentContext(signal);
      const batch = Math.min(values.batch, to - from);
      const run = await (
        await cellFor(batch, context)
      ).run({
        ...{ values: { ...values, batch }, model, dataset, context, offset: from, partners },
        labels: shiftedLabels(dataset, 0, definition.classes),
        targets: values.targeted ? shiftedLabels(dataset, shift as number, definition.classes) : undefined,
        state: { finished: () => Promise.resolve([]), keep: () => Promise.resolve() },
      });
      return encodeRun(run);
    },
    close() {
      for (const each of ready.values()) each.close();
      if ('destroy' in model) model.destroy();
    },
  };
}
