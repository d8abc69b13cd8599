import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import { expectOwnPaths, pathOptions } from '../../src/cli/outputs.js';
import { describeError } from '../../src/cli/runner.js';
import { loadVerb, verbNames } from '../../src/cli/verbs.js';
import { LinbpError } from '../../src/errors.js';
import { takeLock } from '../../src/io/lock.js';
import { writeSafetensors } from '../../src/io/safetensors.js';
import { expectError, linbp, linbpEach, readJson, scratchFolder, writeBytes, writeFormulaWeights } from './support.js';

/** Arguments that must fail, and what the one line must contain. */
type Case = readonly [args: readonly string[], ...parts: string[]];

async function expectErrors(cases: readonly Case[], env: NodeJS.ProcessEnv = {}): Promise<void> {
  const ended = await linbpEach(
    cases.map(([args]) => args),
    env,
  );
  ended.forEach((each, i) => {
    const [args, ...parts] = cases[i]!;
    try {
      expectError(each, ...parts);
    } catch (error) {
      throw new Error(`linbp ${args.join(' ')}: ${(error as Error).message}\n${each.stderr}`, { cause: error });
    }
  });
}

/** An IDX file of bytes: header by magic number and sizes, then the data. */
function idx(magic: number, sizes: readonly number[], data: Uint8Array): Buffer {
  const header = Buffer.alloc(4 + 4 * sizes.length);
  header.writeUInt32BE(magic, 0);
  sizes.forEach((size, i) => header.writeUInt32BE(size, 4 + 4 * i));
  return Buffer.concat([header, data]);
}

/** A safetensors file with this header text and these data, whatever they say. */
function safetensors(header: string, data = Buffer.alloc(0), length = BigInt(Buffer.byteLength(header))): Buffer {
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(length);
  return Buffer.concat([prefix, Buffer.from(header), data]);
}

