import type { ModelDefinition } from '../definition.js';

/** MLP 784-400-200-100-10 of the theory paper's code; 415,310 parameters. */
export const mlp: ModelDefinition = {
  name: 'mlp',
  input: [1, 28, 28],
  classes: 10,
  build(net, images) {
    let x = net.flatten(images);
    for (const [index, width] of [400, 200, 100].entries()) {
      x = net.relu(`layer1.${2 * index + 1}`, net.linear(`layer1.${2 * index}`, x, width));
    }
    return net.linear('layer1.6', x, 10);
  },
  presets: { default: ['layer1.3', 'layer1.5'] },
};

/** LeNet-5 of the theory paper's code, which pools before its ReLUs; 61,706 parameters. */
export const lenet5: ModelDefinition = {
  name: 'lenet5',
  input: [1, 28, 28],
  classes: 10,
  build(net, images) {
    let x = net.conv('conv1.0', images, 6, 5, { padding: 2 });
    x = net.relu('conv1.2', net.maxPool('conv1.1', x, 2));
    x = net.conv('conv2.0', x, 16, 5);
    x = net.relu('conv2.2', net.maxPool('conv2.1', x, 2));
    x = net.flatten(x);
    return net.at({ kind: 'classifier' }, () => {
      x = net.relu('fc.1', net.linear('fc.0', x, 120));
      x = net.relu('fc.3', net.linear('fc.2', x, 84));
      return net.linear('fc.4', x, 10);
    });
  },
  presets: { default: ['fc.1', 'fc.3'] },
};
