import { expect } from 'chai';
import { chosenRules, namedWeights } from '../../src/cli/common.js';
import { LinbpError } from '../../src/errors.js';
import { modelDefinition } from '../../src/nn/zoo/index.js';
import { scratchFolder, writeFormulaWeights } from './support.js';

function messageOf(rule: string, model: string): string {
  try {
    chosenRules(rule, modelDefinition(model));
  } catch (error) {
    expect(error).to.be.instanceOf(LinbpError);
    expect((error as LinbpError).code).to.equal('unknown-layer');
    return (error as LinbpError).message;
  }
  throw new Error(`${model} takes ${rule}`);
}

describe('hints of errors', () => {
  const folder = scratchFolder();

  it('where a preset is missing, one that works is shown', () => {
    for (const model of ['resnet20', 'resnet56', 'resnet8-mlperf-tiny', 'squeezenet', 'mlp-300-100', 'convnetjs-cnn']) {
      const shown = /such as (linbp:from=[\w.]+);/.exec(messageOf('linbp', model))?.[1];
      expect(shown, model).to.be.a('string');
      expect(() => chosenRules(shown!, modelDefinition(model))).not.to.throw();
    }
    expect(messageOf('linbp', 'resnet56')).to.contain('such as linbp:from=layer3;');
  });

  it('large networks are listed by stage, small ones one by one', () => {
    expect(messageOf('linbp:from=layer9', 'resnet50')).to.contain(
      'has 49 activations in layer1, layer2, layer3, layer4 ("linbp positions" lists them)',
    );
    expect(messageOf('linbp:from=layer9', 'lenet5')).to.contain('lenet5 has conv1.2, conv2.2, fc.1, fc.3');
  });

  it('weights that do not fit: three tensors that differ, how many more, and which network they are of', async () => {
    const path = await writeFormulaWeights(folder, 'resnet20');
    const error = await namedWeights(modelDefinition('resnet56'), path).then(
      () => undefined,
      (reason: unknown) => reason as LinbpError,
    );
    expect(error?.code).to.equal('bad-file');
    expect(error?.message).to.match(/does not hold the weights of resnet56: [^;]+; [^;]+; [^;]+; and \d+ more/);
    expect(error?.message).to.match(/\(the file looks like resnet20\)$/);
    expect(error!.message.length).to.be.below(600);
  });
});
