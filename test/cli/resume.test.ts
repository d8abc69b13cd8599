import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { noteKept } from '../../src/cli/attack/state.js';
import type { Progress } from '../../src/cli/progress.js';
import { writeSafetensors } from '../../src/io/safetensors.js';
import { initialState } from '../../src/nn/model.js';
import { modelDefinition } from '../../src/nn/zoo/index.js';
import { eightBitImages, numbers } from '../attacks/support.js';
import { slowly } from '../support/slow.js';
import { expectError, linbpEach, readJson, root, scratchFolder, seenLabels } from './support.js';

type Json = Record<string, unknown>;

describe('what is interrupted goes on', () => {
  const folder = scratchFolder();
  const at = (name: string): string => join(folder, name);
  const [count, size] = [6, 784];
  before(async () => {
    // Random weights, and images labeled as the network sees them.
    const definition = modelDefinition('mlp');
    const state = initialState(definition, 0);
    const images = eightBitImages(5, count * size);
    const labels = await seenLabels(definition, state, images);
    await writeSafetensors(at('images.safetensors'), {
      images: { shape: [count, 1, 28, 28], data: Uint8Array.from(images, (pixel) => Math.round(255 * pixel)) },
      labels: { shape: [count], data: labels },
    });
    await writeSafetensors(at('mlp.safetensors'), state);
    // near enough to be right where the first one is
    const other = [...state].map(([name, { shape, data }], k) => {
      const noise = numbers(7 + k, data.length, 0.95, 1.05);
      return [name, { shape, data: data.map((value, i) => value * noise[i]!) }] as const;
    });
    await writeSafetensors(at('other.safetensors'), new Map(other));
  });

  /** Finished pieces in the state of a run. */
  const kept = (out: string): string[] => {
    const state = join(at(out), 'state');
    return existsSync(state)
      ? readdirSync(state).filter((name) => /^(\d+-.*|piece-.*)\.(json|safetensors)$/.test(name))
      : [];
  };

  /** Runs the command until it has kept `more` pieces, or such ones, and then some random time, and kills it. */
  const killed = (
    args: readonly string[],
    out: string,
    more: number | ((pieces: readonly string[]) => boolean),
    signal: NodeJS.Signals = 'SIGKILL',
  ): Promise<{ before: string[]; after: string[]; code: number | null; stderr: string }> =>
    new Promise((resolve) => {
      const child = spawn(process.execPath, ['bin/linbp.js', ...args], {
        cwd: root,
        stdio: ['ignore', 'ignore', 'pipe'],
      });
      const first = kept(out).length;
      let seen: string[] = [];
      let stderr = '';
      child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
      let due = Infinity;
      const timer = setInterval(() => {
        if (!existsSync(at(out))) return;
        const pieces = kept(out);
        const enough = typeof more === 'number' ? pieces.length >= first + more : more(pieces);
        if (due === Infinity && enough) due = performance.now() + 60 * Math.random();
        if (performance.now() < due || child.killed) return;
        seen = kept(out);
        child.kill(signal);
      }, 2);
      child.on('close', (code) => {
        clearInterval(timer);
        resolve({ before: seen, after: kept(out), code, stderr });
      });
    });

  const killedOften = 'AutoAttack, killed at random moments: the same bits, and all finished batches are there';
  slowly(true, killedOften, 300_000, async () => {
    const args = [
      ...['attack', '--model', 'mlp', '--weights', at('mlp.safetensors'), '--dataset', at('images.safetensors')],
      ...['--device', 'reference', '--batch', '1', '--attack', 'autoattack', '--version', 'rand', '--steps', '60'],
      ...['--eps', '0.006,0.007'],
    ];
    const own = (name: string): string[] => ['--out', at(name), '--csv', at(`${name}.csv`)];
    let resume: string[] = [];
    for (const more of [2, 3]) {
      const { before, after } = await killed([...args, ...own('cut'), ...resume], 'cut', more);
      expect(before.length, 'it ended before it was killed').to.be.above(0);
      expect(after).to.include.members(before);
      resume = ['--resume'];
    }
    const lost = kept('cut').sort();
    const [resumed, whole] = await linbpEach([
      [...args, ...own('cut'), '--resume'],
      [...args, ...own('whole')],
    ]);
    for (const each of [resumed!, whole!]) expect(each.code, each.stderr).to.equal(0);
    expect(lost.some((name) => /^0-battery-/.test(name) || /^0-0/.test(name))).to.equal(true);
    expect(kept('cut')).to.deep.equal([]);
    expect(readFileSync(at('cut.csv'), 'utf8')).to.equal(readFileSync(at('whole.csv'), 'utf8'));
    const runs = (name: string): Json[] => readJson(join(at(name), 'report.json'))['runs'] as Json[];
    const stages = (run: Json) => (run['stages'] as Json[]).map((stage) => ({ ...stage, seconds: 0 }));
    for (const [index, run] of runs('whole').entries()) {
      expect(stages(runs('cut')[index]!)).to.deep.equal(stages(run));
      expect(runs('cut')[index]!['brokenBy']).to.deep.equal(run['brokenBy']);
    }
    const cells = readdirSync(at('whole')).filter((name) => /^\d/.test(name));
    expect(cells).to.have.length(2);
    for (const cell of cells) {
      const tensors = (place: string): Buffer => readFileSync(join(at(place), cell, 'adversarial.safetensors'));
      expect(tensors('cut').equals(tensors('whole')), cell).to.equal(true);
    }
  });

  const rand = [
    ...['attack', '--model', 'mlp', '--weights', at('mlp.safetensors'), '--dataset', at('images.safetensors')],
    ...['--device', 'reference', '--attack', 'autoattack', '--version', 'rand', '--steps', '60', '--seed', '1'],
  ];
  const out = (name: string): string[] => ['--out', at(name)];
  const report = (name: string): Json => readJson(join(at(name), 'report.json'));
  const outcome = (run: Json): unknown => [run['images'], run['brokenBy']];
  /** The command that goes on, as the run said it. */
  const again = (stderr: string): string[] =>
    /^note: kept .*; this goes on from there: linbp (.*)$/m.exec(stderr)![1]!.split(' ');

  it('AutoAttack goes on with its own weights only, and from whole steps @slow', async () => {
    const args = [...rand, '--batch', '1', '--eps', '0.006', ...out('damaged')];
    await killed(args, 'damaged', 1);
    const others = args.map((each) => (each === at('mlp.safetensors') ? at('other.safetensors') : each));
    const [otherWeights] = await linbpEach([[...others, '--resume']]);
    expectError(otherWeights!, 'belongs to another run: weights is');
    writeFileSync(join(at('damaged'), 'state', '0-battery-00000000.json'), '{"journal": "linbp-attack-3"}');
    const [refused] = await linbpEach([[...args, '--resume']]);
    expectError(refused!, 'is no step of this battery');
  });

  const together = ['--rule', 'linbp:from=all,match=activation,scope=batch'];

  it('a rule with scope=batch goes on with its own batch size only, and is not cut into jobs', async () => {
    const args = [...rand, ...together, '--eps', '0.006', ...out('together')];
    await killed([...args, '--batch', '1'], 'together', 1);
    const [other, cut] = await linbpEach([
      [...args, '--batch', '2', '--resume'],
      [...args, '--batch', '1', '--workers', '2'],
    ]);
    expectError(other!, 'belongs to another run: batch is "1" there and "2" here');
    expectError(cut!, 'with scope=batch an image depends on the others of its batch');
  });

  it('and so does a transfer matrix @slow', async function () {
    this.timeout(600_000);
    const args = [
      ...['transfer', '--dataset', at('images.safetensors'), '--sources', `mlp=${at('mlp.safetensors')}`],
      ...['--victims', `mlp=${at('other.safetensors')}`, '--attacks', 'ifgsm,mifgsm', ...together],
      ...['--gradients', '12', '--eps', '0.02', ...out('matrix')],
    ];
    await killed([...args, '--batch', '1'], 'matrix', 1);
    const [other] = await linbpEach([[...args, '--batch', '2', '--resume']]);
    expectError(other!, 'belongs to another run: batch is "1" there and "2" here');
  });

  it('Ctrl-C in any stage of AutoAttack says what is kept; the printed command has the same bits @slow', async () => {
    const one = [...rand, '--batch', '1', '--eps', '0.006'];
    // Where the signal comes while weights and images are read there is nothing to say: then later.
    let early = { code: 0 as number | null, stderr: '' };
    for (let wait = 0; wait <= 2000 && !early.stderr.includes('note: '); wait = 2 * wait + 100) {
      const since = performance.now();
      const name = `early${wait}`;
      const reached = (): boolean => performance.now() > since + 300 + wait;
      early = await killed([...rand, '--batch', '6', '--eps', '0.006', ...out(name)], name, reached, 'SIGINT');
      expect(early.code, early.stderr).to.equal(130);
      expect(existsSync(join(at(name), 'report.json'))).to.equal(false);
    }
    expect(early.stderr).to.match(/^note: no batch was finished, so nothing is kept/m);

    const first = await killed([...one, ...out('first')], 'first', 2, 'SIGINT');
    expect(first.code, first.stderr).to.equal(130);
    expect(first.stderr).to.match(/^note: kept [2-5] images of the first stage; /m);
    expect(again(first.stderr)).to.deep.equal([...one, ...out('first'), '--resume']);
    const second = await killed(
      again(first.stderr),
      'first',
      (pieces) => pieces.includes('0-battery-00000005.json'),
      'SIGINT',
    );
    expect(second.code, second.stderr).to.equal(130);
    expect(second.stderr).to.match(/^note: kept apgd-ce(| and \d images? of the next stage); /m);
    expect(report('first')).to.include({ interrupted: true });
    expect(again(second.stderr)).to.deep.equal(again(first.stderr));

    const ended = await linbpEach([again(second.stderr), [...one, ...out('whole1')]]);
    for (const each of ended) expect(each.code, each.stderr).to.equal(0);
    expect(outcome(report('first'))).to.deep.equal(outcome(report('whole1')));
  });

  slowly(true, 'Ctrl-C in the second of two runs of AutoAttack keeps the first', 300_000, async () => {
    const both = [...rand, '--batch', '1', '--eps', '0.006,0.3'];
    const cells = await killed(
      [...both, ...out('cells')],
      'cells',
      (pieces) => pieces.some((name) => name.startsWith('1-')),
      'SIGINT',
    );
    expect(cells.code, cells.stderr).to.equal(130);
    expect(cells.stderr).to.match(/^note: kept [1-5] images? of the first stage of run 2, and the runs before it; /m);
    expect(report('cells')['runs']).to.have.length(1);
    const ended = await linbpEach([again(cells.stderr), [...both, ...out('whole2')]]);
    for (const each of ended) expect(each.code, each.stderr).to.equal(0);
    const runs = (name: string): unknown[] => (report(name)['runs'] as Json[]).map(outcome);
    expect(runs('cells')).to.deep.equal(runs('whole2'));
  });

  it('the command that goes on has its words as a shell reads them', () => {
    const command = [
      'attack',
      '--out',
      "it's a folder/$HOME",
      '--rule',
      'linbp:from=3_1,match=block',
      '--csv',
      '',
      '*;&',
    ];
    const lines: string[] = [];
    const progress = { line: (text: string) => void lines.push(text) } as unknown as Progress;
    noteKept({ kept: '2 images', path: "it's a folder/$HOME" }, { command, progress });
    noteKept({ kept: '2 images', path: 'a b' }, { command: ['attack', '--resume=true'], progress });
    const words = lines.map((line) => {
      const written = /^note: kept 2 images; this goes on from there: linbp (.*)$/.exec(line)![1]!;
      const { stdout } = spawnSync('bash', ['-c', `printf '%s\\n' ${written}`], { encoding: 'utf8' });
      return stdout.slice(0, -1).split('\n');
    });
    expect(words).to.deep.equal([
      [...command, '--resume'],
      ['attack', '--resume=true', '--out', 'a b'],
    ]);
  });

  it('a transfer matrix, killed at random moments: the same bits, no finished batch lost @slow', async function () {
    this.timeout(600_000);
    const networks = `mlp=${at('mlp.safetensors')},mlp=${at('other.safetensors')}`;
    const args = [
      ...['transfer', '--dataset', at('images.safetensors'), '--sources', networks, '--seeds', '2'],
      ...['--attacks', 'ifgsm,mifgsm:gradient=vmi,samples=2', '--rule', 'bp', '--rule', 'linbp:from=auto'],
      ...['--gradients', '12', '--eps', '0.02'],
    ];
    const out = (name: string): string[] => ['--out', at(name)];
    let resume: string[] = [];
    for (const more of [3, 4, 5]) {
      const { before, after } = await killed([...args, '--batch', '1', ...out('cut'), ...resume], 'cut', more);
      expect(before.length, 'it ended before it was killed').to.be.above(0);
      expect(after).to.include.members(before);
      resume = ['--resume'];
    }
    const pieces = kept('cut').length;
    expect(pieces).to.be.at.least(12);
    const [alien, resumed, whole] = await linbpEach([
      [...args.slice(0, -1), '0.03', '--batch', '1', ...out('cut'), '--resume'],
      [...args, '--batch', '1', ...out('cut'), '--resume'],
      [...args, '--batch', '4', ...out('whole')],
    ]);
    expectError(alien!, 'belongs to another run', 'eps');
    for (const each of [resumed!, whole!]) expect(each.code, each.stderr).to.equal(0);
    expect(kept('cut')).to.deep.equal([]);
    for (const file of ['matrix.csv'])
      expect(readFileSync(join(at('cut'), file), 'utf8')).to.equal(readFileSync(join(at('whole'), file), 'utf8'));
    const fields = (name: string): unknown[] =>
      ['cells', 'starts', 'cleanErrors'].map((key) => readJson(join(at(name), 'report.json'))[key]);
    expect(fields('cut')).to.deep.equal(fields('whole'));
    expect(JSON.stringify(fields('whole'))).to.contain('linbp:from=');
  });

  it('Admix mixes in the same images whatever the batch', async () => {
    const args = [
      ...['attack', '--model', 'mlp', '--weights', at('mlp.safetensors'), '--dataset', at('images.safetensors')],
      ...['--device', 'reference', '--attack', 'admix:admixed=1,admixScales=1', '--steps', '2', '--eps', '0.02'],
    ];
    const ended = await linbpEach(
      ['1', '4', '64'].map((batch) => [...args, '--batch', batch, '--out', at(batch), '--csv', at(`${batch}.csv`)]),
    );
    for (const each of ended) expect(each.code, each.stderr).to.equal(0);
    for (const batch of ['1', '4'])
      expect(readFileSync(at(`${batch}.csv`), 'utf8')).to.equal(readFileSync(at('64.csv'), 'utf8'));
  });
});
