import { constants } from 'node:fs';
import { access, mkdir, readdir, realpath, rename, rm, rmdir, stat } from 'node:fs/promises';
import { dirname, isAbsolute, join, relative, resolve, sep } from 'node:path';
import { removeAtExit, removeEmptyAtExit } from './atExit.js';
import { isThere, makeFolders } from './folders.js';
import { LinbpError, check } from '../errors.js';
import { ensureWritableFolder, temporaryName, writeFileAtomic } from './atomic.js';
import { readJson } from './read.js';

/** The file that says which files of a folder are linbp's. */
export const manifestName = 'linbp-manifest.json';

/**
 * Where a verb writes unless told: a folder of its own in `linbp-out`, which is made at once, so that two runs of the
 * same second get one each; one that nothing is written into goes with the process. Where nothing can be made, the
 * writer says why.
 */
export async function defaultOutput(verb: string, now = new Date()): Promise<string> {
  const stamp = now.toISOString().slice(0, 19).replace(/[-:]/g, '').replace('T', '-');
  const path = join('linbp-out', `${verb}-${stamp}`);
  for (let again = 1; ; again++) {
    const candidate = again === 1 ? path : `${path}-${again}`;
    try {
      (await makeFolders(resolve('linbp-out'))).forEach(removeEmptyAtExit);
      await mkdir(candidate);
      removeEmptyAtExit(resolve(candidate));
      return candidate;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') return candidate;
    }
  }
}

/** Throws `not-writable` unless the folder, or the first one above it that is there, can be written in. */
async function expectWritable(path: string): Promise<void> {
  let folder = resolve(path);
  while (!(await isThere(folder))) folder = dirname(folder);
  try {
    const isFolder = (await stat(folder)).isDirectory();
    check(isFolder, 'not-writable', `cannot write in folder ${path}: ${folder} is a file`, 'out');
    await access(folder, constants.W_OK | constants.X_OK);
  } catch (cause) {
    if (cause instanceof LinbpError) throw cause;
    throw new LinbpError('not-writable', `cannot write in folder ${path}: ${(cause as Error).message}`, {
      field: 'out',
      cause,
    });
  }
}

/** Names of a manifest, none of which leads out of the folder. Throws `bad-file`. */
async function readManifest(folder: string): Promise<string[]> {
  const path = join(folder, manifestName);
  let parsed: unknown;
  try {
    parsed = await readJson(path, 64 * 1024 * 1024);
  } catch (cause) {
    throw new LinbpError('bad-file', `${path} is not a list of linbp's files`, { field: path, cause });
  }
  const files = typeof parsed === 'object' && parsed !== null ? (parsed as { files?: unknown }).files : undefined;
  const inside = (file: unknown): file is string => {
    if (typeof file !== 'string' || file === '') return false;
    const place = relative(resolve(folder), resolve(folder, file));
    return place !== '' && place !== '..' && !place.startsWith(`..${sep}`);
  };
  check(Array.isArray(files) && files.every(inside), 'bad-file', `${path} is not a list of linbp's files`, path);
  for (const below of new Set(files.map((file) => dirname(file)))) await expectInside(folder, below);
  return files;
}

/** Throws `not-writable` where a folder of listed files is a link that leads out: they would be removed elsewhere. */
async function expectInside(folder: string, below: string): Promise<void> {
  if (!(await isThere(join(folder, below)))) return;
  const place = relative(await realpath(folder), await realpath(join(folder, below)));
  check(
    place !== '..' && !place.startsWith(`..${sep}`) && !isAbsolute(place),
    'not-writable',
    `${join(folder, below)} is a link that leads out of ${folder}; linbp replaces no files elsewhere`,
    'out',
  );
}

/** Locks and temporary files, of this run or of one that was killed: nobody's results. */
const isPassing = (name: string): boolean => /^\..*\.(tmp|lock(\.\d+\.[0-9a-f]+(\.old)?)?)$/.test(name);

/** The files in a folder's manifest; none where it is empty or, with `goOn`, has none. Throws as `open`. */
async function listedIn(path: string, goOn: boolean): Promise<string[]> {
  let present: string[] = [];
  try {
    present = (await readdir(path)).filter((name) => !isPassing(name));
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code !== 'ENOENT')
      throw new LinbpError('not-writable', `cannot write in folder ${path}: ${(cause as Error).message}`, {
        field: 'out',
        cause,
      });
  }
  const known = present.includes(manifestName);
  check(
    known || goOn || present.length === 0,
    'not-writable',
    `${path} is not empty and has no ${manifestName}, so its ` +
      `files are not linbp's; choose another --out, or empty it`,
    'out',
  );
  return known ? readManifest(path) : [];
}

