import { execFileSync, spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { ensureWritableFile, writeFileAtomic } from '../../src/io/atomic.js';
import { takeLock } from '../../src/io/lock.js';
import { manifestName, OutputFolder } from '../../src/io/outputFolder.js';
import { expectLinbpError, temporaryFolder } from '../io/support.js';
import { pending } from '../support/pending.js';

const atomic = new URL('../../src/io/atomic.js', import.meta.url).href;
const lockModule = new URL('../../src/io/lock.js', import.meta.url).href;

/** Runs a program in a child process, which the test may kill. */
const run = (program: string, env = process.env) =>
  spawnSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8', env });

describe('what lies at the path of a result keeps its nature', () => {
  const folder = temporaryFolder();
  before(function () {
    if (process.platform === 'win32') pending(this, 'pipes in the file system');
  });

  it('writes to a pipe, and a pipe it stays', async () => {
    const pipe = join(folder(), 'pipe');
    execFileSync('mkfifo', [pipe]);
    const reader = spawn('cat', [pipe], { stdio: ['ignore', 'pipe', 'inherit'] });
    let text = '';
    reader.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
    const done = new Promise((resolve) => reader.on('close', resolve));
    try {
      for (let attempt = 0; ; attempt++) {
        try {
          await writeFileAtomic(pipe, 'through');
          break;
        } catch (error) {
          if (attempt > 200) throw error;
          await new Promise((resolve) => setTimeout(resolve, 10));
        }
      }
      // A reader of what is no pipe any more would wait for ever.
      expect(statSync(pipe).isFIFO()).to.equal(true);
      await done;
    } finally {
      reader.kill();
    }
    expect(text).to.equal('through');
  });

  it('refuses a pipe that nobody reads, at once', async () => {
    const pipe = join(folder(), 'lonely');
    execFileSync('mkfifo', [pipe]);
    await expectLinbpError(() => writeFileAtomic(pipe, 'x'), 'not-writable', /nobody reads/);
    expect(statSync(pipe).isFIFO()).to.equal(true);
  });

  it('writes to a device, and names a full one', async () => {
    await writeFileAtomic('/dev/null', 'x');
    expect(statSync('/dev/null').isCharacterDevice()).to.equal(true);
    if (existsSync('/dev/full'))
      await expectLinbpError(() => writeFileAtomic('/dev/full', 'x'), 'not-writable', /the disk is full/);
  });

  it('replaces files in a memory file system below /dev, as anywhere else', async function () {
    if (!existsSync('/dev/shm')) return pending(this, '/dev/shm');
    const shared = mkdtempSync('/dev/shm/linbp-writer-');
    try {
      const path = join(shared, 'result.json');
      for (const text of ['a longer text', 'short']) await writeFileAtomic(path, text);
      expect(readFileSync(path, 'utf8')).to.equal('short');
    } finally {
      rmSync(shared, { recursive: true });
    }
  });

  it('adds to what the shell has opened as standard output, even where that is a file', () => {
    const path = join(folder(), 'log.txt');
    const program = `import { writeFileAtomic } from ${JSON.stringify(atomic)};
      for (const path of ['/dev/stdout', '/dev/fd/1', '/proc/self/fd/1']) await writeFileAtomic(path, path + ';');`;
    execFileSync('sh', ['-c', 'exec "$0" --input-type=module -e "$1" > "$2"', process.execPath, program, path]);
    expect(readFileSync(path, 'utf8')).to.equal('/dev/stdout;/dev/fd/1;/proc/self/fd/1;');
  });

  it('follows symbolic links, also to a file that is not there yet', async () => {
    mkdirSync(join(folder(), 'elsewhere'));
    symlinkSync('elsewhere/result.json', join(folder(), 'link'));
    for (const content of ['first', 'second']) {
      await writeFileAtomic(join(folder(), 'link'), content);
      expect(readlinkSync(join(folder(), 'link'))).to.equal('elsewhere/result.json');
      expect(readFileSync(join(folder(), 'elsewhere', 'result.json'), 'utf8')).to.equal(content);
      expect(lstatSync(join(folder(), 'elsewhere', 'result.json')).isFile()).to.equal(true);
    }
  });

  it('refuses a circle of symbolic links', async () => {
    symlinkSync('b', join(folder(), 'a'));
    symlinkSync('a', join(folder(), 'b'));
    await expectLinbpError(() => writeFileAtomic(join(folder(), 'a'), 'x'), 'not-writable', /ELOOP/);
  });

  it('keeps the mode and hard links', async () => {
    const path = join(folder(), 'kept');
    writeFileSync(path, 'old and longer');
    chmodSync(path, 0o640);
    await writeFileAtomic(path, 'new');
    expect(statSync(path).mode & 0o7777).to.equal(0o640);
    linkSync(path, join(folder(), 'other name'));
    await writeFileAtomic(path, 'newer');
    expect(statSync(path).nlink).to.equal(2);
    expect(readFileSync(join(folder(), 'other name'), 'utf8')).to.equal('newer');
    expect(readdirSync(folder()).sort()).to.deep.equal(['kept', 'other name']);
  });

  it('takes names of the longest length', async () => {
    const path = join(folder(), `${'ä'.repeat(125)}.json`);
    await writeFileAtomic(path, 'x');
    expect(readFileSync(path, 'utf8')).to.equal('x');
  });

  it('removes temporary files of processes that are gone, and no others', async () => {
    const path = join(folder(), 'result');
    const program = `
      import fs from 'node:fs';
      import { syncBuiltinESMExports } from 'node:module';
      fs.promises.rename = () => process.kill(process.pid, 'SIGKILL');
      syncBuiltinESMExports();
      const { writeFileAtomic } = await import(${JSON.stringify(atomic)});
      await writeFileAtomic(${JSON.stringify(path)}, 'never seen');`;
    expect(run(program).signal).to.equal('SIGKILL');
    const left = readdirSync(folder());
    expect(left).to.have.length(1);
    const ours = left[0]!.replace(/-\d+-/, `-${process.pid}-`);
    writeFileSync(join(folder(), ours), 'a write in progress');
    writeFileSync(join(folder(), '.result.tmp'), "somebody else's");
    await writeFileAtomic(path, 'seen');
    expect(readdirSync(folder()).sort()).to.deep.equal([ours, '.result.tmp', 'result'].sort());
  });

  it('removes the folder in which a killed process had gathered its results', async () => {
    const program = `
      import fs from 'node:fs';
      const { OutputFolder } = await import(new URL('outputFolder.js', ${JSON.stringify(atomic)}).href);
      await (await OutputFolder.open(${JSON.stringify(folder())}, 'attack')).replace(async (place) => {
        fs.mkdirSync(place + '/clean');
        fs.writeFileSync(place + '/clean/a', 'a');
        process.kill(process.pid, 'SIGKILL');
      });`;
    expect(run(program).signal).to.equal('SIGKILL');
    expect(readdirSync(folder())).to.have.length(1);
    const next = await OutputFolder.open(folder(), 'attack');
    await next.replace((place) => writeFileAtomic(join(place, 'b'), 'b'));
    expect(readdirSync(folder()).sort()).to.deep.equal([manifestName, 'b'].sort());
  });

  it('leaves nothing where the process ends in the middle, as at a second Ctrl-C', () => {
    const path = join(folder(), 'result');
    writeFileSync(path, 'old');
    const steps = {
      write: "Object.getPrototypeOf(await fs.promises.open('/dev/null')).sync = () => process.exit(130);",
      lock: 'fs.promises.link = (from, to) => (fs.linkSync(from, to), process.exit(130));',
      folder: 'fs.promises.rename = (from) => from.includes("-out") || process.exit(130);',
    };
    const work = {
      write: `await (await module('atomic')).writeFileAtomic(${JSON.stringify(path)}, 'never seen');`,
      lock: `await (await module('lock')).takeLock(${JSON.stringify(folder())});`,
      folder: `const { OutputFolder } = await module('outputFolder');
        await (await OutputFolder.open(${JSON.stringify(folder())}, 'attack', true)).replace(async (folder) => {
          fs.writeFileSync(folder + '/a', 'a');
        });`,
    };
    for (const what of Object.keys(steps) as (keyof typeof steps)[]) {
      const ended = run(`
        import fs from 'node:fs';
        import { syncBuiltinESMExports } from 'node:module';
        const module = (name) => import(new URL(name + '.js', ${JSON.stringify(atomic)}).href);
        ${steps[what]}
        syncBuiltinESMExports();
        ${work[what]}`);
      expect(ended.status, `${what}: ${ended.stderr}`).to.equal(130);
      expect(readdirSync(folder()), what).to.deep.equal(['result']);
    }
    expect(readFileSync(path, 'utf8')).to.equal('old');
  });

  it('leaves no folder for temporary files either', () => {
    const work = {
      jobs: `const { distribute } = await module('cli/jobs/distribute');
        const settings = () => process.exit(130);
        await distribute({ kind: 'x', count: 1, settings }, { progress: { clear() {}, line() {} } });`,
      bench: `const process_ = await import('node:child_process');
        process_.default.fork = () => process.exit(130);
        syncBuiltinESMExports();
        await (await module('bench/children')).measureStart(1, 0);`,
    };
    for (const what of Object.keys(work) as (keyof typeof work)[]) {
      const ended = run(
        `import { syncBuiltinESMExports } from 'node:module';
        const module = (name) => import(new URL('../' + name + '.js', ${JSON.stringify(atomic)}).href);
        ${work[what]}`,
        { ...process.env, TMPDIR: folder() },
      );
      expect(ended.status, `${what}: ${ended.stderr}`).to.equal(130);
      expect(readdirSync(folder()), what).to.deep.equal([]);
    }
  });

  it('waits for a slow reader without holding up the process', async () => {
    const pipe = join(folder(), 'slow');
    execFileSync('mkfifo', [pipe]);
    // Opens the pipe at once, and reads it when a file says so.
    const reader = spawn('sh', [
      '-c',
      'exec < "$0"; until [ -e "$1" ]; do sleep 0.02; done; cat | wc -c',
      pipe,
      `${pipe}.go`,
    ]);
    let counted = '';
    reader.stdout.on('data', (chunk: Buffer) => (counted += chunk.toString()));
    const done = new Promise((resolve) => reader.on('close', resolve));
    try {
      let written = false;
      const attempt = async (): Promise<void> => {
        for (;;) {
          try {
            return await writeFileAtomic(pipe, new Uint8Array(1 << 20));
          } catch (error) {
            // The reader has not opened it yet.
            expect((error as Error).message).to.match(/nobody reads/);
            await new Promise((resolve) => setTimeout(resolve, 10));
          }
        }
      };
      const writing = attempt().then(() => (written = true));
      let turns = 0;
      for (; turns < 20; turns++) await new Promise((resolve) => setTimeout(resolve, 10));
      expect([turns, written]).to.deep.equal([20, false]);
      writeFileSync(`${pipe}.go`, '');
      await writing;
      await done;
    } finally {
      reader.kill();
    }
    expect(Number(counted)).to.equal(1 << 20);
  });

  it('refuses beforehand what could not be written later', async () => {
    await expectLinbpError(() => ensureWritableFile(folder()), 'not-writable', /folder/);
    await ensureWritableFile('/dev/null');
  });
});

describe('lock of a run', () => {
  const folder = temporaryFolder();

  it('is refused to another process while its holder lives, and given to it afterwards', async () => {
    const release = await takeLock(folder());
    const program = `
      const { takeLock } = await import(${JSON.stringify(lockModule)});
      try {
        await takeLock(${JSON.stringify(folder())});
        console.log('taken');
      } catch (error) {
        console.log(error.message);
      }`;
    expect(run(program).stdout).to.match(new RegExp(`in use by process ${process.pid}`));
    await expectLinbpError(() => takeLock(folder()), 'not-writable', /in use/);
    await release();
    expect(run(program).stdout).to.equal('taken\n');
    expect(readdirSync(folder())).to.deep.equal([]);
  });

  it('of a process that was killed while it took it leaves no folder that is refused', async () => {
    const program = `
      import promises from 'node:fs/promises';
      import { syncBuiltinESMExports } from 'node:module';
      promises.link = () => process.kill(process.pid, 'SIGKILL');
      syncBuiltinESMExports();
      const { takeLock } = await import(${JSON.stringify(lockModule)});
      await takeLock(${JSON.stringify(folder())});`;
    expect(run(program).signal).to.equal('SIGKILL');
    expect(readdirSync(folder()).join()).to.match(/^\.linbp\.lock\.\d+\.[0-9a-f]+$/);
    await OutputFolder.open(folder(), 'attack');
    rmSync(folder(), { recursive: true });
    mkdirSync(folder());
  });

  it('is taken before what is there counts: a run that wrote until then leaves its list', async () => {
    const [early, late] = [await OutputFolder.open(folder(), 'attack'), await OutputFolder.open(folder(), 'attack')];
    const writing = (name: string) => (place: string) => writeFile(join(place, name), name);
    await early.replace(writing('early.txt'));
    let release: (() => Promise<void>) | undefined;
    await late.lock(async (path) => void (release = await takeLock(path)));
    await late.replace(writing('late.txt'));
    await release!();
    expect(readdirSync(folder()).sort()).to.deep.equal(['late.txt', manifestName].sort());
    rmSync(folder(), { recursive: true });
    mkdirSync(folder());
  });

  it('is not kept by a process that was killed, nor by a file without meaning', async () => {
    const program = `
      const { takeLock } = await import(${JSON.stringify(lockModule)});
      await takeLock(${JSON.stringify(folder())});
      process.kill(process.pid, 'SIGKILL');`;
    expect(run(program).signal).to.equal('SIGKILL');
    expect(readdirSync(folder())).to.deep.equal(['.linbp.lock']);
    await (
      await takeLock(folder())
    )();
    for (const content of ['', '{', '{"pid":-1}', 'null']) {
      writeFileSync(join(folder(), '.linbp.lock'), content);
      await (
        await takeLock(folder())
      )();
    }
    expect(readdirSync(folder())).to.deep.equal([]);
  });
});
