import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { ensureWritableFile, ensureWritableFolder, writeFileAtomic } from '../../src/io/atomic.js';
import { expectLinbpError, temporaryFolder } from './support.js';

describe('atomic file write', () => {
  const folder = temporaryFolder();

  it('replaces the whole content and leaves nothing else behind', async () => {
    const path = join(folder(), 'deep', 'down', 'result.bin');
    await writeFileAtomic(path, 'a longer first content');
    await writeFileAtomic(path, [new Uint8Array([1, 2]), new Uint8Array(0), new Uint8Array([3])]);
    expect([...readFileSync(path)]).to.deep.equal([1, 2, 3]);
    expect(readdirSync(join(folder(), 'deep', 'down'))).to.deep.equal(['result.bin']);
  });

  it('keeps the old content when writing fails, and removes its temporary file', async () => {
    const path = join(folder(), 'old.json');
    writeFileSync(path, 'old');
    const broken = [new Uint8Array([1]), 'not bytes' as unknown as Uint8Array, { length: 3 } as Uint8Array];
    await expectLinbpError(() => writeFileAtomic(path, broken), 'not-writable', /old\.json/);
    expect(readFileSync(path, 'utf8')).to.equal('old');
    expect(readdirSync(folder())).to.deep.equal(['old.json']);
  });

  it('writes to one path in the order of the calls, whatever each of them takes', async () => {
    const path = join(folder(), 'ordered.bin');
    const long = new Uint8Array(32 * 1024 * 1024).fill(1);
    const writes = [writeFileAtomic(path, long), writeFileAtomic(join(path, '..', 'ordered.bin'), 'short')];
    await Promise.all(writes);
    expect(readFileSync(path, 'utf8')).to.equal('short');
    // One that fails holds nothing up.
    const broken = expectLinbpError(() => writeFileAtomic(path, { length: 1 } as Uint8Array), 'not-writable');
    await writeFileAtomic(path, 'after it');
    await broken;
    expect(readFileSync(path, 'utf8')).to.equal('after it');
  });

  it('names a target that cannot be written', async () => {
    mkdirSync(join(folder(), 'taken', 'inside'), { recursive: true });
    await expectLinbpError(() => writeFileAtomic(join(folder(), 'taken'), 'x'), 'not-writable', /taken/);
    expect(readdirSync(folder())).to.deep.equal(['taken']);
    writeFileSync(join(folder(), 'file'), '');
    await expectLinbpError(() => writeFileAtomic(join(folder(), 'file', 'child'), 'x'), 'not-writable', /child/);
    await expectLinbpError(() => ensureWritableFolder(join(folder(), 'file')), 'not-writable', /file/);
  });

  it('makes an output folder and leaves it empty', async () => {
    const out = join(folder(), 'out', 'a');
    await ensureWritableFolder(out);
    expect(existsSync(out)).to.equal(true);
    expect(readdirSync(out)).to.deep.equal([]);
  });

  it('refuses a file in the place of a folder, or below a file, and leaves what is there', async () => {
    const path = join(folder(), 'new', 'result.json');
    await ensureWritableFile(path);
    expect(readdirSync(join(folder(), 'new'))).to.deep.equal([]);
    writeFileSync(path, 'old');
    await ensureWritableFile(path);
    expect(readFileSync(path, 'utf8')).to.equal('old');
    await expectLinbpError(() => ensureWritableFile(join(folder(), 'new')), 'not-writable', /new: it is a folder/);
    await expectLinbpError(() => ensureWritableFile(join(path, 'child')), 'not-writable', /result\.json/);
  });
});
