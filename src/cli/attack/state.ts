import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isThere } from '../../io/folders.js';
import type { AutoAttackImage, AutoAttackState } from '../../attacks/autoattackState.js';
import type { AttackResult } from '../../attacks/result.js';
import { check, LinbpError } from '../../errors.js';
import { writeFileAtomic } from '../../io/atomic.js';
import type { OutputFolder } from '../../io/outputFolder.js';
import { readJson } from '../../io/read.js';
import { readSafetensors, tensorAsFloat32, writeSafetensors } from '../../io/safetensors.js';
import type { SafetensorsFile, SafetensorsTensor } from '../../io/safetensors.js';
import { counted } from '../../quote.js';
import { digest } from '../../train/identity.js';
import { commandGoingOn } from '../goingOn.js';
import type { VerbContext } from '../verb.js';
import { faultOfResult } from './storedResult.js';

/*
 * What an attack has finished, batch by batch, in the folder `state` of its output. A kill between two batches loses
 * nothing, one inside a batch that batch: each file appears whole or not at all, and names the run that it belongs to.
 */

/** The folder inside `--out`. */
export const stateFolder = 'state';
const format = 'linbp-attack-3';
const indexName = 'attack.json';

/** What decides the bits of a run, as text by name. */
export type RunIdentity = Readonly<Record<string, string>>;

/** Says what an interrupted run kept, and the command that goes on from there. */
export function noteKept(
  state: Pick<AttackState, 'kept' | 'path'>,
  { command, progress }: Pick<VerbContext, 'command' | 'progress'>,
): void {
  if (state.kept === undefined)
    return progress.line('note: no batch was finished, so nothing is kept; with a smaller --batch more is');
  const again = commandGoingOn(command, state.path);
  progress.line(`note: kept ${state.kept}; this goes on from there: ${again}`, { whole: true });
}

/** Errors after which the same command goes on, if it is told to: the user's wish, or a GPU that was lost. */
const passing: readonly string[] = ['aborted', 'device-lost'];

/** Says what was kept where work is interrupted. */
export const noteResume = <T>(
  work: Promise<T>,
  state: Pick<AttackState, 'kept' | 'path'>,
  context: Pick<VerbContext, 'command' | 'progress'>,
): Promise<T> =>
  work.catch((error: unknown) => {
    if (error instanceof LinbpError && passing.includes(error.code)) noteKept(state, context);
    throw error;
  });

/** Finished batches on disk. */
export class AttackState {
  private begun: boolean;
  /** What is kept of each cell, in words. */
  private readonly cells = new Map<number, string>();
  /** Names of the pieces of JSON that are kept. */
  private readonly pieces = new Set<string>();

  private constructor(
    private readonly out: OutputFolder,
    private readonly identity: RunIdentity,
    private readonly adapter: string,
    resumed: boolean,
  ) {
    this.begun = resumed;
  }

  /**
   * @param resume go on from what is there; without it, what an earlier run left is removed as soon as there is
   * something new
   * @param adapter what computes; another one than before gives a note, since its rounding may differ
   * @throws LinbpError `bad-file` naming every setting that differs, and for a damaged file
   */
  static async open(
    out: OutputFolder,
    identity: RunIdentity,
    { resume, adapter, note }: { readonly resume: boolean; readonly adapter: string; note: (line: string) => void },
  ): Promise<AttackState> {
    const path = join(out.path, stateFolder, indexName);
    if (!resume) return new AttackState(out, identity, adapter, false);
    if (!(await isThere(path))) {
      note(`note: ${out.path} holds no unfinished attack; this one begins at the first image`);
      return new AttackState(out, identity, adapter, false);
    }
    const found = (await readJson(path, 1024 * 1024)) as {
      format?: unknown;
      identity?: unknown;
      adapter?: unknown;
    } | null;
    const before = found?.identity as RunIdentity | undefined;
    const valid = found?.format === format && typeof before === 'object' && before !== null;
    check(valid, 'bad-file', `${path} is not the state of an attack`, 'resume');
    const differences = Object.keys({ ...identity, ...before })
      .filter((key) => identity[key] !== before[key])
      .map((key) => `${key} is "${before[key] ?? 'nothing'}" there and "${identity[key] ?? 'nothing'}" here`);
    check(differences.length === 0, 'bad-file', `${path} belongs to another run: ${differences.join('; ')}`, 'resume');
    if (found?.adapter !== adapter)
      note(`note: the earlier part was computed by ${String(found?.adapter)}; bits may differ on ${adapter}`);
    return new AttackState(out, identity, adapter, true);
  }

  /** The output folder. */
  get path(): string {
    return this.out.path;
  }

