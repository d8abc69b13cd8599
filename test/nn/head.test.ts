import { expect } from 'chai';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openModel } from '../../src/cli/modelSource.js';
import { LinbpError } from '../../src/errors.js';
import { writeSafetensors } from '../../src/io/safetensors.js';
import { describeModel } from '../../src/nn/definition.js';
import { headOf, withClasses } from '../../src/nn/head.js';
import { initialState, readStateDict } from '../../src/nn/model.js';
import { modelDefinition, modelNames } from '../../src/nn/zoo/index.js';

async function refusal(trying: Promise<unknown> | (() => unknown)): Promise<LinbpError> {
  try {
    await (typeof trying === 'function' ? trying() : trying);
  } catch (error) {
    expect(error).to.be.instanceOf(LinbpError);
    return error as LinbpError;
  }
  return expect.fail('was accepted');
}

describe('another number of classes', () => {
  const folder = mkdtempSync(join(tmpdir(), 'linbp-head-'));
  after(() => rmSync(folder, { recursive: true, force: true }));

  it('changes the last layer of every network, and nothing else', () => {
    for (const name of modelNames) {
      const definition = modelDefinition(name);
      const { keys } = headOf(definition);
      const [before, after] = [definition, withClasses(definition, 7)].map((each) => describeModel(each).layout.specs);
      expect(after!.map((spec) => spec.name)).to.deep.equal(before!.map((spec) => spec.name));
      for (const [index, spec] of after!.entries()) {
        const own = keys.includes(spec.name);
        const expected = own ? [7, ...before![index]!.shape.slice(1)] : before![index]!.shape;
        expect(spec.shape, `${name} ${spec.name}`).to.deep.equal(expected);
      }
    }
  });

  it('loads all weights but those of the last layer, which is drawn from the seed', async () => {
    const old = modelDefinition('lenet5');
    const path = join(folder, 'old.safetensors');
    const weights = initialState(old, 3);
    await writeSafetensors(path, weights);
    const wider = withClasses(old, 12);
    expect((await refusal(readStateDict(wider, path))).code).to.equal('bad-file');
    const read = await readStateDict(wider, path, { newHead: true, seed: 5 });
    const { keys } = headOf(wider);
    expect(keys).to.deep.equal(['fc.4.weight', 'fc.4.bias']);
    for (const [key, { data }] of read)
      expect(data, key).to.deep.equal((keys.includes(key) ? initialState(wider, 5) : weights).get(key)!.data);
  });

  it('refuses counts that cannot be meant', async () => {
    for (const classes of [1, 0, 2.5, NaN])
      expect((await refusal(() => withClasses(modelDefinition('mlp'), classes))).code).to.equal('bad-range');
  });
});

describe('networks of a module', () => {
  const folder = mkdtempSync(join(tmpdir(), 'linbp-module-'));
  after(() => rmSync(folder, { recursive: true, force: true }));
  const written = (name: string, text: string): string => {
    const path = join(folder, name);
    writeFileSync(path, text);
    return path;
  };
  const fields = "name: 'tiny', input: [1, 4, 4], classes: 3";
  const linear = "build: (net, x) => net.linear('fc', net.flatten(x), 3)";

  it('are the default export, or the one that builds', async () => {
    for (const [name, text] of [
      ['a.mjs', `export default { ${fields}, ${linear} };`],
      ['b.mjs', `export const other = 1; export const net = { ${fields}, ${linear} };`],
      ['c.cjs', `module.exports = { ${fields}, ${linear} };`],
    ] as const) {
      const definition = await openModel(written(name, text));
      expect(definition).to.include({ name: 'tiny', classes: 3 });
      expect([...initialState(definition).keys()]).to.deep.equal(['fc.weight', 'fc.bias']);
    }
  });

  it('are refused with the field and the cause', async () => {
    const cases: readonly (readonly [string, RegExp])[] = [
      ['export const x = 1;', /exports no model definition/],
      [`export default { input: [1, 4, 4], classes: 3, ${linear} };`, /"name" must be/],
      [`export default { name: 'x', input: [4, 4], classes: 3, ${linear} };`, /"input" must be/],
      [`export default { name: 'x', input: [1, 4, 4], classes: 0, ${linear} };`, /"classes" must be/],
      [`export default { name: 'x', input: [1, 4, 4], classes: 3, build: 7 };`, /"build" must be a function/],
      [`export default { name: 'x', input: [1, 4, 4], classes: 9, ${linear} };`, /logits \[N, 9\], got \[N, 3\]/],
      [`export default { ${fields}, build: () => undefined };`, /must return a tensor/],
      [`export default { ${fields}, build: () => { throw new Error('oh'); } };`, /"build" failed: oh/],
      ['export default {', /cannot be imported/],
    ];
    for (const [index, [text, message]] of cases.entries()) {
      const error = await refusal(openModel(written(`bad${index}.mjs`, text)));
      expect(error.message, text).to.match(message);
    }
    expect((await refusal(openModel(join(folder, 'none.mjs')))).code).to.equal('missing-file');
    expect((await refusal(openModel('lenet6'))).message).to.match(/did you mean lenet5/);
  });
});
