import type { Tensor } from '../../graph/types.js';
import type { NetBuilder } from '../builder.js';
import type { ModelDefinition } from '../definition.js';

/**
 * One pre-activation block. Where the widths differ, the shortcut starts behind the first ReLU, which is then no part
 * of the branch.
 */
function block(net: NetBuilder, name: string, x: Tensor, outputs: number, stride: number): Tensor {
  const normRelu = (number: number, input: Tensor): Tensor =>
    net.relu(`${name}.relu${number}`, net.batchNorm(`${name}.bn${number}`, input));
  const conv = (number: number, input: Tensor, step: number): Tensor =>
    net.conv(`${name}.conv${number}`, input, outputs, 3, { stride: step, padding: 1, bias: false });
  const rest = (activated: Tensor): Tensor => conv(2, normRelu(2, conv(1, activated, stride)), 1);
  if (x.shape[1] === outputs)
    return net.add(
      `${name}.add`,
      x,
      net.branch(name, x, (input) => rest(normRelu(1, input))),
    );
  const activated = net.at({ kind: 'conv' }, () => normRelu(1, x));
  const branch = net.branch(name, activated, rest);
  return net.add(
    `${name}.add`,
    net.conv(`${name}.convShortcut`, activated, outputs, 1, { stride, bias: false }),
    branch,
  );
}

/**
 * Wide residual network (S. Zagoruyko, N. Komodakis, 2016) for CIFAR-10, without dropout; raw pixels.
 *
 * @param depth 6 n + 4: n blocks in each of the three stages
 * @param width channels of the first stage in units of 16
 */
export function wideResidual(name: string, depth: number, width: number): ModelDefinition {
  const blocks = (depth - 4) / 6;
  return {
    name,
    input: [3, 32, 32],
    classes: 10,
    build(net, images) {
      let x = net.conv('conv1', images, 16, 3, { padding: 1, bias: false });
      for (const [index, outputs] of [16 * width, 32 * width, 64 * width].entries()) {
        const stage = `block${index + 1}`;
        for (let k = 0; k < blocks; k++) {
          x = net.at({ stage, block: k, kind: 'branch' }, () =>
            block(net, `${stage}.layer.${k}`, x, outputs, index > 0 && k === 0 ? 2 : 1),
          );
        }
      }
      x = net.at({ stage: 'final', kind: 'classifier' }, () => net.relu('relu', net.batchNorm('bn1', x)));
      return net.linear('fc', net.globalAvgPool('avgpool', x), 10);
    },
    presets: { default: ['relu'] },
  };
}