  /** What is kept of this run, in words; undefined where nothing is. */
  get kept(): string | undefined {
    if (this.pieces.size > 0) return counted(this.pieces.size, 'finished part');
    const last = Math.max(...this.cells.keys());
    const words = this.cells.get(last);
    return words === undefined || last === 0 ? words : `${words} of run ${last + 1}, and the runs before it`;
  }

  private get run(): string {
    return digest(JSON.stringify(this.identity));
  }

  private fileOf(cell: number, first: number): string {
    return `${stateFolder}/${cell}-${String(first).padStart(8, '0')}.safetensors`;
  }

  /** Batches of a cell that are finished, from the first image on without a gap. */
  async finished(cell: number): Promise<AttackResult[]> {
    const results: AttackResult[] = [];
    if (!this.begun) return results;
    for (let first = 0; ; first += results.at(-1)!.count) {
      const path = join(this.out.path, this.fileOf(cell, first));
      if (!(await isThere(path))) return results;
      results.push(await readPart(path, this.run));
      this.cells.set(cell, counted(first + results.at(-1)!.count, 'image'));
    }
  }

  /** Keeps a batch that begins with image `first`. */
  async keep(cell: number, first: number, result: AttackResult): Promise<void> {
    await this.begin();
    const file = this.fileOf(cell, first);
    await this.out.claim([file]);
    await writePart(join(this.out.path, file), result, this.run);
    this.cells.set(cell, counted(first + result.count, 'image'));
  }

  /** What a battery is kept by: where it was, and what to call behind each of its batches. */
  async battery(cell: number): Promise<BatteryJournal> {
    const files = this.begun ? await journalFiles(join(this.out.path, stateFolder), cell) : [];
    const steps: JournalStep[] = [];
    for (const file of files) steps.push(await readStep(join(this.out.path, stateFolder, file), this.run));
    let number = files.length;
    let known: AutoAttackState['images'] = [];
    const resume = joined(steps);
    if (resume !== undefined) this.cells.set(cell, batteryWords(resume));
    return {
      resume,
      keep: async (state) => {
        await this.begin();
        // Images that a stage broke may take part in later stages, which changes their passes alone.
        const same = (image: AutoAttackImage, before: AutoAttackImage | null | undefined): boolean =>
          image.sample === before?.sample && image.passes === before.passes;
        const changed = state.images.flatMap((image, n) =>
          image === null || same(image, known[n]) ? [] : [[n, image] as const],
        );
        known = state.images;
        const file = `${stateFolder}/${cell}-battery-${String(number++).padStart(8, '0')}.json`;
        const step: JournalStep = { ...state, count: state.images.length, images: changed };
        await this.out.claim([file]);
        await writeFileAtomic(join(this.out.path, file), JSON.stringify({ journal: format, run: this.run, step }));
        this.cells.set(cell, batteryWords(state));
      },
    };
  }

  /** A piece of plain JSON that was kept under this name. */
  async piece(name: string): Promise<unknown> {
    const path = join(this.out.path, pieceFile(name));
    if (!this.begun || !(await isThere(path))) return undefined;
    const found = (await readJson(path, 64 * 1024 * 1024)) as { run?: unknown; name?: unknown; piece?: unknown } | null;
    const valid = found?.run === this.run && found.name === name && found.piece !== undefined;
    check(valid, 'bad-file', `${path} is no part of this run; remove it, or start over without --resume`, 'resume');
    this.pieces.add(name);
    return found.piece;
  }

  /** Keeps a piece of plain JSON under a name. */
  async keepPiece(name: string, piece: unknown): Promise<void> {
    await this.begin();
    const file = pieceFile(name);
    await this.out.claim([file]);
    await writeFileAtomic(join(this.out.path, file), JSON.stringify({ run: this.run, name, piece }));
    this.pieces.add(name);
  }

  private async begin(): Promise<void> {
    if (this.begun) return;
    await this.clear();
    await this.out.claim([`${stateFolder}/${indexName}`]);
    const index = { program: 'linbp', format, identity: this.identity, adapter: this.adapter };
    await writeFileAtomic(join(this.out.path, stateFolder, indexName), `${JSON.stringify(index, null, 2)}\n`);
    this.begun = true;
  }

  /** Removes what an earlier run left. */
  private async clear(): Promise<void> {
    const folder = join(this.out.path, stateFolder);
    if (!(await isThere(folder))) return;
    for (const name of await readdir(folder))
      if (name === indexName || /^\d+-(\d+\.safetensors|battery-\d+\.json)$|^piece-[0-9a-f]+\.json$/.test(name))
        await rm(join(folder, name), { force: true });
  }
}