/**
 * A folder that a verb fills. One that holds anything is refused, unless it has a manifest of an earlier run: then the
 * files listed there, and no others, make room for the new ones, once those are complete.
 */
export class OutputFolder {
  readonly path: string;
  private readonly command: string;
  /** Files of earlier runs, relative to the folder. */
  private listed: readonly string[];
  private readonly goOn: boolean;

  private constructor(path: string, command: string, goOn: boolean, listed: readonly string[]) {
    this.path = path;
    this.command = command;
    this.goOn = goOn;
    this.listed = listed;
  }

  /**
   * @param goOn accept a folder without a manifest, in which an earlier run is to be resumed
   * @throws LinbpError `not-writable` for a folder that holds something and has no manifest, and where nothing can be
   * written; `bad-file` for a damaged manifest
   */
  static async open(path: string, command: string, goOn = false): Promise<OutputFolder> {
    const listed = await listedIn(path, goOn);
    await expectWritable(path);
    return new OutputFolder(path, command, goOn, listed);
  }

  /**
   * Takes the folder's lock by `take`. Until then another run may write there, so what is listed is read again. Throws
   * as {@link OutputFolder.open} and `take` do.
   */
  async lock(take: (path: string) => Promise<void>): Promise<void> {
    await take(this.path);
    this.listed = await listedIn(this.path, this.goOn);
  }

  /** Creates the folder and proves that files can be written in it. Throws `not-writable`. */
  create(): Promise<void> {
    return ensureWritableFolder(this.path);
  }

  /** Lists files as linbp's before they are written, for verbs that write them one by one as they come. */
  claim(files: readonly string[]): Promise<void> {
    this.listed = [...new Set([...this.listed, ...files])];
    return this.writeManifest(this.listed);
  }

  /** Removes what earlier runs left but for these files, once a run that writes one by one has begun to write. */
  async keepOnly(files: readonly string[]): Promise<void> {
    const others = this.listed.filter((file) => !files.includes(file));
    for (const file of others) await this.remove(file);
    this.listed = this.listed.filter((file) => files.includes(file));
  }

  /**
   * Rewrites the folder's files: `write` puts them into another folder, and when all are there they take the place
   * of those that were listed.
   *
   * @param keep listed files below these folders stay, such as what an interrupted run goes on from
   */
  async replace(write: (folder: string) => Promise<void>, keep: readonly string[] = []): Promise<void> {
    const staging = temporaryName(join(this.path, 'linbp'));
    const settled = removeAtExit(staging);
    try {
      await makeFolders(staging);
      await write(staging);
      const files = await filesBelow(staging);
      // A run that ends in between leaves a list of both, so the next one still knows them.
      await this.writeManifest([...new Set([...this.listed, ...files])]);
      for (const file of files) {
        await makeFolders(dirname(join(this.path, file)));
        await rename(join(staging, file), join(this.path, file));
      }
      const stays = (file: string): boolean => keep.some((kept) => file.startsWith(`${kept}${sep}`));
      for (const file of this.listed) if (!files.includes(file) && !stays(file)) await this.remove(file);
      this.listed = [...files, ...this.listed.filter((file) => stays(file) && !files.includes(file))];
      await this.writeManifest(this.listed);
    } catch (cause) {
      if (cause instanceof LinbpError) throw cause;
      throw new LinbpError('not-writable', `cannot write in folder ${this.path}: ${(cause as Error).message}`, {
        field: 'out',
        cause,
      });
    } finally {
      await rm(staging, { recursive: true, force: true });
      settled();
    }
  }

  private writeManifest(files: readonly string[]): Promise<void> {
    return writeFileAtomic(
      join(this.path, manifestName),
      `${JSON.stringify({ program: 'linbp', command: this.command, files }, null, 2)}\n`,
    );
  }

  /** Removes a file of an earlier run, and the folders that are empty without it. */
  private async remove(file: string): Promise<void> {
    await rm(join(this.path, file), { force: true });
    for (let folder = dirname(file); folder !== '.'; folder = dirname(folder)) {
      try {
        await rmdir(join(this.path, folder));
      } catch {
        return;
      }
    }
  }
}

/** Files in a folder and below, relative to it, in the order of the alphabet. */
async function filesBelow(folder: string): Promise<string[]> {
  return (await readdir(folder, { withFileTypes: true, recursive: true }))
    .filter((entry) => !entry.isDirectory())
    .map((entry) => relative(folder, join(entry.parentPath ?? entry.path, entry.name)))
    .sort();
}
