import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { attackNames, attacks } from '../../src/attacks/builtin.js';
import type { AttackName } from '../../src/attacks/builtin.js';
import type { attackCatalog } from '../../src/attacks/catalog.js';
import { settle } from '../../src/attacks/options.js';
import { noMomentum } from '../../src/attacks/stages.js';
import type { AttackDefinition } from '../../src/attacks/stages.js';
import { gradientSamplings, inputTransforms } from '../../src/attacks/transfer.js';
import { attackOptions, batteryOptions, checkCells, expectUsedByCells, listCells } from '../../src/cli/attack/cells.js';
import { listAttacks } from '../../src/cli/attack/list.js';
import { options, withPreset } from '../../src/cli/attack/options.js';
import { readAttacks } from '../../src/cli/attack/spec.js';
import { presets } from '../../src/cli/attack/presets.js';
import { composed } from '../../src/cli/composedAttack.js';
import { classifierOn } from '../../src/cli/inference.js';
import { parseOptions } from '../../src/cli/options.js';
import type { VerbContext } from '../../src/cli/verb.js';
import { writeSafetensors } from '../../src/io/safetensors.js';
import { initialState } from '../../src/nn/model.js';
import { modelDefinition } from '../../src/nn/zoo/index.js';
import { eightBitImages } from '../attacks/support.js';
import { expectError, linbp, linbpEach, readJson, root, scratchFolder } from './support.js';

type Json = Record<string, unknown>;