/** What a battery has finished, in words. */
function batteryWords({ stages, done }: Pick<AutoAttackState, 'stages' | 'done'>): string {
  const names = stages.map(({ name }) => name).join(', ');
  if (done === 0) return names;
  const part = `${counted(done, 'image')} of the ${names === '' ? 'first' : 'next'} stage`;
  return names === '' ? part : `${names} and ${part}`;
}

const pieceFile = (name: string): string => `${stateFolder}/piece-${digest(name)}.json`;

/** How a battery goes on from disk, see {@link AttackState.battery}. */
export interface BatteryJournal {
  readonly resume: AutoAttackState | undefined;
  readonly keep: (state: AutoAttackState) => Promise<void>;
}

/** A state of a battery with only those images that changed since the one before. */
type JournalStep = Omit<AutoAttackState, 'images'> & {
  readonly count: number;
  readonly images: readonly (readonly [number, AutoAttackImage])[];
};

/** Steps of a battery in order, without those behind a gap. */
async function journalFiles(folder: string, cell: number): Promise<string[]> {
  if (!(await isThere(folder))) return [];
  const own = (await readdir(folder)).filter((name) => name.startsWith(`${cell}-battery-`) && name.endsWith('.json'));
  return own.sort().filter((name, k) => Number(/-(\d+)\.json$/.exec(name)?.[1]) === k);
}

async function readStep(path: string, run: string): Promise<JournalStep> {
  const found = (await readJson(path, 1024 * 1024 * 1024)) as {
    journal?: unknown;
    run?: unknown;
    step?: unknown;
  } | null;
  const step = found?.step as Partial<JournalStep> | null | undefined;
  const whole =
    Array.isArray(step?.images) && Array.isArray(step.stages) && Number.isSafeInteger(step.count) && step.count! > 0;
  check(
    whole && found?.journal === format && found.run === run,
    'bad-file',
    `${path} is no step of this battery; remove it, or start over without --resume`,
    'resume',
  );
  return step as JournalStep;
}

function joined(steps: readonly JournalStep[]): AutoAttackState | undefined {
  const last = steps.at(-1);
  if (last === undefined) return undefined;
  const images: (AutoAttackImage | null)[] = Array.from({ length: last.count }, () => null);
  for (const step of steps) for (const [n, image] of step.images) images[n] = image;
  const { count: _count, ...state } = last;
  return { ...state, images };
}

function writePart(path: string, result: AttackResult, run: string): Promise<void> {
  const { images, images8, losses, ...rest } = result;
  // A tensor, as headers are bounded: what is known of 60,000 images takes 20 MB.
  const record = new Uint8Array(Buffer.from(JSON.stringify(rest)));
  const tensors = {
    images: { shape: [images.length], data: images },
    images8: { shape: [images8.length], data: images8 },
    losses: { shape: [losses.length], data: losses },
    record: { shape: [record.length], data: record },
  };
  return writeSafetensors(path, tensors, { format, run });
}

async function readPart(path: string, run: string): Promise<AttackResult> {
  const file = await readSafetensors(path);
  const { metadata } = file;
  check(
    metadata['format'] === format && metadata['run'] === run,
    'bad-file',
    `${path} is no batch of this attack; remove it, or start over without --resume`,
    'resume',
  );
  let rest: Omit<AttackResult, 'images' | 'images8' | 'losses'>;
  try {
    rest = JSON.parse(Buffer.from((await tensor(file, 'record')).data).toString('utf8')) as typeof rest;
  } catch (cause) {
    if (cause instanceof LinbpError) throw cause;
    throw new LinbpError('bad-file', `${path}: its record is not JSON`, { field: 'resume', cause });
  }
  const arrays = {
    images: await floats(file, 'images'),
    images8: await bytes(file, 'images8'),
    losses: await floats(file, 'losses'),
  };
  const fault = faultOfResult(rest, arrays);
  check(fault === undefined, 'bad-file', `${path} does not hold a batch: ${fault}`, 'resume');
  return { ...rest, ...arrays };
}

function tensor(file: SafetensorsFile, name: string): Promise<SafetensorsTensor> {
  const found = file.tensors.get(name);
  check(found !== undefined, 'bad-file', `${file.source} lacks the tensor ${name}`, 'resume');
  return found.read();
}

const floats = async (file: SafetensorsFile, name: string): Promise<Float32Array> =>
  tensorAsFloat32(await tensor(file, name)).slice();
const bytes = async (file: SafetensorsFile, name: string): Promise<Uint8Array> =>
  Uint8Array.from((await tensor(file, name)).data);
