import { expect } from 'chai';
import { LinbpError } from '../../src/errors.js';
import * as io from '../../src/public/io.js';
import * as root from '../../src/public/root.js';

/** Calls as a JavaScript caller may write them, without what the types ask for. */
const calls: readonly (readonly [name: string, call: () => unknown])[] = [
  ...[undefined, null, 5].flatMap((wrong: unknown) => {
    const none = wrong as never;
    const texts: Readonly<Record<string, () => unknown>> = {
      modelDefinition: () => root.modelDefinition(none),
      attackDefinition: () => root.attackDefinition(none),
      parseRules: () => root.parseRules(none),
      readStateDict: () => root.readStateDict(root.modelDefinition('mlp'), none),
      readTorch: () => io.readTorch(none),
      readPng: () => io.readPng(none),
      exportOnnx: () => root.exportOnnx(none),
      subset: () => root.subset(none, 1),
    };
    const objects: Readonly<Record<string, () => unknown>> = {
      wgslRule: () => root.wgslRule(none),
      jsRule: () => root.jsRule(none),
      registerFunction: () => root.registerFunction(none),
      selectSamples: () => root.selectSamples(none, [0]),
      batchPixels: () => root.batchPixels(none, [0]),
      batchLabels: () => root.batchLabels(none, [0]),
      encodeSafetensors: () => io.encodeSafetensors(none),
    };
    const all = Object.entries(wrong === 5 ? texts : { ...texts, ...objects });
    return all.map(([name, call]) => [`${name}(${String(wrong)})`, call] as const);
  }),
  ['jsRule without a function', () => root.jsRule({ name: 'mine', saves: 'mask' } as never)],
  ['wgslRule without WGSL', () => root.wgslRule({ name: 'mine', saves: 'mask' } as never)],
];

describe('entries of the library answer wrong arguments', () => {
  for (const [name, call] of calls)
    it(`${name}: a typed error`, async () => {
      let caught: unknown;
      try {
        await call();
      } catch (error) {
        caught = error;
      }
      expect(caught, String(caught)).to.be.instanceOf(LinbpError);
    });

  it('metadata that no reader takes are not written', () => {
    const tensors = { w: { shape: [1], data: new Float32Array(1) } };
    const [header] = io.encodeSafetensors(tensors, { epoch: '5' });
    expect(Buffer.from(header!).toString('latin1')).to.contain('"epoch":"5"');
    const numbers = { epoch: 5 } as unknown as Record<string, string>;
    expect(() => io.encodeSafetensors(tensors, numbers)).to.throw(LinbpError, 'metadata epoch must be a string, got 5');
  });
});
