import { spawnSync } from 'node:child_process';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { completionScript } from '../../src/cli/completion.js';
import { parseOptions } from '../../src/cli/options.js';
import { progressLine } from '../../src/cli/progress.js';
import { helpOf, overview } from '../../src/cli/terminal/help.js';
import { epochLine } from '../../src/cli/trainRun.js';
import { cutText, screenOf, textWidth, wrapLines } from '../../src/cli/terminal/screen.js';
import type { Verb } from '../../src/cli/verb.js';
import { loadVerb, verbNames } from '../../src/cli/verbs.js';
import { plainTable, textTable } from '../../src/profile/textTable.js';
import { linbp, linbpEach, readJson, root, scratchFolder } from './support.js';
import { pending } from '../support/pending.js';

const terminal = { isTTY: true, columns: 80 };

/** Verbs whose examples run one after another in an empty folder, in this order. */
const alone = [
  ...['train', 'attack', 'eval', 'predict', 'grad', 'positions', 'completion', 'export', 'info', 'profile'],
  ...['doctor', 'simulate', 'transfer'],
];

/** Verbs that take minutes or need a server; test/report, test/experiments, test/jobs, test/tune run them. */
const elsewhere = ['demo', 'reproduce', 'tune', 'bench', 'worker', 'jobs'];

/** The arguments of an example, as a shell would split it. */
const argumentsOf = (example: string): string[] => example.split(' ').slice(1);

