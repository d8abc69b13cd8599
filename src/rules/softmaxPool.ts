import { check } from '../errors.js';
import type { MaxPoolBackward } from '../graph/backward.js';

/**
 * BPA's backward of max pooling (X. Wang, K. Tong, K. He, "Rethinking the backward propagation for adversarial
 * transferability", NeurIPS 2023): each window spreads its gradient over its pixels x_i by the weights
 * exp(tau x_i) / sum_j exp(tau x_j), padded zeros included, instead of giving it to the largest.
 *
 * @param tau inverse temperature, above 0; unless given 10 where windows overlap and 1 where they do not, as in the
 * paper's ResNet and VGG
 * @throws LinbpError `bad-range`
 */
export function softmaxPool(tau?: number): MaxPoolBackward {
  check(
    tau === undefined || (Number.isFinite(Math.fround(tau)) && Math.fround(tau) > 0),
    'bad-range',
    `bpa: tau must be a positive number, got ${tau}`,
    'tau',
  );
  return {
    name: 'softmax-pool',
    emit(graph, node, g) {
      const { kernel, stride } = node.attrs;
      const overlapping = kernel[0] > stride[0] || kernel[1] > stride[1];
      const x = node.inputs[0]!;
      const attrs = { ...node.attrs, inputShape: x.shape, tau: tau ?? (overlapping ? 10 : 1) };
      return graph.one('maxPool2dSoftmaxBackward', [g, x], attrs);
    },
  };
}
