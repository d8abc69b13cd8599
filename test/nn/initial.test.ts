import { expect } from 'chai';
import { officialWeights } from '../../src/experiments/officialWeights.js';
import { describeModel } from '../../src/nn/definition.js';
import { initialState } from '../../src/nn/model.js';
import { modelDefinition } from '../../src/nn/zoo/index.js';

const moments = (values: Float32Array): { mean: number; deviation: number; largest: number } => {
  let [sum, squares, largest] = [0, 0, 0];
  for (const value of values) {
    sum += value;
    squares += value * value;
    largest = Math.max(largest, Math.abs(value));
  }
  const mean = sum / values.length;
  return { mean, deviation: Math.sqrt(squares / values.length - mean ** 2), largest };
};

describe('initial weights', () => {
  for (const name of ['mlp', 'lenet5']) {
    it(`${name}: PyTorch's defaults, uniform within 1 / sqrt(fan-in), biases too`, () => {
      const state = initialState(modelDefinition(name), 7);
      for (const { name: key, fanIn } of describeModel(modelDefinition(name)).layout.specs) {
        const { data } = state.get(key)!;
        const bound = 1 / Math.sqrt(fanIn);
        const { mean, deviation, largest } = moments(data);
        expect(largest, key).to.be.at.most(bound);
        if (data.length < 1000) continue;
        // Five standard errors of a uniform law.
        const error = bound / Math.sqrt(3 * data.length);
        expect(Math.abs(mean), key).to.be.below(5 * error);
        expect(deviation, key).to.be.closeTo(bound / Math.sqrt(3), 5 * error);
        expect(largest, key).to.be.above(0.98 * bound);
      }
      expect(initialState(modelDefinition(name), 7)).to.deep.equal(state);
      expect(initialState(modelDefinition(name), 8)).not.to.deep.equal(state);
    });
  }

  it("MobileNetV2 as the theory paper's code has it: Kaiming over outputs, head of deviation 0.01, no bias", () => {
    const definition = modelDefinition('mobilenet_v2');
    const state = officialWeights(definition, 3);
    for (const { name, shape, kind } of describeModel(definition).layout.specs) {
      const { data } = state.get(name)!;
      if (kind === 'bias') expect(data.every((value) => value === 0)).to.equal(true);
      if (kind !== 'weight' || data.length < 1000) continue;
      const wanted = shape.length === 2 ? 0.01 : Math.sqrt(2 / (shape[0]! * shape[2]! * shape[3]!));
      const { mean, deviation } = moments(data);
      expect(deviation / wanted, name).to.be.closeTo(1, 5 / Math.sqrt(2 * data.length));
      expect(Math.abs(mean) / wanted, name).to.be.below(5 / Math.sqrt(data.length));
    }
  });

  it('the same for networks without a style of their own', () => {
    const mlp = modelDefinition('mlp');
    expect(officialWeights(mlp, 5)).to.deep.equal(initialState(mlp, 5));
  });
});
