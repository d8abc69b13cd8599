/**
 * Proves that the tests notice what they are there for: builds a copy of the sources, applies one deliberate fault at a
 * time to it and runs the tests that should fail. A fault that no test notices, or that can no longer be applied,
 * fails the script.
 *
 *   node scripts/mutation-check.mjs [--only WORD] [--short] [--json FILE]
 *
 * `--short` takes the faults that tests of closed forms notice, and those marked `fast`, which need seconds.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const { values: options } = parseArgs({
  options: { only: { type: 'string' }, short: { type: 'boolean', default: false }, json: { type: 'string' } },
});

const stages = 'dist/src/attacks/stages.js';
const attackGraph = 'dist/src/attacks/attackGraph.js';
const closedForm = 'attacks/closedForm';
const ball = 'attacks/ball';
const laws = 'attacks/laws';

/**
 * `find` must occur exactly once in `file`; `tests` are the files, under dist/test, of which one must fail. With `gate`
 * the compile gate for AMD GPUs (scripts/check-amd.mjs) must fail instead; where that cannot run, the fault is passed
 * over.
 */
const mutants = [
  {
    name: 'flip the sign of the attack',
    file: stages,
    find: 'x + direction * alpha * sign(g)',
    put: 'x - direction * alpha * sign(g)',
    tests: [closedForm],
  },
  {
    name: 'flip the sign of the L2 attack',
    file: stages,
    find: 'x + direction * alpha * select(0.0, g / length',
    put: 'x - direction * alpha * select(0.0, g / length',
    tests: [closedForm],
  },
  {
    name: 'targeted attacks climb',
    file: attackGraph,
    find: 'targets === undefined ? 1 : -1',
    put: '1',
    tests: [closedForm],
  },
  {
    name: 'drop the projection',
    file: attackGraph,
    find: 'definition.projection(stage, definition.step(stage, iterate, direction, loss))',
    put: 'definition.step(stage, iterate, direction, loss)',
    tests: [ball],
  },
  {
    name: 'drop the box',
    file: stages,
    find: 'min(max(v, max(x - radius, 0.0)), min(x + radius, 1.0))',
    put: 'min(max(v, x - radius), x + radius)',
    tests: [ball],
  },
  {
    name: 'a radius up to rounding only',
    file: 'dist/src/attacks/schedule.js',
    find: 'Math.max(0, eps - 2 ** -24)',
    put: 'eps',
    tests: [ball],
  },
  {
    name: 'truncate when saving',
    file: 'dist/src/io/quantize.js',
    find: 'const nearest = Math.round(a * 255)',
    put: 'const nearest = Math.floor(a * 255 - 2)',
    tests: [ball, 'io/quantize'],
  },
  {
    name: 'mask the ReLU under LinBP',
    file: 'dist/src/rules/builtin.js',
    find: 'rule: builtinRules.linbp,',
    put: 'rule: builtinRules.bp,',
    tests: [laws],
    grep: 'LinBP equals BP',
  },
  {
    name: 'the last maximum wins a tie',
    file: 'shaders/pool/maxPool.wgsl',
    find: 'if (value > best)',
    put: 'if (value >= best)',
    tests: ['kernels/pooling'],
  },
  {
    name: 'aliasing: memory is free after its first use',
    file: 'dist/src/plan/plan.js',
    find: 'first: old?.first ?? index, last: index',
    put: 'first: old?.first ?? index, last: old?.first ?? index',
    tests: ['plan/plan'],
  },
  {
    name: 'aliasing: an arena is read and written by one dispatch',
    file: 'dist/src/plan/plan.js',
    find: 'left.writes && !right.writes && left.root !== right.root',
    put: 'false',
    tests: ['plan/plan'],
  },
  {
    name: 'keep the last iterate instead of the best',
    file: attackGraph,
    find: 'better > 0.5)',
    put: 'better > -1.0)',
    tests: [laws],
    grep: 'best iterate',
  },
  {
    name: 'random numbers keyed by the place in the batch',
    file: 'shaders/source/random.wgsl',
    find: 'ids[p.idsBase + sample]',
    put: 'sample',
    tests: ['attacks/invariance'],
  },
  {
    name: 'an L2 start that crowds the center',
    file: stages,
    find: 'pow(u, exponent)',
    put: 'u',
    tests: ['attacks/randomStart'],
  },
  {
    name: 'restarts that all begin alike',
    file: 'dist/src/attacks/attack.js',
    find: 'draw0: 2 * restart,',
    put: 'draw0: 0,',
    tests: ['attacks/randomStart'],
  },
  {
    name: 'finiteness: NaN logits count as an answer',
    file: 'shaders/loss/correct.wgsl',
    find: 'top.broken == 0u && ',
    put: '',
    tests: ['truth/nonFinite'],
    grep: 'margin of 4 classes',
    fast: true,
  },
  {
    name: 'finiteness: max pooling passes over NaN',
    file: 'shaders/pool/maxPool.wgsl',
    find: ' || isNaN(value)',
    put: '',
    tests: ['truth/nonFinite'],
    grep: 'max pooling hands NaN on',
    fast: true,
  },
  {
    name: 'finiteness: final images are not tested',
    file: 'dist/src/attacks/attack.js',
    find: 'checkFinishedImages(images, settings, settings.definition.ownBall);',
    put: '',
    tests: ['truth/ball'],
    grep: 'whose projection does nothing',
    fast: true,
  },
  {
    name: 'calls at once: an attack does not wait for its turn',
    file: 'dist/src/attacks/attack.js',
    find: 'this.turns.run(() => this.runAll(run, settings, arrays))',
    put: 'this.runAll(run, settings, arrays)',
    tests: ['truth/concurrency'],
    grep: 'own images',
    fast: true,
  },
  {
    name: 'optimizers: momentum is not kept',
    file: 'dist/src/train/optimizers.js',
    find: 'let next = mu * v + d;',
    put: 'let next = d;',
    tests: ['train/optimizers'],
    fast: true,
  },
  {
    name: 'optimizers: Adam without the correction of its second moment',
    file: 'dist/src/train/optimizers.js',
    find: '1 / Math.sqrt(1 - beta2 ** step)',
    put: '1',
    tests: ['train/optimizers'],
    grep: 'first step moves every weight',
    fast: true,
  },
  {
    name: 'momentum without the mean',
    file: stages,
    find: 'select(0.0, g / total * pixels, total > 0.0)',
    put: 'g',
    tests: ['attacks/golden'],
    grep: 'mifgsm.*device',
  },
  {
    name: 'registers that move in the loop that stores them',
    file: 'shaders/gemm/tile.wgsl',
    find: '[i][j];\n    } else {\n      line[i] = (*sums)[i][0];\n      for (var t = 0u; t + 1u < RN; t++) { (*sums)[i][t] = (*sums)[i][t + 1u]; }\n    }\n  }\n',
    put: '[i][0];\n    }\n  }\n  for (var i = 0u; i < RM; i++) {\n    for (var t = 0u; t + 1u < RN; t++) { (*sums)[i][t] = (*sums)[i][t + 1u]; }\n  }\n',
    gate: ['--short', '--families', 'navi31', '--only', 'resnet20 attack'],
  },
];

