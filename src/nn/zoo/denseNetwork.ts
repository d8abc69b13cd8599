import type { Tensor } from '../../graph/types.js';
import type { ModelDefinition } from '../definition.js';

/** Widths of a DenseNet-BC. */
export interface Size {
  readonly stem: number;
  readonly growth: number;
  readonly blocks: readonly number[];
}

/**
 * torchvision's DenseNet-BC (G. Huang et al., 2016); with a 3x3 stem without stride for 32-pixel images, the max-pool
 * kept.
 */
export function densenet(name: string, { stem, growth, blocks }: Size, pixels: 32 | 224 = 32): ModelDefinition {
  const classes = pixels === 32 ? 10 : 1000;
  return {
    name,
    input: [3, pixels, pixels],
    classes,
    build(net, images) {
      const [kernel, stride, padding] = pixels === 32 ? [3, 1, 1] : [7, 2, 3];
      const first = net.conv('features.conv0', images, stem, kernel, { stride, padding, bias: false });
      let x = net.batchNorm('features.norm0', first);
      x = net.at({ kind: 'stem' }, () => net.relu('features.relu0', x));
      x = net.maxPool('features.pool0', x, 3, { stride: 2, padding: 1 });
      for (const [index, layers] of blocks.entries()) {
        const stage = `denseblock${index + 1}`;
        for (let block = 0; block < layers; block++) {
          const layer = `features.${stage}.denselayer${block + 1}`;
          const body = (input: Tensor): Tensor => {
            let y = net.relu(`${layer}.relu1`, net.batchNorm(`${layer}.norm1`, input));
            y = net.conv(`${layer}.conv1`, y, 4 * growth, 1, { bias: false });
            y = net.relu(`${layer}.relu2`, net.batchNorm(`${layer}.norm2`, y));
            return net.conv(`${layer}.conv2`, y, growth, 3, { padding: 1, bias: false });
          };
          const added = net.at({ stage, block, kind: 'branch' }, () => net.branch(layer, x, body));
          x = net.concat(`${layer}.concat`, [x, added]);
        }
        if (index === blocks.length - 1) continue;
        const transition = `transition${index + 1}`;
        const at = `features.${transition}`;
        x = net.at({ stage: transition }, () => net.relu(`${at}.relu`, net.batchNorm(`${at}.norm`, x)));
        x = net.avgPool(`${at}.pool`, net.conv(`${at}.conv`, x, x.shape[1]! / 2, 1, { bias: false }), 2);
      }
      x = net.batchNorm('features.norm5', x);
      x = net.at({ stage: 'final', kind: 'classifier' }, () => net.relu('features.relu5', x));
      return net.linear('classifier', net.globalAvgPool('avgpool', x), classes);
    },
  };
}
