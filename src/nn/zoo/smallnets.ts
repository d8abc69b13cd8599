import type { ModelDefinition } from '../definition.js';

/** The ConvNetJS CIFAR-10 demonstration network: x - 0.5, three 5x5 convolutions with pooling, one linear layer. */
export const convnetjs: ModelDefinition = {
  name: 'convnetjs-cnn',
  input: [3, 32, 32],
  classes: 10,
  build(net, images) {
    let x = net.preprocess(images, [1, 1, 1], [-0.5, -0.5, -0.5]);
    for (const [index, width] of [16, 20, 20].entries()) {
      x = net.relu(`relu${index + 1}`, net.conv(`conv${index + 1}`, x, width, 5, { padding: 2 }));
      x = net.maxPool(`pool${index + 1}`, x, 2);
    }
    return net.linear('fc', net.flatten(x), 10);
  },
};

/** The LeNet-5 of the advertorch examples, which has two sets of weights. */
const advertorchLenet = (name: string): ModelDefinition => ({
  name,
  input: [1, 28, 28],
  classes: 10,
  build(net, images) {
    let x = images;
    for (const [index, width] of [32, 64].entries()) {
      x = net.relu(`relu${index + 1}`, net.conv(`conv${index + 1}`, x, width, 3, { padding: 1 }));
      x = net.maxPool(`maxpool${index + 1}`, x, 2);
    }
    return net.at({ kind: 'classifier' }, () => {
      const y = net.relu('relu3', net.linear('linear1', net.flatten(x), 200));
      return net.linear('linear2', y, 10);
    });
  },
});

/** Trained on clean images. */
export const lenet5Clean = advertorchLenet('lenet5-clntrained');
/** Trained adversarially. */
export const lenet5Robust = advertorchLenet('lenet5-advtrained');

/** MLP 784-300-100-10. */
export const mlp300: ModelDefinition = {
  name: 'mlp-300-100',
  input: [1, 28, 28],
  classes: 10,
  build(net, images) {
    return net.at({ kind: 'classifier' }, () => {
      let x = net.flatten(images);
      for (const [index, width] of [300, 100].entries())
        x = net.relu(`relu${index + 1}`, net.linear(`linear${index + 1}`, x, width));
      return net.linear('linear3', x, 10);
    });
  },
};
