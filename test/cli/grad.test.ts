import { join } from 'node:path';
import { expect } from 'chai';
import { tensorAsFloat32 } from '../../src/io/safetensors.js';
import { relativeError } from '../support/compare.js';
import { loadGolden } from '../support/golden.js';
import {
  expectCommonFields,
  linbpEach,
  readJson,
  readTensors,
  scratchFolder,
  writeFormulaWeights,
  writeInputs,
} from './support.js';
import type { LoadedFile } from '../support/tensors.js';

const values = (file: LoadedFile, name: string): Float32Array => tensorAsFloat32(file.tensors.get(name)!);
const norm = (array: Float32Array): number => Math.sqrt(array.reduce((sum, value) => sum + value * value, 0));

describe('linbp grad', () => {
  const folder = scratchFolder();

  for (const device of ['auto', 'reference']) {
    // The reference writes float32, so it cannot come closer than its rounding.
    const limits = device === 'auto' ? { logits: 1e-5, gradient: 1e-3 } : { logits: 1e-6, gradient: 1e-6 };
    it(`golden values of mlp and lenet5 (--device ${device})${device === 'auto' ? ' @slow' : ''}`, async () => {
      const cases: { model: string; rule: string; out: string; args: string[] }[] = [];
      for (const model of ['mlp', 'lenet5']) {
        const weights = await writeFormulaWeights(folder, model);
        const inputs = await writeInputs(join(folder, `${model}.inputs.safetensors`), loadGolden(`${model}.eval`));
        for (const rule of ['bp', 'linbp']) {
          const out = join(folder, `${model}.${rule}.safetensors`);
          const json = ['--json', `${out}.json`];
          const given = ['--model', model, '--weights', weights, '--rule', rule, '--inputs', inputs, '--out', out];
          cases.push({ model, rule, out, args: ['grad', ...given, '--device', device, ...json] });
        }
      }
      for (const ended of await linbpEach(cases.map(({ args }) => args))) expect(ended.code, ended.stderr).to.equal(0);
      for (const { model, rule, out } of cases) {
        const golden = loadGolden(`${model}.eval`);
        const found = readTensors(out);
        const close = (actual: Float32Array, name: string, limit: number): void => {
          expect(relativeError(actual, values(golden, `${rule}.${name}`)), `${model} ${rule} ${name}`).to.be.below(
            limit,
          );
        };
        close(values(found, 'logits'), 'logits', limits.logits);
        close(values(found, 'loss'), 'loss', limits.logits);
        close(values(found, 'grad.input'), 'grad.input', limits.gradient);
        const heads = [...golden.tensors.keys()].filter(
          (name) => name.startsWith(`${rule}.grad.`) && name.endsWith('.head'),
        );
        expect(heads.length).to.be.above(5);
        for (const head of heads) {
          const key = head.slice(rule.length + 1, -'.head'.length);
          const gradient = values(found, key);
          close(gradient.slice(0, 32), `${key}.head`, limits.gradient);
          close(Float32Array.of(norm(gradient)), `${key}.norm`, limits.gradient);
        }
        const losses = values(found, 'losses');
        expect(losses.reduce((sum, loss) => sum + loss, 0) / losses.length).to.be.closeTo(
          values(found, 'loss')[0]!,
          1e-6,
        );
        const result = readJson(`${out}.json`);
        expectCommonFields(result, 'grad');
        expect(result['settings']).to.include({ model, rule, loss: 'mean', mode: 'eval', device, inputOnly: false });
      }
    });
  }

  it('--loss sum multiplies by the batch, --input-only leaves the parameters out', async () => {
    const weights = await writeFormulaWeights(folder, 'mlp');
    const golden = loadGolden('mlp.eval');
    const inputs = await writeInputs(join(folder, 'inputs.safetensors'), golden);
    const out = join(folder, 'sum.safetensors');
    const [ended] = await linbpEach([
      [
        'grad',
        '--model',
        'mlp',
        '--weights',
        weights,
        '--inputs',
        inputs,
        '--out',
        out,
        '--loss',
        'sum',
        '--input-only',
        '--device',
        'reference',
      ],
    ]);
    expect(ended!.code, ended!.stderr).to.equal(0);
    const found = readTensors(out);
    expect([...found.tensors.keys()]).to.have.members(['logits', 'loss', 'losses', 'grad.input']);
    const count = golden.tensors.get('labels')!.shape[0]!;
    const scaled = values(golden, 'bp.grad.input').map((value) => count * value);
    expect(relativeError(values(found, 'grad.input'), scaled)).to.be.below(1e-6);
    expect(values(found, 'loss')[0]).to.be.closeTo(count * values(golden, 'bp.loss')[0]!, 1e-4);
  });
});
