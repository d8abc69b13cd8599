import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { transform } from 'esbuild';
import { parseOptions } from '../../src/cli/options.js';
import { loadVerb } from '../../src/cli/verbs.js';
import { root, scratchFolder } from './support.js';
import { pending } from '../support/pending.js';

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

describe('README', () => {
  const folder = scratchFolder();

  it('has at most 150 lines, five tasks and the picture of the demo', () => {
    expect(readme.trimEnd().split('\n').length).to.be.at.most(150);
    expect(readme.match(/^## \d\. /gm)).to.have.length(5);
    expect(readme).to.match(/!\[[^\]]+\]\(docs\/demo\.png\)/);
  });

  it('names only options that exist, and npm scripts that exist', async () => {
    expect(linbpCommands.length).to.be.above(12);
    const languages = [...readme.matchAll(/^```(\w+)$/gm)].map(([, name]) => name!);
    expect([...new Set(languages)].sort(), 'blocks that a test below runs or compares').to.deep.equal([
      ...['js', 'sh', 'text', 'ts'],
    ]);
    for (const command of linbpCommands) {
      const [, name, ...args] = command.split(' ');
      const { options, subject } = await loadVerb(name!);
      const rest = subject !== undefined && args[0]?.startsWith('-') === false ? args.slice(1) : args;
      expect(() => parseOptions(rest, options), command).not.to.throw();
    }
    const scripts = commands.flatMap((line) => /^npm (?:run )?(demo|test|bench)\b/.exec(line)?.[1] ?? []);
    for (const script of scripts) expect(manifest.scripts).to.have.property(script);
  });

  // What the words of the shell blocks stand for here: this checkout, a packed tarball, and small sizes where a
  // command by itself takes a quarter of an hour (benchmarks) or would run this test again (tests).
  const prelude = (tarball: string): string => `
    set -e
    linbp() { '${process.execPath}' '${join(root, 'bin/linbp.js')}' "$@"; }
    npm() {
      case "$*" in
        'run demo') command npm --prefix '${root}' run demo -- --no-open --out "$PWD/linbp-report" ;;
        'test') command npm --prefix '${root}' test -- --dry-run ;;
        'run bench') command npm --prefix '${root}' run bench -- --only dispatch --peers none --rounds 1 --budget 1 \
          --out "$PWD/bench" --json "$PWD/bench.json" ;;
        'install linbp') command npm install --no-audit --no-fund --loglevel=error '${tarball}' ;;
        *) echo "no npm $*"; exit 1 ;;
      esac
    }
  `;
  const ready = process.env['LINBP_SLOW'] !== undefined;
  const printed: string[] = [];

  /** Runs a shell block as it stands, in a folder of its own or that of the others. */
  const runBlock = (block: string, cwd: string): void => {
    const packed = join(folder, 'packed');
    if (/npm install/.test(block)) {
      mkdirSync(packed);
      const args = ['pack', '--ignore-scripts', '--loglevel=error', '--pack-destination', packed];
      expect(spawnSync('npm', args, { cwd: root, encoding: 'utf8' }).status).to.equal(0);
    }
    const tarball = existsSync(packed) ? join(packed, readdirSync(packed)[0]!) : '';
    // Measured choices of kernels belong to the user.
    const env = { ...process.env, XDG_CACHE_HOME: join(folder, 'cache') };
    const options = { cwd, env, encoding: 'utf8', maxBuffer: 1 << 26 } as const;
    const { status, stdout, stderr } = spawnSync('bash', ['-c', `${prelude(tarball)}\n${block}`], options);
    expect(status, `${block}\n${stdout.slice(-2000)}\n${stderr.slice(-4000)}`).to.equal(0);
    printed.push(...stdout.split('\n'));
  };

  for (const [i, block] of blocks('sh').entries())
    it(`has a shell block that runs: ${i + 1}, ${block.split(/\s+#|\n/)[0]!} @slow`, function () {
      if (!ready) return pending(this, 'LINBP_SLOW=1');
      this.timeout(1_200_000);
      const own = /npm install/.test(block);
      const cwd = own ? join(folder, 'empty project') : folder;
      mkdirSync(cwd, { recursive: true });
      runBlock(block, cwd);
    });

  it('shows what they print @slow', function () {
    if (!ready || printed.length === 0) return pending(this, 'LINBP_SLOW=1');
    // The same lines, with the figures of this adapter.
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
    if (!ready) return pending(this, 'LINBP_SLOW=1');
    this.timeout(300_000);
    mkdirSync(join(folder, 'node_modules'), { recursive: true });
    symlinkSync(root, join(folder, 'node_modules/linbp'));
    const [program] = blocks('ts');
    const [cleaned] = blocks('js');
    expect([blocks('ts').length, blocks('js').length]).to.deep.equal([1, 1]);
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
