import { Graph } from '../../src/graph/graph.js';
import type { ConvAttrs, PoolAttrs, Tensor } from '../../src/graph/types.js';
import { formulaTensor } from '../../src/io/formulaWeights.js';
import type { ActivationPosition, PositionTable } from '../../src/rules/positions.js';

export interface Network {
  readonly graph: Graph;
  readonly input: Tensor;
  readonly labels: Tensor;
  readonly logits: Tensor;
  readonly loss: Tensor;
  readonly parameters: ReadonlyMap<string, Tensor>;
  /** Formula weights by parameter. */
  readonly weights: readonly (readonly [Tensor, Float32Array])[];
}

class Builder {
  readonly graph = new Graph();
  readonly parameters = new Map<string, Tensor>();
  readonly weights: [Tensor, Float32Array][] = [];

  parameter(key: string, shape: readonly number[]): Tensor {
    const tensor = this.graph.parameter(key, shape);
    this.parameters.set(key, tensor);
    this.weights.push([tensor, formulaTensor(key, shape, key.endsWith('bias') ? 'bias' : 'weight')]);
    return tensor;
  }

  linear(layer: string, x: Tensor, outs: number): Tensor {
    const w = this.parameter(`${layer}.weight`, [outs, x.shape[1]!]);
    const b = this.parameter(`${layer}.bias`, [outs]);
    return this.graph.scope({ layer }, () => this.graph.one('linear', [x, w, b], {}));
  }

  conv(layer: string, x: Tensor, outs: number, size: number, padding: number): Tensor {
    const w = this.parameter(`${layer}.weight`, [outs, x.shape[1]!, size, size]);
    const b = this.parameter(`${layer}.bias`, [outs]);
    const attrs: ConvAttrs = {
      stride: [1, 1],
      padding: [padding, padding, padding, padding],
      dilation: [1, 1],
      groups: 1,
    };
    return this.graph.scope({ layer }, () => this.graph.one('conv2d', [x, w, b], attrs));
  }

  relu(layer: string, x: Tensor): Tensor {
    return this.graph.scope({ layer }, () => this.graph.one('activation', [x], { kind: 'relu', mask: false }));
  }

  pool(layer: string, x: Tensor): Tensor {
    const attrs: PoolAttrs = { kernel: [2, 2], stride: [2, 2], padding: [0, 0, 0, 0], ceilMode: false };
    return this.graph.scope({ layer }, () => this.graph.one('maxPool2d', [x], attrs));
  }

  flatten(x: Tensor): Tensor {
    return this.graph.one('reshape', [x], {
      shape: [x.shape[0]!, x.shape.slice(1).reduce((product, size) => product * size, 1)],
    });
  }

  finish(input: Tensor, logits: Tensor): Network {
    const labels = this.graph.input('labels', [logits.shape[0]!], 'u32');
    const loss = this.graph.one('loss', [logits, labels], { kind: 'crossEntropy' });
    return { graph: this.graph, input, labels, logits, loss, parameters: this.parameters, weights: this.weights };
  }
}

export function mlp(batch: number): Network {
  const b = new Builder();
  const input = b.graph.input('input', [batch, 1, 28, 28]);
  let x = b.linear('layer1.0', b.flatten(input), 400);
  x = b.linear('layer1.2', b.relu('layer1.1', x), 200);
  x = b.linear('layer1.4', b.relu('layer1.3', x), 100);
  return b.finish(input, b.linear('layer1.6', b.relu('layer1.5', x), 10));
}

export function lenet5(batch: number): Network {
  const b = new Builder();
  const input = b.graph.input('input', [batch, 1, 28, 28]);
  let x = b.relu('conv1.2', b.pool('conv1.1', b.conv('conv1.0', input, 6, 5, 2)));
  x = b.relu('conv2.2', b.pool('conv2.1', b.conv('conv2.0', x, 16, 5, 0)));
  x = b.relu('fc.1', b.linear('fc.0', b.flatten(x), 120));
  x = b.relu('fc.3', b.linear('fc.2', x, 84));
  return b.finish(input, b.linear('fc.4', x, 10));
}

const position = (name: string, index: number, kind: ActivationPosition['kind']): ActivationPosition => ({
  name,
  index,
  kind,
  activation: 'relu',
});

export const mlpPositions: PositionTable = {
  model: 'mlp',
  positions: [
    position('layer1.1', 1, 'classifier'),
    position('layer1.3', 3, 'classifier'),
    position('layer1.5', 5, 'classifier'),
  ],
  presets: { default: ['layer1.3', 'layer1.5'] },
};

export const lenet5Positions: PositionTable = {
  model: 'lenet5',
  positions: [
    position('conv1.2', 0, 'conv'),
    position('conv2.2', 1, 'conv'),
    position('fc.1', 2, 'classifier'),
    position('fc.3', 3, 'classifier'),
  ],
  presets: { default: ['fc.1', 'fc.3'] },
};