const scratch = mkdtempSync(join(tmpdir(), 'linbp-mutants-'));
process.on('exit', () => rmSync(scratch, { recursive: true, force: true }));
for (const path of ['src', 'test', 'shaders', 'bin', 'package.json', 'tsconfig.json']) {
  cpSync(join(root, path), join(scratch, path), { recursive: true });
}
symlinkSync(join(root, 'node_modules'), join(scratch, 'node_modules'), 'junction');
const build = spawnSync(process.execPath, [join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', '.'], {
  cwd: scratch,
  encoding: 'utf8',
});
if (build.status !== 0) process.stderr.write(`the copy does not compile cleanly:\n${build.stdout}`);

/** Runs test files and says which test failed first, if any. */
function runTests(tests, grep) {
  const files = tests.map((test) => join('dist', 'test', `${test}.test.js`));
  const mocha = [
    join(root, 'node_modules', 'mocha', 'bin', 'mocha.js'),
    '--no-config',
    '--timeout',
    '300000',
    '--bail',
    '--reporter',
    'dot',
  ];
  const result = spawnSync(process.execPath, [...mocha, ...(grep === undefined ? [] : ['--grep', grep]), ...files], {
    cwd: scratch,
    encoding: 'utf8',
    timeout: 15 * 60_000,
  });
  const output = `${result.stdout}${result.stderr}`;
  const failure = /^\s+1\) ([\s\S]*?)\n\n/m.exec(output)?.[1]?.replace(/\s+/g, ' ').slice(0, 200);
  // Fewer tests than none would pass for a success.
  const ran = Number(/(\d+) passing/.exec(output)?.[1] ?? 0);
  return { passed: result.status === 0 && ran > 0, failure, output };
}

/** Runs the compile gate on the copy; `skipped` where the machine has nothing to compile with. */
function runGate(args) {
  const command = [join(root, 'scripts', 'check-amd.mjs'), '--root', scratch, ...args];
  const result = spawnSync(process.execPath, command, { encoding: 'utf8', timeout: 15 * 60_000 });
  const output = `${result.stdout}${result.stderr}`;
  const failure = /^ {2}\S.*$/m.exec(output)?.[0].trim().slice(0, 200);
  return { passed: result.status === 0, failure, output, skipped: /^check:amd is skipped/m.test(output) };
}

const chosen = mutants
  .filter(({ name }) => options.only === undefined || name.includes(options.only))
  .filter(({ tests, fast }) => !options.short || fast === true || tests?.every((test) => test === closedForm) === true);
const baseline = new Map();
const results = [];
for (const { name, file, find, put, tests, grep, gate } of chosen) {
  const run = () => (gate === undefined ? runTests(tests, grep) : runGate(gate));
  const path = join(scratch, file);
  const original = readFileSync(path, 'utf8');
  const key = gate?.join(' ') ?? `${tests.join(' ')} ${grep ?? ''}`;
  if (!baseline.has(key)) baseline.set(key, run());
  const sound = baseline.get(key);
  let verdict;
  let detail = '';
  if (sound.skipped === true) {
    verdict = 'skipped';
    detail = sound.output.trim();
  } else if (!sound.passed) {
    verdict = 'unsound';
    detail = `${tests?.join(', ') ?? 'the compile gate'} fail without any fault: ${sound.failure ?? sound.output.slice(-500)}`;
  } else if (original.split(find).length !== 2) {
    verdict = 'stale';
    detail = `${file} does not hold "${find}" exactly once`;
  } else {
    writeFileSync(path, original.replace(find, put));
    const outcome = run();
    writeFileSync(path, original);
    verdict = outcome.passed ? 'survived' : 'killed';
    detail = outcome.failure ?? '';
  }
  results.push({ name, verdict, detail });
  console.log(`${verdict.padEnd(8)} ${name}${detail === '' ? '' : `\n         ${detail}`}`);
}
if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(results, null, 2)}\n`);
const bad = results.filter(({ verdict }) => verdict !== 'killed' && verdict !== 'skipped').length;
console.log(`${results.length - bad} of ${results.length} faults noticed`);
process.exitCode = bad === 0 && results.length > 0 ? 0 : 1;