describe('bad input at the command line', () => {
  const folder = scratchFolder();

  /** An environment in which no adapter can be found. */
  function noDriver(): NodeJS.ProcessEnv {
    const home = join(folder, 'empty home');
    mkdirSync(home, { recursive: true });
    return { VK_DRIVER_FILES: '/nonexistent', VK_ICD_FILENAMES: '/nonexistent', HOME: home, XDG_CACHE_HOME: '' };
  }

  it('unknown verbs, options, models, rules, layers, data sets and values', () =>
    expectErrors([
      [['trian'], 'no verb "trian"', 'did you mean train?'],
      [['train', '--epoch', '3'], 'no option --epoch', 'did you mean --epochs?'],
      [['train', '-e', '3'], 'no option -e'],
      [['train', '--epochs'], '--epochs needs a value'],
      [['train', '--epochs', '--lr', '0.1'], '--epochs needs a value'],
      [['train', '--epochs', '1', '--epochs', '2'], '--epochs is given twice'],
      [['eval', 'lenet5'], 'unexpected argument "lenet5"'],
      [['train', '--nesterov=maybe'], '--nesterov', 'maybe'],
      [['eval', '--model', 'lenet'], 'no model "lenet"', 'did you mean lenet5,', '"linbp positions --help" lists all'],
      [['positions', '--model', 'nothing-like-it'], 'no model "nothing-like-it"; "linbp positions --help" lists all'],
      [['eval', '--model', 'net.pth'], 'net.pth is no network', '.onnx'],
      [['eval', '--dataset', 'minst'], 'minst', 'did you mean mnist?'],
      [['eval', '--split', 'tset'], '--split', 'did you mean test?'],
      [['eval', '--device', 'gpu'], '--device', 'auto, software, reference'],
      [['train', '--rule', 'linpb'], 'no rule "linpb"', 'did you mean linbp?'],
      [['train', '--rule', 'linbp:form=fc.1'], 'no option "form"'],
      [['train', '--rule', 'linbp:from=layer9'], 'from=layer9', 'conv1.2'],
      [['train', '--rule', 'linbp:only=fc.9'], 'only=fc.9', 'fc.1'],
      [['export', '--classes', '999999999999'], '--classes', '1000000'],
      [['train', '--rule', 'leaky:a=2'], 'leaky: a must be'],
      [['attack', '--target-shift', '3'], '--target-shift goes with --targeted'],
      [['attack', '--targeted', '--target-shift', '10'], '--target-shift must be below the 10 classes'],
      [['attack', '--ila-steps', '3'], '--ila-steps goes with --ila'],
      [['attack', '--limit', '1', '--ila', 'conv9', '--device', 'reference'], 'no layer "conv9"', 'conv1.2'],
      [['train', '--optimizer', 'adamm'], '--optimizer', 'did you mean adam or adamw?'],
      [['attack', '--attack', 'pdg'], 'no attack "pdg"', 'did you mean pgd?', '"linbp attack --list" lists all'],
      [['attack', '--norm', 'l0'], '--norm', 'linf, l2'],
      [['train', '--precision', 'f61'], '--precision', 'did you mean f16?'],
      [['eval', '--precision', 'f16', '--limit', '2', '--device', 'reference'], 'float64'],
    ]));

  it('numbers out of range', () =>
    expectErrors([
      [['attack', '--eps', '-1'], '--eps', 'at least 0', '-1'],
      [['attack', '--eps', '8', '--limit', '2', '--device', 'reference'], 'eps', 'from 0 to 1', '8/255'],
      [['attack', '--eps', '8/0'], '--eps', '8/0'],
      [['attack', '--eps', 'eight'], '--eps', 'eight'],
      [['attack', '--steps', '0'], '--steps', 'whole number'],
      [['attack', '--steps', '1.5'], '--steps', '1.5'],
      [['attack', '--attack', 'fgsm', '--steps', '3', '--limit', '2', '--device', 'reference'], 'fgsm takes 1 step,'],
      [
        ['attack', '--attack', 'ifgsm', '--restarts', '3', '--limit', '2', '--device', 'reference'],
        'restarts',
        'random start',
      ],
      [['attack', '--alpha', '-0.1'], '--alpha'],
      [['train', '--lr', '0'], '--lr', 'above 0'],
      [['train', '--epochs', '0'], '--epochs', 'from 1'],
      [['train', '--optimizer', 'sgd', '--momentum', '1'], 'momentum', 'below 1'],
      [['train', '--optimizer', 'sgd', '--momentum', '0', '--nesterov'], 'nesterov needs a momentum'],
      [['train', '--optimizer', 'adam', '--nesterov'], '--nesterov goes with'],
      [['train', '--optimizer', 'adamw', '--momentum', '0.5'], '--momentum goes with'],
      [['train', '--batch', '0'], '--batch'],
      [['train', '--seed', '-1'], '--seed'],
      [['eval', '--limit', '0'], '--limit'],
      [['eval', '--normalize', '0.5'], '--normalize'],
      [['eval', '--normalize', '0.5/0'], '--normalize', 'positive'],
      [['eval', '--model', 'mlp', '--dataset', 'cifar10', '--data', folder], 'cifar10'],
      [['attack', '--victims', 'lenet5'], '--victims', 'MODEL=WEIGHTS'],
    ]));

  it('options that the run would not look at', async () => {
    const attack = (...args: string[]): string[] => ['attack', ...args, '--limit', '2', '--device', 'reference'];
    const battery = ['--attack', 'autoattack'];
    const custom = ['--version', 'custom', '--stages'];
    const train = (...args: string[]): string[] => ['train', '--model', 'mlp', '--out', join(folder, 'idle'), ...args];
    const sweep = ['--sweep', 'lr=0.1'];
    const simulate = (...args: string[]): string[] => ['simulate', ...args];
    const inputs = await writeFormulaWeights(folder, 'mlp');
    const networks = ['transfer', '--sources', `mlp=${inputs}`, '--dataset', 'digits', '--limit', '4'];
    await expectErrors([
      [attack(...battery, '--restarts', '5'), '--restarts does not go with autoattack'],
      [attack(...battery, '--alpha', '0.01'), '--alpha does not go with autoattack'],
      [attack(...battery, '--gradient', 'ni'), '--gradient does not go with autoattack'],
      [attack(...battery, '--random-start'), '--random-start does not go with autoattack'],
      [attack('--preset', 'autoattack-mnist', '--keep', 'last'), '--keep does not go with autoattack'],
      [attack('--version', 'rand'), '--version goes with --attack autoattack'],
      [attack(...battery, '--version', 'custom'), '--version custom needs --stages'],
      [attack('--stages', 'square'), '--stages goes with --attack autoattack'],
      [attack(...battery, '--stages', 'square'), 'version custom, and no other, takes a list of stages'],
      [attack(...battery, ...custom, 'square,fab,square'), '--stages names square twice'],
      [attack(...battery, ...custom, 'apgd-ce,pgd'), 'stages'],
      [attack(...battery, ...custom, 'square', '--norm', 'l1'), 'square has no L1 form'],
      [attack(...battery, ...custom, 'square', '--steps', '9'), 'none of the stages square looks at steps'],
      [attack(...battery, ...custom, 'fab-t', '--loss', 'ce'), 'none of the stages fab-t looks at loss'],
      [attack('--attack', 'square', '--alpha', '0.1'), '--alpha goes with attacks that go along gradients'],
      [attack('--attack', 'fab', '--loss', 'dlr'), '--loss goes with attacks that go along gradients'],
      [attack('--attack', 'deepfool,fmn', '--keep', 'last'), '--keep goes with attacks that go along gradients'],
      [attack('--attack', 'pgd,square', '--decay', '0.5'), '--decay goes with attacks that have momentum'],
      [attack('--attack', 'mifgsm,fab:alpha=0.1'), 'fab has no option "alpha"'],
      [attack('--attack', 'pgd:decay=0.5'), 'pgd has no option "decay"'],
      // What a list shares is for those that have it, and NES takes steps, so what is wrong here is something else.
      [
        [
          ...attack('--attack', 'mifgsm,pgd,square,ddn', '--norm', 'l2', '--alpha', '0.1', '--decay', '0.5'),
          ...['--loss', 'margin', '--keep', 'last', '--weights', join(folder, 'none')],
        ],
        'none: no such file',
      ],
      [attack('--attack', 'square,nes', '--alpha', '0.1', '--weights', join(folder, 'none')), 'none: no such file'],
      [[...networks, '--attacks', 'square', '--alpha', '0.1'], '--alpha goes with attacks that go along gradients'],
      [[...networks, '--attacks', 'square:keep=last'], 'square has no option "keep"'],
      [['eval', '--resize', '30', '--device', 'reference'], '--resize goes with --dataset folder:PATH'],
      [train('--crop', '20'), '--crop goes with --dataset folder:PATH'],
      [['grad', '--inputs', inputs, '--split', 'train'], '--split goes with the images of a data set'],
      [train('--gamma', '0.5'), '--gamma goes with --schedule exponential'],
      [train('--new-head'), '--new-head goes with --weights'],
      [train('--test-limit', '3', '--validation-split', '0.2'), '--test-limit is of the test images'],
      [train('--test-limit', '3', '--split', 'test'), '--test-limit is of the test images'],
      [train(...sweep, '--patience', '1'), '--patience does not go with --sweep'],
      [train(...sweep, '--workers', '1', '--shard', '5'), '--shard does not go with --sweep'],
      [[...networks, '--held-out', '0.5'], '--held-out goes with --rule linbp:from=auto'],
      [['tune', '--model', 'mlp', '--what', 'forward', '--rule', 'bp'], '--rule does not go with --what forward'],
      [['profile', '--model', 'mlp', '--what', 'forward', '--rule', 'bp'], '--rule does not go with --what forward'],
      [simulate('training', '--mode', 'sign'), '--mode has no meaning for "simulate training"'],
      [simulate('attack', '--theorem', '2'), '--theorem has no meaning for "simulate attack"'],
      [simulate('montecarlo', '--map', 'eps'), '--map has no meaning for "simulate montecarlo"'],
      [simulate('theorems', '--layers', 'one'), '--layers has no meaning for "simulate theorems"'],
      [simulate('theorems', '--device', 'software'), '--device does not go with theorems'],
      [simulate('montecarlo', '--layers', 'two', '--d', '5'), '--d does not go with --layers two'],
      [simulate('montecarlo', '--layers', 'one', '--d1', '5'), '--d1 does not go with --layers one'],
      [simulate('attack', '--input', inputs, '--target-mean', '5'), '--target-mean does not go with --input'],
      [['reproduce', 'theory', '--seeds', '7'], '--seeds is an option of mnist-mlp,'],
      [['reproduce', 'mnist-mlp', '--images', '20'], '--images is an option of yardstick'],
      [['reproduce', 'mnist-mlp', '--compat', 'official'], '--compat is an option of whitebox-cifar10'],
      [['reproduce', '--all', '--dataset', 'cifar100'], 'no data set of the experiments "cifar100"'],
      [['jobs', 'list', '--port', '8080', '--queue', 'redis://127.0.0.1:1'], '--port goes with "linbp jobs ui"'],
      [['bench', '--only', 'dispatch', '--models', 'resnet20'], '--models is of the part networks'],
    ]);
  });

  it('takes back options that would not count, and those of a list that count for some', async () => {
    const both = ['--attack', 'fgsm,autoattack', '--version', 'rand', '--random-start', '--restarts', '2'];
    const weights = await writeFormulaWeights(folder, 'mlp');
    const common = ['attack', '--model', 'mlp', '--weights', weights, '--limit', '1', '--device', 'reference'];
    const places = ['both', 'one'].map((name) => join(folder, `counts ${name}`));
    const [first, second] = await linbpEach([
      [...common, ...both, '--steps', '1', '--eps', '0.01', '--out', places[0]!],
      [...common, '--attack', 'autoattack', '--no-random-start', '--steps', '1', '--eps', '0.01', '--out', places[1]!],
    ]);
    expect([first!.code, second!.code], first!.stderr + second!.stderr).to.deep.equal([0, 0]);
  });

  it('profile: everything before a device is opened', async () => {
    const good = await writeFormulaWeights(folder, 'mlp');
    const plain = join(folder, 'profile plain file');
    writeFileSync(plain, 'x');
    const below = join(plain, 'below');
    const written = ['profile.trace', 'profile.html', 'profile.dot'].map((name) => join(folder, name)) as [
      string,
      string,
      string,
    ];
    const [trace, html, dot] = written;
    // No driver can be found here: an error about anything else came before one was looked for.
    await expectErrors(
      [
        [['profile', '--model', 'lenet'], 'no model "lenet"', 'did you mean lenet5,'],
        [['profile', '--weights', join(folder, 'nowhere.safetensors')], 'nowhere.safetensors', 'no such file'],
        [['profile', '--model', 'lenet5', '--weights', good], 'missing conv1.0.weight'],
        [['profile', '--rule', 'bp,linpb'], 'no rule "linpb"', 'did you mean linbp?'],
        [['profile', '--rule', 'linbp:from=layer9'], 'from=layer9', 'conv1.2'],
        [['profile', '--what', 'training'], '--what', 'train, attack, forward'],
        [['profile', '--print', 'pases'], '--print must be graph, passes, plan, program', 'did you mean passes?'],
        [['profile', '--batch', '0'], '--batch'],
        [['profile', '--repeats', '0'], '--repeats'],
        [['profile', '--precision', 'f61'], '--precision'],
        [
          ['profile', '--print', 'plan', '--trace', trace],
          '--trace needs the times',
          '--print shows a program instead',
        ],
        [['profile', '--print', 'plan', '--html', html], '--html needs the times', '--print'],
        [
          ['profile', '--shader', 'gemm/conv', '--trace', trace],
          '--trace needs the times',
          '--shader shows a program instead',
        ],
        [['profile', '--shader', 'gemm/conv', '--html', html], '--html needs the times', '--shader'],
        [['profile', '--print', 'plan', '--turns'], '--turns needs the times'],
        [['profile', '--shader', 'gemm/conv', '--ceilings'], '--ceilings needs the times'],
        [['profile', '--rule', 'bp', '--turns'], '--turns', 'several rules'],
        [['profile', '--html', join(below, 'x.html')], 'cannot write', plain],
        [['profile', '--trace', join(below, 'x.json')], 'cannot write', plain],
        [['profile', '--dot', join(below, 'x.dot')], 'cannot write', plain],
        [['profile', '--json', join(below, 'x.json')], 'cannot write', plain],
        [['profile', '--html', folder], 'cannot write', 'it is a folder'],
        [['profile', '--json', folder], 'cannot write', 'it is a folder'],
      ],
      noDriver(),
    );
    for (const path of [trace, html, dot]) expect(existsSync(path), path).to.equal(false);
  });

  it('tune: everything before a device is opened', () =>
    expectErrors(
      [
        [['tune', 'lenet'], 'no model "lenet"', 'did you mean lenet5,'],
        [['tune', '--what', 'training'], '--what', 'train, attack, forward'],
        [['tune', '--rule', 'bp,linpb'], 'no rule "linpb"'],
        [['tune', '--share', '2'], '--share'],
        [['tune', '--rounds', '2'], '--rounds'],
        [['tune', '--batch', '0'], '--batch'],
        [['tune', '--weights', join(folder, 'nowhere.safetensors')], 'nowhere.safetensors', 'no such file'],
        [['tune', '--among', join(folder, 'nowhere.json')], 'nowhere.json', 'no such file'],
        [['tune', '--out', folder], 'cannot write', 'it is a folder'],
      ],
      noDriver(),
    ));

  it('bench: parts, peers, weights and places that are not there, before any work', async () => {
    const file = join(folder, 'no folder');
    writeFileSync(file, 'x');
    const out = join(folder, 'bench-out');
    const bench = (...more: string[]): string[] => [
      'bench',
      '--only',
      'attack',
      '--peers',
      'none',
      '--out',
      out,
      ...more,
    ];
    await expectErrors([
      [['bench', '--only', 'atack', '--out', out], 'no part "atack"', 'did you mean attack?'],
      [['bench', '--peers', join(folder, 'nowhere'), '--out', out], '--peers', join(folder, 'nowhere'), 'benchmarks/'],
      [['bench', '--peers', folder, '--out', out], '--peers', folder],
      [bench('--weights', join(folder, 'absent.safetensors')), 'absent.safetensors', 'no such file'],
      [bench('--weights', await writeFormulaWeights(folder, 'mlp')), 'does not hold the weights of resnet20'],
      [bench('--rounds', '0'), '--rounds'],
      [bench('--patience', '0'), '--patience'],
      [
        ['bench', '--only', 'memory', '--peers', 'none', '--out', join(file, 'below')],
        'cannot write',
        join(file, 'below'),
      ],
      [bench('--json', join(file, 'x.json')), 'cannot write', file],
    ]);
    expect(existsSync(out)).to.equal(false);
  });

  it('IDX files that are truncated, mislabeled or hostile', async () => {
    const pixels = new Uint8Array(2 * 784);
    const images = idx(2051, [2, 28, 28], pixels);
    const labels = idx(2049, [2], Uint8Array.of(1, 2));
    const variants: Record<string, [Uint8Array | undefined, Uint8Array | undefined, string]> = {
      missing: [undefined, labels, 'train-images-idx3-ubyte'],
      truncated: [images.subarray(0, 1000), labels, 'holds 984 bytes'],
      'cut header': [images.subarray(0, 9), labels, 'ends inside the header'],
      swapped: [labels, images, 'magic number 2051, expected 2049'],
      hostile: [idx(2051, [0xffffffff, 0xffffffff, 0xffffffff], pixels), labels, 'too large'],
      empty: [idx(2051, [0, 28, 28], new Uint8Array(0)), idx(2049, [0], new Uint8Array(0)), 'empty'],
      mismatch: [images, idx(2049, [3], Uint8Array.of(1, 2, 3)), '2'],
      'label range': [images, idx(2049, [2], Uint8Array.of(1, 200)), 'label 1 is 200'],
      'cut gzip': [gzipSync(images).subarray(0, 30), labels, 'images'],
    };
    const cases = Object.entries(variants).map(([name, [first, second, part]]): Case => {
      const data = join(folder, `idx ${name}`);
      mkdirSync(join(data, 'mnist'), { recursive: true });
      for (const half of ['train', 't10k']) {
        if (first) writeBytes(join(data, 'mnist'), `${half}-images-idx3-ubyte`, first);
        if (second) writeBytes(join(data, 'mnist'), `${half}-labels-idx1-ubyte`, second);
      }
      return [['train', '--dataset', 'mnist', '--data', data, '--out', join(folder, 'idx-out')], part];
    });
    await expectErrors(cases);
    expect(existsSync(join(folder, 'idx-out'))).to.equal(false);
  });

  it('weights and inputs that are truncated, mislabeled or hostile', async () => {
    const good = await writeFormulaWeights(folder, 'mlp');
    const file = (name: string, bytes: Uint8Array): string => writeBytes(folder, name, bytes);
    const entry = (begin: number, end: number): string =>
      `{"dtype":"F32","shape":[${(end - begin) / 4}],"data_offsets":[${begin},${end}]}`;
    const eight = Buffer.alloc(8);
    const weights = (path: string, ...parts: string[]): Case => [
      ['eval', '--model', 'mlp', '--weights', path],
      path,
      ...parts,
    ];
    const out = join(folder, 'never.safetensors');
    const given = ['grad', '--model', 'mlp', '--weights', good, '--out', out, '--device', 'reference', '--inputs'];
    const input = { shape: [2, 1, 28, 28], data: new Float32Array(2 * 784) };
    const labels = { shape: [2], data: Int32Array.of(1, 2) };
    const inputs = async (
      name: string,
      tensors: Parameters<typeof writeSafetensors>[1],
      ...parts: string[]
    ): Promise<Case> => {
      const path = join(folder, `${name}.inputs.safetensors`);
      await writeSafetensors(path, tensors);
      return [[...given, path], ...parts];
    };
    const nan = new Float32Array(2 * 784).fill(NaN, 5, 6);
    await expectErrors([
      weights(join(folder, 'nowhere.safetensors'), 'no such file'),
      weights(folder, 'not a regular file'),
      weights(file('empty', Buffer.alloc(0)), 'is empty'),
      weights(file('text', Buffer.from('this is no tensor at all, just words')), 'not a PyTorch file'),
      weights(file('long', safetensors('{}', eight, 2n ** 62n)), 'header length'),
      weights(file('json', safetensors('{"a":')), 'not valid JSON'),
      weights(file('overlap', safetensors(`{"a":${entry(0, 8)},"b":${entry(4, 8)}}`, eight)), 'overlap'),
      weights(file('gap', safetensors(`{"a":${entry(4, 8)}}`, eight)), 'gap'),
      weights(file('outside', safetensors(`{"a":${entry(0, 80)}}`, eight)), 'outside'),
      weights(
        file('dtype', safetensors('{"a":{"dtype":"q7","shape":[2],"data_offsets":[0,8]}}', eight)),
        'unknown dtype',
      ),
      weights(file('shape', safetensors('{"a":{"dtype":"F32","shape":[1e300],"data_offsets":[0,8]}}', eight)), 'shape'),
      weights(file('twice', safetensors(`{"a":${entry(0, 8)},"a":${entry(0, 8)}}`, eight)), 'twice'),
      weights(
        file('other', safetensors(`{"a":${entry(0, 8)}}`, eight)),
        'missing layer1.0.weight [400, 784]',
        'unexpected a',
      ),
      [['eval', '--model', 'lenet5', '--weights', good], 'missing conv1.0.weight', 'unexpected layer1.0.weight'],
      [['grad', '--model', 'mlp'], '--inputs FILE is needed'],
      await inputs('none', { labels }, 'no tensor "input"'),
      await inputs('unlabeled', { input }, 'no tensor "labels"'),
      await inputs(
        'dtype',
        { input: { shape: input.shape, data: new Float64Array(2 * 784) }, labels },
        'input must be F32, got F64',
      ),
      await inputs(
        'shape',
        { input: { shape: [2, 784], data: input.data }, labels },
        'input must be [N, 1, 28, 28]',
        '[2, 784]',
      ),
      await inputs(
        'count',
        { input, labels: { shape: [3], data: Int32Array.of(1, 2, 3) } },
        'labels must be [2], got [3]',
      ),
      await inputs('float', { input, labels: { shape: [2], data: Float32Array.of(1, 2) } }, 'labels', 'integers'),
      await inputs('range', { input, labels: { shape: [2], data: Int32Array.of(1, 10) } }, 'label 1 is 10'),
      await inputs('negative', { input, labels: { shape: [2], data: Int32Array.of(-1, 1) } }, 'label 0 is -1'),
      await inputs('nan', { input: { shape: input.shape, data: nan }, labels }, 'input holds NaN at 5'),
    ]);
    expect(existsSync(out)).to.equal(false);
  });

  it('checkpoints that are truncated, of another run, or hostile @slow', async () => {
    const out = join(folder, 'run');
    const train = (...more: string[]): string[] => {
      const given = [
        'train',
        '--model',
        'mlp',
        '--limit',
        '8',
        '--test-limit',
        '8',
        '--batch',
        '4',
        '--device',
        'reference',
        '--out',
        out,
      ];
      return [...given, ...more];
    };
    const [first] = await linbpEach([train('--epochs', '1')]);
    expect(first!.code, first!.stderr).to.equal(0);
    const state = join(out, 'mlp.state.safetensors');
    const before = readdirSync(out).sort();
    expect(before).to.deep.equal(['linbp-manifest.json', 'mlp.safetensors', 'mlp.state.safetensors', 'report.html']);
    const cut = join(folder, 'cut.state.safetensors');
    const alien = join(folder, 'alien.state.safetensors');
    const metadata = { format: 'linbp-training-1', settings: '{"model":7}' };
    writeBytes(folder, 'alien.state.safetensors', safetensors(JSON.stringify({ __metadata__: metadata })));
    writeBytes(folder, 'cut.state.safetensors', readFileSync(state).subarray(0, 5000));
    await writeFormulaWeights(folder, 'mlp');
    writeBytes(folder, 'weights.state.safetensors', readFileSync(join(folder, 'mlp.formula.safetensors')));
    await expectErrors([
      [
        train('--epochs', '2', '--resume', join(folder, 'absent.safetensors')),
        'absent.state.safetensors',
        'no such file',
      ],
      [train('--epochs', '2', '--resume', cut), 'cut.state.safetensors'],
      [train('--epochs', '2', '--resume', alien), 'alien.state.safetensors', '"settings"'],
      [train('--epochs', '2', '--resume', join(folder, 'weights.safetensors')), 'not a training checkpoint'],
      [train('--epochs', '2', '--resume', '--rule', 'linbp'), 'belongs to another run', 'rules'],
      [train('--epochs', '2', '--resume', '--lr', '0.5'), 'belongs to another run', 'lr=0.5'],
    ]);
    const [resumed] = await linbpEach([train('--epochs', '2', '--resume', '--json', join(folder, 'resumed.json'))]);
    expect(resumed!.code, resumed!.stderr).to.equal(0);
    expect((readJson(join(folder, 'resumed.json'))['epochs'] as unknown[]).length).to.equal(2);
  });

  it('places that cannot be written, before any work', async () => {
    const file = join(folder, 'a file');
    writeFileSync(file, 'x');
    const inside = join(file, 'below');
    await expectErrors([
      [['train', '--limit', '8', '--device', 'reference', '--out', inside], 'cannot write', inside],
      [['attack', '--limit', '2', '--device', 'reference', '--out', inside], 'cannot write', inside],
      [['positions', '--json', join(inside, 'x.json')], 'cannot write', file],
      [['eval', '--limit', '2', '--device', 'reference', '--json', join(inside, 'x.json')], 'cannot write', file],
    ]);
  });

  it('a missing driver names the command that helps', async () => {
    const ended = await linbp(['eval', '--limit', '2'], noDriver());
    expectError(ended, 'linbp doctor');
  });

  it('worker: adapters that its processes would not find, before it takes jobs', async () => {
    const worker = ['worker', '--queue', 'redis://127.0.0.1:1', '--store', join(folder, 'jobs')];
    await expectErrors([
      [[...worker, '--adapter', 'nothing'], 'no adapter "nothing"'],
      [[...worker, '--gpus', 'all', '--adapter', '0'], '--adapter names one GPU, --gpus all takes each'],
      [[...worker, '--gpus', 'all', '--device', 'software'], '--device software is no GPU'],
    ]);
    await expectErrors([[worker, 'No GPU and no software driver was found']], noDriver());
  });

  it('a checkpoint in a pipe, a last seed out of range, a table that another run holds: before any work', async () => {
    const pipe = join(folder, 'pipe.safetensors');
    execFileSync('mkfifo', [pipe]);
    const [demo, table] = [join(folder, 'demo'), join(folder, 'choices.json')];
    const release = await takeLock(table, 'file');
    try {
      await expectErrors([
        [['train', '--limit', '64', '--out', pipe], 'pipe.safetensors: a checkpoint needs a regular file'],
        [['demo', '--seed', '4294967295', '--no-open', '--out', demo], 'the last of the 5 seeds', 'above 4294967295'],
        [['tune', '--model', 'mlp', '--out', table], 'choices.json is in use by process'],
      ]);
    } finally {
      await release();
    }
    expect(existsSync(demo)).to.equal(false);
    expect(existsSync(table)).to.equal(false);
  });

  it('two options that name one output are refused before any work, and so is an output that is an input', async () => {
    const [same, dotted] = [join(folder, 'same.txt'), `${folder}/x/../same.txt`];
    const weights = writeBytes(folder, 'read.safetensors', Buffer.from('weights'));
    const [mlp, link] = [['--model', 'mlp'], join(folder, 'link')];
    symlinkSync(weights, link);
    symlinkSync(folder, join(folder, 'linked'));
    const [comma, ahead] = [writeBytes(folder, 'a,b.safetensors', Buffer.from('weights')), join(folder, 'ahead')];
    symlinkSync('later/a', ahead);
    await expectErrors([
      [['attack', ...mlp, '--json', same, '--csv', dotted], '--json and --csv both write', 'same.txt'],
      [['attack', ...mlp, '--json', '-', '--csv', '-'], '--json and --csv both write stdout'],
      [['attack', ...mlp, '--csv', same, '--out', same], '--csv and --out both write', 'same.txt'],
      [['profile', ...mlp, '--html', same, '--trace', same], '--html and --trace both write', 'same.txt'],
      [['grad', ...mlp, '--json', 'gradients.safetensors'], '--json and --out both write gradients.safetensors'],
      [['eval', ...mlp, '--weights', weights, '--json', weights], '--json and --weights would write and read'],
      [['export', ...mlp, '--weights', weights, '--out', weights], '--out and --weights would write and read'],
      [['export', '--model', weights, '--out', link], '--out and --model would write and read'],
      [['attack', ...mlp, '--victims', `mlp=${weights}`, '--csv', link], '--csv and --victims would write and read'],
      [['transfer', '--sources', `${weights}=x`, '--json', weights], '--json and --sources would write and read'],
      [['eval', ...mlp, '--dataset', weights, '--json', link], '--json and --dataset would write and read'],
      [['profile', ...mlp, '--html', join(folder, 'linked', 'a'), '--dot', join(folder, 'a')], 'both write'],
      [['profile', ...mlp, '--html', join(folder, 'linked', 'b/a'), '--dot', join(folder, 'b/a')], 'both write'],
      [['profile', ...mlp, '--html', ahead, '--dot', join(folder, 'later/a')], 'both write'],
      [['attack', ...mlp, '--victims', `mlp=${comma}`, '--csv', comma], '--csv and --victims would write and read'],
    ]);
    expect(existsSync(same)).to.equal(false);
    expect(readFileSync(weights, 'utf8')).to.equal('weights');
  });

  it('a file that is named like a network or a data set is no input; /dev/null is no output', async () => {
    const [nowhere, name] = [join(folder, 'nowhere'), readdirSync('.').find((each) => extname(each) === '')!];
    symlinkSync('/dev/null', nowhere);
    const table = (await loadVerb('attack')).options;
    await expectOwnPaths({ model: name, dataset: name, victims: `${name}=w`, csv: name }, table);
    await expectOwnPaths({ csv: nowhere, json: '/dev/null' }, { json: table['csv']!, csv: table['csv']! });
    await expectOwnPaths({ csv: nowhere, json: nowhere }, { json: table['csv']!, csv: table['csv']! });
  });

  it('every option that takes a path says whether its file is written or read', async () => {
    for (const name of verbNames)
      for (const [option, { placeholder }] of Object.entries((await loadVerb(name)).options))
        if (/FILE|DIR|PATH|M=W/.test(placeholder ?? ''))
          expect(pathOptions, `${name} --${option}`).to.have.property(option);
  });

  it('a run that fails leaves no folder that it made for its output', async () => {
    const weights = writeBytes(folder, 'junk.safetensors', Buffer.from('junk'));
    const [above, other] = [join(folder, 'above'), join(folder, 'beside')];
    const network = ['--model', 'mlp', '--weights', weights];
    const outputs = ['--json', join(above, 'x', 'a.json'), '--out', join(other, 'y', 'z')];
    await expectErrors([[['attack', ...network, ...outputs, '--csv', join(above, 'y', 'b.csv')], 'safetensors']]);
    expect([above, other].map(existsSync)).to.deep.equal([false, false]);
  });

  it('an internal error says that it is one, with a code or without', () => {
    const words = 'x (this is an internal error in linbp; LINBP_DEBUG=1 shows where)';
    for (const error of [new LinbpError('internal', 'x'), new TypeError('x')])
      expect(describeError(error)).to.equal(words);
    expect(describeError(new LinbpError('bad-file', 'x'))).to.equal('x');
  });

  it('LINBP_DEBUG=1 shows where', async () => {
    const ended = await linbp(['eval', '--model', 'x'], { LINBP_DEBUG: '1' });
    expect(ended.code).to.equal(1);
    expect(ended.stderr).to.match(/^\s+at .*\.js/m);
  });
});
