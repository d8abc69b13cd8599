import type { Tensor } from '../../graph/types.js';
import type { ConvOptions, NetBuilder } from '../builder.js';
import type { ModelDefinition } from '../definition.js';

/**
 * TensorFlow's "same" padding of a 3x3 convolution with stride 2 on an even size: nothing above and left, 1 below and
 * right.
 */
const sameStride2: ConvOptions = { stride: 2, padding: [0, 0, 1, 1] };
const same: ConvOptions = { padding: 1 };

/** Keras numbers its layers in the order in which they were made; the first has no number. */
const numbered = (name: string, index: number): string => (index === 0 ? name : `${name}_${index}`);

/** ResNet-8 of MLPerf Tiny: convolutions with biases, batch norm with epsilon 1e-3, images 0..255. */
export const resnet8: ModelDefinition = {
  name: 'resnet8-mlperf-tiny',
  input: [3, 32, 32],
  classes: 10,
  build(net, images) {
    const conv = (index: number, x: Tensor, outputs: number, kernel: number, options: ConvOptions): Tensor =>
      net.conv(numbered('conv2d', index), x, outputs, kernel, options);
    const norm = (index: number, x: Tensor): Tensor =>
      net.batchNorm(numbered('batch_normalization', index), x, { epsilon: 1e-3 });
    let x = net.preprocess(images, [255, 255, 255], [0, 0, 0]);
    x = norm(0, conv(0, x, 16, 3, same));
    x = net.at({ kind: 'stem' }, () => net.relu('relu', x));
    x = stage(net, 1, x, (name, input) =>
      norm(2, conv(2, net.relu(name, norm(1, conv(1, input, 16, 3, same))), 16, 3, same)),
    );
    for (const [index, width] of [32, 64].entries()) {
      const [first, firstNorm] = [3 + 3 * index, 3 + 2 * index];
      x = stage(
        net,
        2 + index,
        x,
        (name, input) => {
          const y = net.relu(name, norm(firstNorm, conv(first, input, width, 3, sameStride2)));
          return norm(firstNorm + 1, conv(first + 1, y, width, 3, same));
        },
        (input) => conv(first + 2, input, width, 1, { stride: 2 }),
      );
    }
    return net.linear('dense', net.globalAvgPool('average_pooling2d', x), 10);
  },
};

function stage(
  net: NetBuilder,
  number: number,
  x: Tensor,
  branch: (relu: string, x: Tensor) => Tensor,
  shortcut: (x: Tensor) => Tensor = (input) => input,
): Tensor {
  const name = `stage${number}.0`;
  return net.at({ stage: `stage${number}`, block: 0, kind: 'branch' }, () => {
    const y = net.branch(name, x, (input) => branch(`${name}.relu1`, input));
    return net.at({ kind: 'post-addition' }, () => net.relu(`${name}.relu2`, net.add(`${name}.add`, shortcut(x), y)));
  });
}
