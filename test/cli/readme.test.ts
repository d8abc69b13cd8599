import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { transform } from 'esbuild';
import { parseOptions } from '../../src/cli/options.js';
import { loadVerb } from '../../src/cli/verbs.js';
import { root, scratchFolder } from './support.js';

const readme = readFileSync(join(root, 'README.md'), 'utf8');
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  readonly scripts: Readonly<Record<string, string>>;
};

/** Code blocks of a language, in order. */
const blocks = (language: string): string[] =>
  [...readme.matchAll(/```(\w+)\n([\s\S]*?)```/g)].filter(([, name]) => name === language).map(([, , text]) => text!);

/** Commands of the shell blocks without comments, continued lines joined. */
const commands = blocks('sh')
  .flatMap((block) => block.replace(/\\\n\s*/g, '').split('\n'))
  .map((line) => line.replace(/\s+#.*$/, '').trim())
  .filter(Boolean);

const linbpCommands = commands.filter((line) => /^(npx )?linbp /.test(line)).map((line) => line.replace(/^npx /, ''));

/** These take minutes, and tests of their own run them. */
const long = /^linbp (tune|reproduce) /;

describe('README', () => {
  const folder = scratchFolder();

  it('has at most 150 lines, five tasks and the picture of the demo', () => {
    expect(readme.trimEnd().split('\n').length).to.be.at.most(150);
    expect(readme.match(/^## \d\. /gm)).to.have.length(5);
    expect(readme).to.match(/!\[[^\]]+\]\(docs\/demo\.png\)/);
  });

  it('names only options that exist, and npm scripts that exist', async () => {
    expect(linbpCommands.length).to.be.above(12);
    for (const command of linbpCommands) {
      const [, name, ...args] = command.split(' ');
      const { options, subject } = await loadVerb(name!);
      const rest = subject !== undefined && args[0]?.startsWith('-') === false ? args.slice(1) : args;
      expect(() => parseOptions(rest, options), command).not.to.throw();
    }
    const scripts = commands.flatMap((line) => /^npm (?:run )?(demo|test|bench)\b/.exec(line)?.[1] ?? []);
    for (const script of scripts) expect(manifest.scripts).to.have.property(script);
  });

  it('has shell commands that work in an empty folder, one after another @slow', function () {
    if (process.env['LINBP_SLOW'] === undefined) return this.skip();
    this.timeout(900_000);
    const printed: string[] = [];
    for (const command of linbpCommands.filter((line) => !long.test(line))) {
      const args = command.split(' ').slice(1);
      const options = { cwd: folder, encoding: 'utf8' } as const;
      const { status, stdout, stderr } = spawnSync(process.execPath, [join(root, 'bin/linbp.js'), ...args], options);
      expect(status, `${command}\n${stderr}`).to.equal(0);
      printed.push(...stdout.split('\n'));
    }
    // What the page says they print: the same lines, with the figures of this adapter.
    const withoutFigures = (line: string): string => line.replace(/\d+(\.\d+)?/g, '0');
    const lines = printed.map(withoutFigures);
    const shown = blocks('text').flatMap((block) => block.trimEnd().split('\n'));
    expect(shown.length).to.be.above(4);
    for (const line of shown)
      expect(
        lines.some((each) => each.startsWith(withoutFigures(line))),
        line,
      ).to.equal(true);
  });

  it('has programs that run @slow', async function () {
    if (process.env['LINBP_SLOW'] === undefined) return this.skip();
    this.timeout(300_000);
    mkdirSync(join(folder, 'node_modules'), { recursive: true });
    symlinkSync(root, join(folder, 'node_modules/linbp'));
    const [program] = blocks('ts');
    const [cleaned] = blocks('js');
    const programs = [program!, `import { Device } from 'linbp';\n${cleaned!}`];
    for (const [i, text] of programs.entries()) {
      const { code } = await transform(text, { loader: 'ts', target: 'es2022', format: 'esm' });
      const file = join(folder, `program${i}.mjs`);
      writeFileSync(file, code);
      const { status, stderr } = spawnSync(process.execPath, [file], { cwd: folder, encoding: 'utf8' });
      expect(status, stderr).to.equal(0);
    }
  });
});
