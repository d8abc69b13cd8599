import type { Tensor } from '../../graph/types.js';
import type { NetBuilder } from '../builder.js';
import type { ModelDefinition } from '../definition.js';
import { withPresets } from './presets.js';

/** Channels of the convolutions of each stage; a 2x2 max-pool follows each stage (K. Simonyan, A. Zisserman, 2014). */
const tables = {
  vgg16: [
    [64, 64],
    [128, 128],
    [256, 256, 256],
    [512, 512, 512],
    [512, 512, 512],
  ],
  vgg19: [
    [64, 64],
    [128, 128],
    [256, 256, 256, 256],
    [512, 512, 512, 512],
    [512, 512, 512, 512],
  ],
};

/** The sequential module `features`: ReLUs carry their index in it. Returns the number of its modules, too. */
function features(net: NetBuilder, x: Tensor, table: readonly (readonly number[])[]): { x: Tensor; modules: number } {
  let index = 0;
  for (const [stage, widths] of table.entries()) {
    net.at({ stage: `stage${stage + 1}` }, () => {
      for (const width of widths) {
        x = net.batchNorm(`features.${index + 1}`, net.conv(`features.${index}`, x, width, 3, { padding: 1 }));
        x = net.relu(`features.${index + 2}`, x, { index: index + 2 });
        index += 3;
      }
    });
    x = net.maxPool(`features.${index++}`, x, 2);
  }
  return { x, modules: index };
}

/**
 * VGG-16 with batch norm as the theory paper's code has it for CIFAR-10: a head of 4096 units, its 7x7 input
 * replicated from one pixel.
 */
export const vgg16bn: ModelDefinition = withPresets(
  {
    name: 'vgg16_bn',
    input: [3, 32, 32],
    classes: 10,
    build(net, images) {
      const { x, modules } = features(net, images, tables.vgg16);
      let y = net.flatten(net.adaptiveAvgPool('avgpool', x, 7));
      return net.at({ stage: 'classifier', kind: 'classifier' }, () => {
        for (const index of [0, 3]) {
          y = net.linear(`classifier.${index}`, y, 4096);
          y = net.relu(`classifier.${index + 1}`, y, { index: modules + index + 1 });
          y = net.dropout(`classifier.${index + 2}`, y, 0.5);
        }
        return net.linear('classifier.6', y, 10);
      });
    },
  },
  { default: ({ stage }) => stage === 'stage5' || stage === 'classifier' },
);

/**
 * VGG-19 with batch norm and a single linear layer, the CIFAR-10 network of the NeurIPS paper, which linearizes from
 * index 23 on; BPA replaces the last two ReLUs.
 */
export const vgg19bn: ModelDefinition = withPresets(
  {
    name: 'vgg19_bn_nips',
    input: [3, 32, 32],
    classes: 10,
    build(net, images) {
      const { x } = features(net, images, tables.vgg19);
      return net.linear('classifier', net.flatten(x), 10);
    },
  },
  { default: ({ index }) => index >= 23, bpa: ({ index }) => index >= 48 },
);
