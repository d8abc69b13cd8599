import type { Tensor } from '../../graph/types.js';
import type { NetBuilder } from '../builder.js';
import type { ModelDefinition } from '../definition.js';

const presetNote = 'the theory code linearizes nothing in SqueezeNet, it only leaves out the final log-softmax';

/** Widths of the squeeze and of each expand convolution (F. Iandola et al., 2016). */
const fires: Readonly<Record<number, readonly [number, number]>> = {
  2: [16, 64],
  3: [16, 64],
  4: [32, 128],
  5: [32, 128],
  6: [48, 192],
  7: [48, 192],
  8: [64, 256],
  9: [64, 256],
};

/** SqueezeNet of the theory paper's code for CIFAR-10: batch norm added, and a log-softmax at the end. */
export const squeezenet: ModelDefinition = {
  name: 'squeezenet',
  input: [3, 32, 32],
  classes: 10,
  presets: { default: [] },
  presetNote,
  build(net, images) {
    const convBn = (name: string, x: Tensor, outputs: number, kernel: 1 | 3): Tensor =>
      net.batchNorm(`${name}.1`, net.conv(`${name}.0`, x, outputs, kernel, { padding: (kernel - 1) / 2 }));
    const fire = (number: number, x: Tensor): Tensor => {
      const name = `Fire${number}`;
      const [squeeze, expand] = fires[number]!;
      return net.at({ stage: name }, () => {
        const y = net.relu(`${name}.squeeze.2`, convBn(`${name}.squeeze`, x, squeeze, 1));
        const parts = [convBn(`${name}.expand1x1`, y, expand, 1), convBn(`${name}.expand3x3`, y, expand, 3)];
        return net.relu(`${name}.relu`, net.concat(`${name}.concat`, parts));
      });
    };
    let x = convBn('conv', images, 96, 3);
    x = net.at({ kind: 'stem' }, () => net.relu('conv.2', x));
    x = net.maxPool('conv.3', x, 2);
    for (const number of [2, 3, 4]) x = fire(number, x);
    x = net.maxPool('maxpool2', x, 2);
    for (const number of [5, 6, 7, 8]) x = fire(number, x);
    x = net.dropout('dropout', fire(9, net.maxPool('maxpool3', x, 2)), 0.5);
    return net.logSoftmax('softmax', net.globalAvgPool('avgpool', net.conv('conv2', x, 10, 1)));
  },
};

/** How a variant of SqueezeNet 1.1 calls its modules. */
interface Names {
  readonly conv1: string;
  readonly relu1: string;
  readonly fire: (number: number) => string;
  readonly squeeze: string;
  readonly expand1x1: string;
  readonly expand3x3: string;
  readonly relu: (conv: string) => string;
  readonly last: string;
  readonly lastRelu: string;
  /** Padding of the last convolution. */
  readonly lastPadding: number;
}

/** SqueezeNet 1.1: fewer channels and earlier pooling, all pools 3x3 with stride 2 and rounded up. */
function squeezenet11(net: NetBuilder, images: Tensor, names: Names): Tensor {
  const pool = (index: number, x: Tensor): Tensor => net.maxPool(`pool${index}`, x, 3, { stride: 2, ceilMode: true });
  const activated = (path: string, x: Tensor, outputs: number, kernel: 1 | 3): Tensor =>
    net.relu(names.relu(path), net.conv(path, x, outputs, kernel, { padding: (kernel - 1) / 2 }));
  const fire = (number: number, x: Tensor): Tensor => {
    const name = names.fire(number);
    const [squeeze, expand] = fires[number]!;
    return net.at({ stage: `fire${number}` }, () => {
      const y = activated(`${name}.${names.squeeze}`, x, squeeze, 1);
      const parts = [
        activated(`${name}.${names.expand1x1}`, y, expand, 1),
        activated(`${name}.${names.expand3x3}`, y, expand, 3),
      ];
      return net.concat(`${name}.concat`, parts);
    });
  };
  let x = net.conv(names.conv1, images, 64, 3, { stride: 2 });
  x = net.at({ kind: 'stem' }, () => net.relu(names.relu1, x));
  x = pool(1, x);
  x = pool(3, fire(3, fire(2, x)));
  x = pool(5, fire(5, fire(4, x)));
  for (const number of [6, 7, 8, 9]) x = fire(number, x);
  x = net.conv(names.last, net.dropout('dropout', x, 0.5), 1000, 1, { padding: names.lastPadding });
  x = net.at({ stage: 'classifier', kind: 'classifier' }, () => net.relu(names.lastRelu, x));
  return net.globalAvgPool('avgpool', x);
}

/** Places of the fire modules in torchvision's `features`. */
const torchvisionFires = [3, 4, 6, 7, 9, 10, 11, 12];

export const squeezenet11Imagenet: ModelDefinition = {
  name: 'squeezenet1_1_imagenet',
  input: [3, 224, 224],
  classes: 1000,
  presets: { default: [] },
  presetNote,
  build: (net, images) =>
    squeezenet11(net, images, {
      conv1: 'features.0',
      relu1: 'features.1',
      fire: (number) => `features.${torchvisionFires[number - 2]}`,
      squeeze: 'squeeze',
      expand1x1: 'expand1x1',
      expand3x3: 'expand3x3',
      relu: (conv) => `${conv}_activation`,
      last: 'classifier.1',
      lastRelu: 'classifier.2',
      lastPadding: 0,
    }),
};

/** The Caffe weights: 227-pixel images in BGR, 0..255 minus a mean, and a last convolution that pads by one pixel. */
export const squeezenet11Caffe: ModelDefinition = {
  name: 'squeezenet1_1',
  input: [3, 227, 227],
  classes: 1000,
  presets: { default: [] },
  presetNote,
  build: (net, images) =>
    squeezenet11(net, net.preprocess(images, [255, 255, 255], [-104, -117, -123], [2, 1, 0]), {
      conv1: 'conv1',
      relu1: 'conv1.relu',
      fire: (number) => `fire${number}`,
      squeeze: 'squeeze1x1',
      expand1x1: 'expand1x1',
      expand3x3: 'expand3x3',
      relu: (conv) => `${conv}.relu`,
      last: 'conv10',
      lastRelu: 'conv10.relu',
      lastPadding: 1,
    }),
};