describe('linbp attack', () => {
  const folder = scratchFolder();
  const at = (name: string): string => join(folder, name);
  const [count, size] = [6, 784];
  let common: string[];
  before(async () => {
    // A network with random weights and images labeled as it sees them, so that every clean image is right.
    const definition = modelDefinition('mlp');
    const images = eightBitImages(5, count * size);
    const logits = await classifierOn(undefined, definition, initialState(definition, 0)).logits(images);
    const labels = Int32Array.from({ length: count }, (_, n) => {
      const own = Array.from({ length: 10 }, (_value, k) => logits[10 * n + k]!);
      return own.indexOf(Math.max(...own));
    });
    const file = at('images.safetensors');
    await writeSafetensors(file, {
      images: { shape: [count, 1, 28, 28], data: Uint8Array.from(images, (pixel) => Math.round(255 * pixel)) },
      labels: { shape: [count], data: labels },
    });
    common = ['attack', '--model', 'mlp', '--dataset', file, '--device', 'reference', '--batch', '4'];
  });

  it('several attacks, rules, radii: one run each, as alone; records, CSV, curves, entries agree @slow', async () => {
    const lists = ['--attack', 'ifgsm:steps=3,pgd:steps=2,alpha=0.01', '--rule', 'bp', '--rule', 'linbp:from=all'];
    const files = ['--json', at('many.json'), '--csv', at('many.csv'), '--out', at('many'), '--images', '2'];
    const alone = ['--attack', 'pgd', '--steps', '2', '--alpha', '0.01', '--rule', 'linbp:from=all', '--eps', '0.02'];
    const [many, one] = await linbpEach([
      [...common, ...lists, '--eps', '0.01,0.02', ...files],
      [...common, ...alone, '--json', at('one.json'), '--csv', at('one.csv'), '--out', at('one')],
    ]);
    for (const each of [many!, one!]) expect(each.code, each.stderr).to.equal(0);
    const result = readJson(at('many.json'));
    const runs = result['runs'] as Json[];
    expect(runs.map(({ attack, rule, eps }) => [attack, rule, eps])).to.deep.equal(
      ['ifgsm:steps=3', 'pgd:steps=2,alpha=0.01'].flatMap((attack) =>
        ['bp', 'linbp:from=all'].flatMap((rule) => [0.01, 0.02].map((eps) => [attack, rule, eps])),
      ),
    );
    const single = readJson(at('one.json'));
    const last = runs.at(-1)!;
    for (const name of ['images', 'curve', 'robustAccuracy', 'gradients', 'forwards', 'linf', 'saved'])
      expect(last[name], name).to.deep.equal(single[name]);
    expect(runs.map((run) => (run['settings'] as Json)['keep'])).to.deep.equal([
      ...Array.from({ length: 4 }, () => 'last'),
      ...Array.from({ length: 4 }, () => 'best'),
    ]);
    for (const run of runs) {
      const images = run['images'] as Record<string, number | boolean | null>[];
      expect(images).to.have.length(count);
      expect(run['cleanCorrect']).to.equal(images.filter(({ clean, label }) => clean === label).length);
      const standing = images.filter(({ clean, final, label }) => clean === label && final === label).length;
      expect(run['robustCorrect']).to.equal(standing);
      for (const image of images) {
        expect(image['linf']).to.be.at.most((run['eps'] as number) + 2 ** -24);
        expect(image['success']).to.equal(image['clean'] === image['label'] && image['final'] !== image['label']);
        const [l1, l2, linf, l0] = ['l1', 'l2', 'linf', 'l0'].map((name) => image[name] as number);
        expect(l1).to.be.within(l2! - 1e-9, Math.sqrt(l0!) * l2! + 1e-9);
        expect(l2).to.be.within(linf! - 1e-9, Math.sqrt(l0!) * linf! + 1e-9);
      }
      expect(run['gradients']).to.equal(images.reduce((sum, { gradients }) => sum + (gradients as number), 0));
      expect(run['forwards']).to.equal(images.reduce((sum, { forwards }) => sum + (forwards as number), 0));
    }
    const lines = readFileSync(at('many.csv'), 'utf8').trimEnd().split('\n');
    expect(lines).to.have.length(1 + runs.length * count);
    expect(lines[0]!.split(',').slice(0, 14).join()).to.equal(
      'index,label,target,clean,final,success,linf,l2,l1,l0,firstStep,gradients,forwards,queries',
    );
    const firstImage = (runs[0]!['images'] as Json[])[0]!;
    const cells = lines[1]!.split(',');
    expect(cells.slice(0, 2).map(Number)).to.deep.equal([firstImage['index'], firstImage['label']]);
    expect(Number(cells[7])).to.equal(firstImage['l2']);
    expect(lines.at(-1)!.endsWith(',"pgd:steps=2,alpha=0.01",linbp:from=all,linf,0.02')).to.equal(true);
    const curves = result['securityCurve'] as { attack: string; rule: string; points: Json[] }[];
    expect(curves.map(({ points }) => points.map(({ eps }) => eps))).to.deep.equal(
      Array.from({ length: 4 }, () => [0, 0.01, 0.02]),
    );
    for (const { attack, rule, points } of curves)
      for (const { eps, robustAccuracy, low, high } of points) {
        const run = runs.find((each) => each['attack'] === attack && each['rule'] === rule && each['eps'] === eps);
        expect(robustAccuracy).to.equal(run === undefined ? 1 : run['robustAccuracy']);
        expect(robustAccuracy).to.be.within(low as number, high as number);
      }
    const entries = readJson(join(at('many'), 'robustbench.json')) as unknown as Json[];
    expect(entries[7]).to.include({ clean_acc: '100.00', eps: '0.02', autoattack_acc: null, threat_model: 'Linf' });
    expect(entries[7]!['reported']).to.equal((100 * (last['robustAccuracy'] as number)).toFixed(2));
    const folders = readdirSync(at('many')).filter((name) => /^\d/.test(name));
    expect(folders).to.have.length(8);
    for (const name of folders) expect(readdirSync(join(at('many'), name, 'adversarial'))).to.have.length(2);
    expect(readFileSync(join(at('many'), 'report.html'), 'utf8')).to.contain('Security curves');
    expect(many!.stdout.split('\n').filter((line) => /^(ifgsm|pgd):/.test(line))).to.have.length(8);
  });

  it('an attack for the smallest perturbation needs no eps; its curve comes from the distances', async () => {
    const fab = ['--attack', 'fab', '--steps', '4', '--norm', 'l2', '--json', at('fab.json'), '--out', at('fab')];
    const [ended] = await linbpEach([[...common, ...fab]]);
    expect(ended!.code, ended!.stderr).to.equal(0);
    const result = readJson(at('fab.json'));
    const lengths = (result['images'] as { success: boolean; l2: number }[]).map(({ l2 }) => l2).sort((a, b) => a - b);
    const [curve] = result['securityCurve'] as { points: { eps: number; robustAccuracy: number }[] }[];
    expect(curve!.points.map(({ eps }) => eps)).to.deep.equal([0, ...lengths]);
    expect(curve!.points.map(({ robustAccuracy }) => robustAccuracy)).to.deep.equal(
      [0, 1, 2, 3, 4, 5, 6].map((fooled) => (count - fooled) / count),
    );
    expect((result['settings'] as Json)['eps']).to.equal(null);
    // What was found is how far the boundary is: rounding such images says little.
    const median = ((lengths[2]! + lengths[3]!) / 2).toPrecision(4);
    expect(ended!.stdout).to.contain(`The smallest changes that fool mlp have a median l2 of ${median}, on 6 images`);
  });

  /** Runs the command until `ready`, then sends a signal. */
  const cut = (args: readonly string[], ready: () => boolean, signal: NodeJS.Signals): Promise<number | null> =>
    new Promise((resolve) => {
      const child = spawn(process.execPath, ['bin/linbp.js', ...args], { cwd: root, stdio: 'ignore' });
      const timer = setInterval(() => {
        // A second signal would end it at once.
        if (ready() && !child.killed) child.kill(signal);
      }, 5);
      child.on('close', (code) => {
        clearInterval(timer);
        resolve(code);
      });
    });

  it('killed, resumed, interrupted, resumed: the same bits as without, and at most one batch lost @slow', async () => {
    const kept = (): string[] =>
      existsSync(join(at('cut'), 'state'))
        ? readdirSync(join(at('cut'), 'state')).filter((name) => /^\d.*\.safetensors$/.test(name))
        : [];
    const args = [...common.slice(0, -1), '1', '--attack', 'pgd,ifgsm', '--rule', 'linbp:from=all', '--steps', '40'];
    const own = [...args, '--eps', '0.02', '--out', at('cut')];
    await cut(own, () => kept().length >= 2, 'SIGKILL');
    const afterKill = kept();
    expect(afterKill.length).to.be.within(2, 11);
    expect(existsSync(join(at('cut'), 'report.json'))).to.equal(false);
    const other = [...own.slice(0, -4), '--eps', '0.03', '--out', at('cut'), '--resume'];
    expectError(await linbp(other), 'belongs to another run', 'attacks');
    expect(await cut([...own, '--resume'], () => kept().length >= 4, 'SIGINT')).to.equal(130);
    expect(kept()).to.include.members(afterKill);
    expect(kept().length).to.be.at.least(4);
    expect(readJson(join(at('cut'), 'report.json'))['interrupted']).to.equal(true);
    const [resumed, whole] = await linbpEach([
      [...own, '--resume', '--csv', at('cut.csv')],
      [...args, '--eps', '0.02', '--out', at('whole'), '--csv', at('whole.csv')],
    ]);
    for (const each of [resumed!, whole!]) expect(each.code, each.stderr).to.equal(0);
    expect(existsSync(join(at('cut'), 'state'))).to.equal(false);
    expect(readFileSync(at('cut.csv'), 'utf8')).to.equal(readFileSync(at('whole.csv'), 'utf8'));
    const cells = readdirSync(at('whole')).filter((name) => /^\d/.test(name));
    expect(cells).to.have.length(2);
    for (const cell of cells) {
      const tensors = (place: string): Buffer => readFileSync(join(at(place), cell, 'adversarial.safetensors'));
      expect(tensors('cut').equals(tensors('whole')), cell).to.equal(true);
    }
  });

  it('--version custom runs the stages in their order, and counts all forward passes as queries', async () => {
    const attack = ['--attack', 'autoattack:queries=7', '--version', 'custom', '--steps', '2'];
    const stages = [...attack, '--stages', 'fab-t, apgd-ce, square'];
    const [made] = await linbpEach([[...common, ...stages, '--eps', '0.01', '--limit', '4', '--json', at('own.json')]]);
    expect(made!.code, made!.stderr).to.equal(0);
    const result = readJson(at('own.json'));
    expect((result['stages'] as Json[]).map(({ name }) => name)).to.deep.equal(['fab-t', 'apgd-ce', 'square']);
    expect(result['settings']).to.include({ version: 'custom', loss: 'ce', steps: 2, queries: 7 });
    const last = (result['stages'] as Json[])[2]!;
    expect(last['forwards']).to.be.within(1, (last['attacked'] as number) * (7 + 4));
    for (const image of result['images'] as Json[]) expect(image['queries']).to.equal(image['forwards']);
    const definition = modelDefinition('mlp');
    const values = parseOptions(['--attack', 'autoattack', '--version', 'custom', '--stages', 'square'], options);
    const [cell] = listCells(values, definition);
    expect(batteryOptions(values, cell!)).to.include({ version: 'custom' }).and.not.have.any.keys('loss', 'steps');
  });

  it('refuses bad lists, presets and states with one error before any work', async () => {
    const cases: [string[], ...string[]][] = [
      [['--attack', 'pgd,fsgm'], 'no attack "fsgm"', 'did you mean fgsm?'],
      [['--attack', 'pgd:stepz=3'], 'pgd has no option "stepz"'],
      [['--attack', 'pgd:eps=0.2'], 'give it by --eps'],
      [['--attack', 'fgsm:steps=2'], 'fgsm takes 1 step, got 2'],
      [['--attack', 'pgd:randomStart=no'], 'randomStart must be true, false'],
      [['--attack', 'deepfool:randomStart=true'], 'deepfool has no option "randomStart"'],
      [['--attack', 'pgd:steps=0'], 'steps must be a whole number of at least 1'],
      [['--attack', 'pgd:steps'], 'name:option=value'],
      [['--attack', 'pgd,steps=3'], 'follow a colon'],
      [['--attack', 'pgd:steps=3,steps=4'], 'given twice'],
      [['--attack', 'pgd:loss=cee'], 'loss must be', 'did you mean ce?'],
      [['--attack', 'square:share=7'], 'share must be'],
      [['--attack', 'autoattack:queries=0.5'], 'queries must be'],
      [['--attack', 'autoattack:queries=5', '--version', 'rand'], 'looks at queries'],
      [['--attack', 'autoattack:restarts=3'], 'autoattack takes steps, queries and loss'],
      [['--eps', '0.1,-1'], '--eps', 'at least 0', '-1'],
      [['--eps', '0.1,8'], 'eps', 'from 0 to 1'],
      [['--rule', 'bp', '--rule', 'lnbp'], 'lnbp'],
      [['--preset', 'mi-fgms'], 'no preset "mi-fgms"', 'did you mean mi-fgsm'],
      [['--resume'], '--resume needs the --out'],
      [['--csv', '/proc/nowhere/x.csv'], 'cannot write'],
    ];
    const out = at('never');
    const ended = await linbpEach(
      cases.map(([args]) => [...common, ...args, ...(args[0] === '--resume' ? [] : ['--out', out])]),
    );
    for (const [index, [args, ...parts]] of cases.entries()) {
      expectError(ended[index]!, ...parts);
      expect(existsSync(out), args.join(' ')).to.equal(false);
    }
  });

  it('a state that is damaged or belongs to other images is refused, and a fresh run ignores it @slow', async () => {
    const args = [...common, '--steps', '2', '--out', at('state')];
    await linbpEach([args]);
    const state = join(at('state'), 'state');
    const [fresh] = await linbpEach([[...args, '--resume']]);
    expect(fresh!.stderr).to.contain('holds no unfinished attack');
    expect(fresh!.code, fresh!.stderr).to.equal(0);
    await writeSafetensors(join(state, '0-00000000.safetensors'), {
      images: { shape: [1], data: new Float32Array(1) },
    });
    writeFileSync(join(state, 'attack.json'), '{"format": "linbp-attack-3"}');
    const [damaged, anew] = await linbpEach([[...args, '--resume'], args]);
    expectError(damaged!, 'is not the state of an attack');
    expect(anew!.code, anew!.stderr).to.equal(0);
  });

  it('restarts fold into the batch: as many programs run as without; the best row is kept @slow', async () => {
    const args = [...common.slice(0, -2), '--attack', 'pgd', '--steps', '3', '--eps', '0.004', '--alpha', '0.001'];
    const own = (name: string): string[] => [
      '--out',
      at(name),
      '--csv',
      at(`${name}.csv`),
      '--json',
      at(`${name}.json`),
    ];
    const ended = await linbpEach([
      [...args, '--restarts', '1', '--batch', '64', ...own('once')],
      [...args, '--restarts', '5', '--batch', '64', ...own('five')],
      [...args, '--restarts', '5', '--batch', '7', ...own('parts')],
    ]);
    for (const each of ended) expect(each.code, each.stderr).to.equal(0);
    expect(readFileSync(at('parts.csv'), 'utf8')).to.equal(readFileSync(at('five.csv'), 'utf8'));
    const [once, five] = [readJson(at('once.json')), readJson(at('five.json'))];
    expect(five['gradients']).to.equal(5 * (once['gradients'] as number));
    expect(five['robustCorrect']).to.be.at.most(once['robustCorrect'] as number);
    const curve = five['curve'] as { step: number; restart: number; loss: number }[];
    expect(curve.slice(0, 4)).to.deep.equal(once['curve']);
    expect(curve.map(({ restart }) => restart)).to.deep.equal([0, 1, 2, 3, 4].flatMap((r) => [r, r, r, r]));
    expect(curve.at(-1)!.step).to.equal(15);
    const samples = (name: string): Json[] => readJson(join(at(name), 'report.json'))['samples'] as Json[];
    const [single, best] = [samples('once'), samples('five')];
    expect(best.map(({ id }) => id)).to.deep.equal([0, 1, 2, 3, 4, 5]);
    for (const [n, sample] of best.entries())
      if (sample['robustCorrect'] === single[n]!['robustCorrect'])
        expect(sample['loss']).to.be.at.least(single[n]!['loss'] as number);
  });

  it('stages that --gradient, --transform and --momentum do not name stay as the attack has them', () => {
    const asked = { gradient: undefined, transform: undefined, momentum: undefined };
    for (const [name, own] of Object.entries(attacks) as [AttackName, AttackDefinition][]) {
      if (own.plan !== undefined) continue;
      const momentum = composed({ ...asked, attack: name, momentum: 'none' });
      const without = own.momentum === noMomentum ? name : `${name}+no-momentum`;
      expect(momentum, name).to.deep.equal({ ...own, name: without, momentum: noMomentum });
      const withGradient = (): unknown => composed({ ...asked, attack: name, gradient: 'vmi' });
      if (own.sampling !== undefined) expect(withGradient, name).to.throw(/takes its gradients in its own way/);
      else expect(withGradient(), name).to.deep.equal({ ...own, name: `${name}+vmi`, sampling: gradientSamplings.vmi });
      const withTransform = (): unknown => composed({ ...asked, attack: name, transform: 'sia,translate' });
      const transforms = [...(own.transforms ?? []), inputTransforms.sia, inputTransforms.translate];
      if (name === 'sia') expect(withTransform).to.throw('sia has the transform sia already');
      else expect(withTransform(), name).to.deep.equal({ ...own, name: `${name}+sia+translate`, transforms });
    }
    expect(() => composed({ ...asked, attack: 'tifgsm', transform: 'ti' })).to.throw('has the transform ti already');
    expect(() => composed({ ...asked, attack: 'difgsm', transform: 'di-nearest' })).to.throw('already');
  });

  it("those for all attacks of a list show in the names of runs, and give way to an attack's own", () => {
    const definition = modelDefinition('resnet18');
    const cells = (...args: string[]): string[] => {
      const given = parseOptions(args, options);
      const values = withPreset(given);
      const found = listCells(values, definition);
      checkCells(found, values, definition);
      expectUsedByCells(given, found);
      return found.map(({ attack }) => attack.written);
    };
    expect(cells('--attack', 'mifgsm:steps=3,pgd,autoattack', '--transform', 'di,si')).to.deep.equal([
      'mifgsm:steps=3,transform=di+si',
      'pgd:transform=di+si',
      'autoattack',
    ]);
    expect(cells('--attack', 'pgd,pgd:momentum=none', '--momentum', 'mi', '--gradient', 'ni')).to.deep.equal([
      'pgd:gradient=ni,momentum=mi',
      'pgd:momentum=none,gradient=ni',
    ]);
    expect(() => cells('--attack', 'pgd,pgd:transform=di', '--transform', 'di')).to.throw('twice');
    // A paper's stages are those of its attack, and what is typed goes before them.
    expect(cells('--preset', 'si-ni-fgsm')).to.deep.equal(['mifgsm:gradient=ni,transform=si']);
    expect(cells('--preset', 'si-ni-fgsm', '--transform', 'di')).to.deep.equal(['mifgsm:gradient=ni,transform=di']);
    expect(cells('--preset', 'si-ni-fgsm', '--attack', 'pgd')).to.deep.equal(['pgd']);
    for (const [option, value] of [
      ['transform', 'si'],
      ['gradient', 'vmi'],
      ['momentum', 'none'],
      ['alpha', '0.01'],
      ['steps', '3'],
      ['restarts', '2'],
      ['loss', 'dlr'],
      ['keep', 'last'],
      ['decay', '0.5'],
      ['eot', '2'],
    ] as const) {
      const own =
        { transform: 'di', gradient: 'ni', momentum: 'mi', loss: 'ce', keep: 'best' }[option as string] ?? '1';
      const attack = option === 'transform' ? 'mifgsm:randomStart=true' : 'mifgsm:randomStart=true,transform=translate';
      const all = ['--attack', `${attack},${option}=${own}`, `--${option}`, value];
      expect(() => cells(...all), option).to.throw(`--${option} would change nothing`);
      // The second stage has what the first one states, and a random start and restarts never.
      if (option !== 'decay') expect(() => cells(...all, '--ila', 'layer1'), option).to.throw('would change nothing');
    }
    // Attacks without steps along gradients are left as they are.
    expect(cells('--attack', 'square,pgd', '--transform', 'di')).to.deep.equal(['square', 'pgd:transform=di']);
    expect(cells('--attack', 'square', '--ila', 'layer1', '--alpha', '0.1')).to.deep.equal(['square']);
    expect(cells('--attack', 'fgsm', '--steps', '1', '--eps', '0.1,0.2')).to.deep.equal(['fgsm', 'fgsm']);
    expect(cells('--attack', 'autoattack,pgd:loss=dlr', '--loss', 'ce-rounded')).to.have.length(2);
    for (const [options, words] of [
      ['--attack square,fab --gradient ni', '--gradient goes with attacks that go along gradients step by step'],
      ['--attack deepfool --eps 0.1 --ila layer1 --restarts 2', '--restarts goes with attacks that go along gradients'],
      ['--attack fgsm,pgd:steps=3 --steps 5', '--steps would change nothing: every attack that takes it has its own'],
      ['--attack fgsm,fgsm:loss=dlr --steps 5', '--steps goes with attacks of several steps'],
      ['--attack autoattack:loss=ce,pgd:loss=dlr --loss ce-rounded', '--loss would change nothing'],
      ['--attack autoattack:loss=ce --loss ce-rounded', '--loss would change nothing'],
    ] as const)
      expect(() => cells(...options.split(' ')), options).to.throw(words);
  });

  it('they change the attack that is named, and ifgsm where none is', () => {
    const attackOf = (...args: string[]): string => withPreset(parseOptions(args, options)).attack;
    expect(attackOf()).to.equal('pgd');
    for (const stage of [
      ['--gradient', 'vmi'],
      ['--transform', 'di'],
      ['--momentum', 'mi'],
    ]) {
      expect(attackOf(...stage)).to.equal('ifgsm');
      expect(attackOf(...stage, '--attack', 'pgd')).to.equal('pgd');
    }
    expect(attackOf('--preset', 'madry-mnist', '--transform', 'di')).to.equal('pgd');
    const asked = { gradient: undefined, transform: 'di', momentum: undefined };
    expect(composed({ ...asked, attack: 'pgd' })).to.include({ keep: 'best', randomStart: true });
  });

  it('takes every option of the list after a colon, with its default, but the radius', () => {
    const definition = modelDefinition('resnet18');
    const printed: string[] = [];
    const list = listAttacks({ print: (line: string) => void printed.push(line) } as unknown as VerbContext);
    const described = list.fields!['attacks'] as ReturnType<typeof attackCatalog>;
    expect(described.map(({ name }) => name)).to.deep.equal([...attackNames, 'autoattack']);
    expect(printed).to.have.length(described.length + 1);
    for (const { name, norms, options: own } of described)
      for (const { name: option, default: byDefault } of own) {
        if (option === 'eps' || (name === 'autoattack' && ['version', 'stages'].includes(option))) continue;
        const value = option === 'alpha' ? '0.01' : String(byDefault);
        const values = parseOptions(['--attack', `${name}:${option}=${value}`, '--norm', norms[0]!], options);
        checkCells(listCells(values, definition), values, definition);
      }
    const off = parseOptions(['--attack', 'pgd:randomStart=false,pgd'], options);
    const [first, second] = listCells(off, definition).map((cell) =>
      attackOptions(off, cell, { definition, weights: new Map() }, true),
    );
    expect(settle(first!).randomStart).to.equal(false);
    expect(settle(second!).randomStart).to.equal(true);
  });

  it('every preset and every notation settles', () => {
    const model = { definition: modelDefinition('resnet18'), weights: new Map() };
    for (const [name, { options }] of Object.entries(presets)) {
      for (const spec of readAttacks(options.attack)) {
        if (spec.name === 'autoattack') continue;
        const { gradient, transform, momentum } = options;
        const attack = composed({ attack: spec.name, gradient, transform, momentum });
        const [eps] = options.eps;
        const { alpha = 0, steps = 1 } = options;
        const settings = settle({ model, attack, eps: eps!, alpha, steps, rules: options.rule?.join('+') ?? 'bp' });
        expect(settings.eps, name).to.equal(eps);
      }
    }
    expect(readAttacks('pgd,square:share=0.3,rescaled=1,fab').map(({ name }) => name)).to.deep.equal([
      'pgd',
      'square',
      'fab',
    ]);
  });
});