describe('terminal', () => {
  const folder = scratchFolder();
  const verbs: Verb[] = [];

  before(async () => {
    for (const name of verbNames) verbs.push(await loadVerb(name));
  });

  it('help of every verb stays within 80 columns and begins with two commands whose options exist', () => {
    for (const columns of [80, 120]) {
      const screen = screenOf({ isTTY: true, columns }, { NO_COLOR: '1' });
      for (const line of overview(verbs, screen).join('\n').split('\n'))
        expect(textWidth(line), line).to.be.at.most(80);
      for (const verb of verbs) {
        const lines = helpOf(verb, {}, screen).join('\n').split('\n');
        for (const line of lines) expect(textWidth(line), `${verb.name}: ${line}`).to.be.at.most(80);
        expect(lines.indexOf('Examples'), verb.name).to.be.within(1, 4);
        expect(verb.examples.length, verb.name).to.be.at.least(2);
      }
    }
    for (const { name, examples, options, subject } of verbs)
      for (const example of examples) {
        const [verb, first, ...rest] = argumentsOf(example);
        expect(verb).to.equal(name);
        const named = subject !== undefined && first !== undefined && !first.startsWith('-');
        const args = [first, ...rest].slice(named ? 1 : 0).filter((each): each is string => each !== undefined);
        const end = args.indexOf('>');
        const given = args.filter((arg, i) => arg !== '--json' && args[i - 1] !== '--json' && (end < 0 || i < end));
        expect(() => parseOptions(given, options), example).not.to.throw();
      }
  });

  it('lines are broken between words, and colors are for terminals that want them', () => {
    const text = '  --rule RULE   backward rules, such as linbp:from=layer3, and a longer explanation of what they do';
    for (const width of [40, 60, 80]) {
      const lines = wrapLines(text, width).split('\n');
      for (const line of lines) expect(textWidth(line)).to.be.at.most(width);
      expect(lines.join(' ').split(/\s+/)).to.deep.equal(text.split(/\s+/));
      for (const line of lines.slice(1)) expect(line.startsWith(' '.repeat(16))).to.equal(true);
    }
    for (let width = 20; width < 60; width++)
      expect(wrapLines('clean accuracy 27.50 % and 80 % of the others, 5 % at last', width)).not.to.match(/^\s*%/m);
    expect(wrapLines(text, Infinity)).to.equal(text);
    expect(cutText('深層学習のモデル', 7)).to.equal('深層学…');
    expect(screenOf(terminal, {}).colors.isColorSupported).to.equal(true);
    expect(screenOf(terminal, { NO_COLOR: '1' }).colors.isColorSupported).to.equal(false);
    expect(screenOf({ isTTY: false, columns: 0 }, {}).colors.isColorSupported).to.equal(false);
    expect(screenOf({ isTTY: false, columns: 0 }, {}).width).to.equal(Infinity);
    expect(screenOf({}, {}).colors.isColorSupported, 'a pipe, with CI=true as without').to.equal(false);
    expect(screenOf({ isTTY: false, columns: 0 }, { FORCE_COLOR: '1' }).colors.isColorSupported).to.equal(true);
  });

  it('a path wider than the terminal stays whole, so that it can be copied and clicked', () => {
    const path = `file:///${'folder/'.repeat(12)}report.html`;
    for (const text of [`report ${path}`, `  open   see ${path} for everything`])
      expect(wrapLines(text, 60).split(/\s+/)).to.include(path);
    expect(wrapLines(path, 60)).to.equal(path);
  });

  it('notes of the help are paragraphs, which a terminal of any width breaks itself', () => {
    for (const { name, notes = [] } of verbs)
      for (const [i, line] of notes.entries()) {
        const next = notes[i + 1] ?? '';
        if (line === '' || line.startsWith(' ') || next === '' || next.startsWith(' ')) continue;
        if (!/^linbp \w+( \w+)? {2,}/.test(line)) expect(line, name).to.match(/[.:]$/);
      }
  });

  it('the line of an epoch fits into 80 columns, after hundreds of epochs and far from the start as well', () => {
    const one = { epoch: 300, trainLoss: 2.30259, trainAccuracy: 1, seconds: 3599 };
    expect(epochLine(one)).to.equal('epoch 300  loss 2.3026 acc 100.00 %  59 min 59 s');
    for (const loss of [0, 0.1, 9.99999, 12.34567, 98765.4321, NaN])
      for (const seconds of [0, 3599, 35_999]) {
        const line = epochLine({ ...one, trainLoss: loss, testLoss: loss, testAccuracy: 1, seconds });
        expect(line.length, line).to.be.at.most(80);
      }
  });

  it('the progress line never wraps, and loses the bar before the figures', () => {
    const figures = ['loss 0.1234', 'accuracy 98.00 %', '1234 images/s', '2 min 05 s left'];
    for (let width = 8; width <= 200; width++) {
      const line = progressLine('epoch 1/3', 0.5, figures, width);
      expect(textWidth(line), `${width}`).to.be.at.most(width);
    }
    expect(progressLine('epoch 1/3', 0.5, figures, 120))
      .to.contain('[############............]')
      .and.to.contain(' left');
    expect(progressLine('epoch 1/3', 0.5, figures, 90))
      .to.contain('2 min 05 s left')
      .and.to.contain(']  50 %');
  });

  it('tables leave out columns rather than wrap, and say which', () => {
    const columns = ['name', 'variant', 'time', 'bytes'].map((title, i) => ({
      title,
      value: (row: string) => row.repeat(3 + i),
      drop: title === 'variant' ? 2 : 0,
    }));
    const rows = ['ab', '深'];
    expect(textTable(columns, rows).split('\n')).to.have.length(4);
    for (let width = 12; width < 60; width++) {
      const lines = textTable(columns, rows, width).split('\n');
      for (const line of lines.slice(0, 4)) expect(textWidth(line), `${width}`).to.be.at.most(width);
    }
    const plain = [
      ['attack', 'rule', 'clean', 'robust', 'forwards'],
      ['apgd', 'linbp', '45.00 %', '35.00 %', '104'],
    ];
    for (let width = 8; width < 60; width++) {
      const lines = plainTable(plain, { width, left: [0, 1], drop: [2] });
      for (const line of lines.slice(0, 2)) expect(textWidth(line), `${width}`).to.be.at.most(width);
    }
    expect(plainTable(plain, { width: 33, left: [0, 1], drop: [2] })).to.deep.equal([
      'attack  rule    robust  forwards',
      'apgd    linbp  35.00 %       104',
      'left out for lack of room: clean (--json FILE has everything)',
    ]);
    const narrow = textTable(columns, rows, 32).split('\n');
    expect(narrow[0]).to.match(/^name +time +bytes/);
    expect(narrow[4]).to.contain('left out for lack of room: variant');
  });

  it('--json - puts the result alone on standard output, for every verb that needs no device', async () => {
    const cases = [
      ['positions', '--model', 'lenet5', '--json', '-'],
      ['completion', 'bash', '--json', '-'],
      ['info', '../shared/onnx/missing.onnx', '--json', '-'],
    ];
    const [positions, completion, info] = await linbpEach(cases);
    expect((JSON.parse(positions!.stdout) as { command: string }).command).to.equal('positions');
    expect(positions!.stderr).to.contain('conv1.2');
    expect((JSON.parse(completion!.stdout) as { script: string }).script).to.contain('complete ');
    expect(info!.code).to.equal(1);
    expect(info!.stdout).to.equal('');
    const doctor = await linbp(['doctor', '--json', '-']);
    expect((JSON.parse(doctor.stdout) as { command: string }).command).to.equal('doctor');
    expect(doctor.stderr).to.contain('adapter ');
  });

  it('bash completes verbs, options and their words', () => {
    const script = join(folder, 'linbp.bash');
    writeFileSync(script, completionScript('bash', verbs));
    const complete = (...words: readonly string[]): string[] => {
      const set = `COMP_WORDS=(linbp ${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length}`;
      const { stdout, stderr, status } = spawnSync(
        'bash',
        ['-c', `source ${script}; ${set}; _linbp; printf '%s\\n' "\${COMPREPLY[@]}"`],
        { encoding: 'utf8' },
      );
      expect(status, stderr).to.equal(0);
      return stdout.split('\n').filter(Boolean);
    };
    expect(complete('trai')).to.deep.equal(['train']);
    expect(complete('train', '--opt')).to.deep.equal(['--optimizer']);
    expect(complete('train', '--optimizer', 'ad')).to.deep.equal(['adam', 'adamw']);
    expect(complete('attack', '--no')).to.deep.equal(['--normalize', '--norm']);
    for (const shell of ['zsh', 'fish'] as const) {
      const text = completionScript(shell, verbs);
      for (const { name } of verbs) expect(text).to.contain(name);
      const found = spawnSync(shell, ['-n', '-c', text], { encoding: 'utf8' });
      if (found.error === undefined) expect(found.status, found.stderr).to.equal(0);
    }
  });

  /** Runs an example where files that it names lie, with few images: what is shown is that it works, not how fast. */
  const runExample = (example: string, images: number): void => {
    const args = argumentsOf(example.replace(/--limit \d+/, `--limit ${images}`));
    const end = args.indexOf('>');
    const given = end < 0 ? args : args.slice(0, end);
    const { status, stderr } = spawnSync(process.execPath, [join(root, 'bin/linbp.js'), ...given], {
      cwd: folder,
      encoding: 'utf8',
    });
    expect(status, `${example}\n${stderr}`).to.equal(0);
  };
  const examplesOf = (name: string): readonly string[] => verbs.find((verb) => verb.name === name)!.examples;
  /** Weights that a reader has and a test has only with data. */
  const needsWeights = (example: string): boolean => /[ =][A-Z]\.safetensors/.test(example);

  it('every verb is among those whose examples are run, here or by tests of their own', () => {
    expect([...alone, ...elsewhere].sort()).to.deep.equal([...verbNames].sort());
  });

  it('examples of the help work, one after another in one folder @slow', function () {
    if (process.env['LINBP_SLOW'] === undefined) return pending(this, 'LINBP_SLOW=1');
    this.timeout(1_200_000);
    for (const name of alone)
      for (const example of examplesOf(name).filter((each) => !needsWeights(each))) runExample(example, 100);
    expect(readJson(join(folder, 'runs/sweep/report.json'))['runs']).to.have.length(8);
    expect(readFileSync(join(folder, 'gradients.safetensors')).length).to.be.above(1000);
  });

  it('examples of the help that name weights work with those of LINBP_DATA @slow', function () {
    const data = process.env['LINBP_DATA'];
    if (process.env['LINBP_SLOW'] === undefined || data === undefined)
      return pending(this, 'LINBP_SLOW=1 and LINBP_DATA');
    this.timeout(1_200_000);
    const models = join(data, 'models/cifar10');
    for (const [name, model] of Object.entries({ W: 'resnet20', A: 'resnet20', B: 'resnet56' }))
      copyFileSync(join(models, `${model}.safetensors`), join(folder, `${name}.safetensors`));
    const examples = verbs.flatMap((verb) => verb.examples).filter(needsWeights);
    expect(examples.length).to.be.at.least(3);
    for (const example of examples) runExample(example, 4);
  });
});
