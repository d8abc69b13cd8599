import { expect } from 'chai';
import { slowly } from '../support/slow.js';
import { resnet18 } from '../../src/nn/zoo/resnet.js';
import { Program } from '../../src/program/program.js';
import { evaluate, goldenValues, relativeError } from '../reference/support.js';
import { sharedDevice } from '../support/device.js';
import { loadGolden } from '../support/golden.js';
import { ruleGraph } from './support.js';

const file = loadGolden('resnet18.alpha');
const rows: Readonly<Record<string, string>> = {
  '3_1.lambda1.0': 'linbp:from=3_1,match=block',
  '2_0.lambda1.0': 'linbp:from=2_0,match=block,lambda=1',
  '3_0.lambda0.5': 'linbp:from=3_0,match=block,lambda=0.5',
  '5_0.lambda1.0': 'linbp:from=5_0,match=block',
};
const values = (key: string): Float32Array => Float32Array.from(goldenValues(file, key));
const alphas = (row: string): string[] => [...file.tensors.keys()].filter((key) => key.startsWith(`${row}.alpha.`));

describe('block-matched golden gradients of ResNet-18', function () {
  this.timeout(600_000);

  for (const [row, rule] of Object.entries(rows)) {
    it(`${row} on the device: logits 1e-4, gradient 2e-2, every alpha 1e-3 @slow`, async () => {
      const { graph, images, labels, observed, feeds } = ruleGraph(resnet18, { rule, batch: 4 });
      using program = await Program.compile(graph, { device: await sharedDevice() });
      for (const [tensor, data] of feeds) program.write(tensor, data);
      program.write(images, values('input'));
      program.write(labels, Uint32Array.from(values('labels')));
      await program.run([{ segment: 'main' }]);
      expect(relativeError(await program.read('logits'), values(`${row}.logits`)), 'logits').to.be.below(1e-4);
      expect(relativeError(await program.read('gradient'), values(`${row}.grad.input`)), 'gradient').to.be.below(2e-2);
      expect([...observed.keys()]).to.have.members(
        alphas(row).map((key) => `alpha.layer${key.slice(-3).replace('_', '.')}`),
      );
      for (const key of alphas(row)) {
        const alpha = await program.read(`alpha.layer${key.slice(-3).replace('_', '.')}`);
        expect(relativeError(alpha, values(key)), key).to.be.below(1e-3);
      }
    });
  }

  // Minutes of plain loops each.
  for (const row of Object.keys(rows)) {
    slowly(true, `the float64 reference agrees to 1e-6: ${row}`, 1_800_000, () => {
      const { graph, images, labels, observed, gradient, feeds } = ruleGraph(resnet18, { rule: rows[row]!, batch: 4 });
      feeds.set(images, values('input')).set(labels, Uint32Array.from(values('labels')));
      const run = evaluate(graph, [...feeds]);
      expect(relativeError(run.get(gradient), values(`${row}.grad.input`))).to.be.below(1e-6);
      for (const key of alphas(row)) {
        const tensor = observed.get(`alpha.layer${key.slice(-3).replace('_', '.')}`)!;
        expect(relativeError(run.get(tensor), values(key)), key).to.be.below(1e-6);
      }
    });
  }
});
