import type { ModelDefinition } from '../definition.js';
import type { NetBuilder } from '../builder.js';
import type { Tensor } from '../../graph/types.js';
import { densenet } from './denseNetwork.js';

const image = { input: [3, 224, 224], classes: 1000 } as const;

/** Two hidden layers of 4096 units and the last one, with dropout in front as in torchvision; `places` are indices. */
function classifier(
  net: NetBuilder,
  x: Tensor,
  places: readonly [number, number, number],
  dropoutFirst: boolean,
): Tensor {
  const drop = (input: Tensor): Tensor => net.dropout('dropout', input, 0.5);
  return net.at({ stage: 'classifier', kind: 'classifier' }, () => {
    for (const index of places.slice(0, 2)) {
      x = net.linear(`classifier.${index}`, dropoutFirst ? drop(x) : x, 4096);
      x = net.relu(`classifier.${index + 1}`, x);
      if (!dropoutFirst) x = drop(x);
    }
    return net.linear(`classifier.${places[2]}`, x, 1000);
  });
}

/** AlexNet, the single-column form (A. Krizhevsky, 2014). */
const alexnet: ModelDefinition = {
  name: 'alexnet',
  ...image,
  build(net, images) {
    const layer = (
      index: number,
      x: Tensor,
      outputs: number,
      kernel: number,
      stride: number,
      padding: number,
    ): Tensor =>
      net.relu(`features.${index + 1}`, net.conv(`features.${index}`, x, outputs, kernel, { stride, padding }));
    const pool = (index: number, x: Tensor): Tensor => net.maxPool(`features.${index}`, x, 3, { stride: 2 });
    let x = pool(2, layer(0, images, 64, 11, 4, 2));
    x = pool(5, layer(3, x, 192, 5, 1, 2));
    x = layer(10, layer(8, layer(6, x, 384, 3, 1, 1), 256, 3, 1, 1), 256, 3, 1, 1);
    x = net.flatten(net.adaptiveAvgPool('avgpool', pool(12, x), 6));
    return classifier(net, x, [1, 4, 6], true);
  },
};

/** Convolutions of each stage of VGG by depth (K. Simonyan, A. Zisserman, 2014). */
const depths = { 11: [1, 1, 2, 2, 2], 13: [2, 2, 2, 2, 2], 16: [2, 2, 3, 3, 3], 19: [2, 2, 4, 4, 4] } as const;

function vgg(depth: keyof typeof depths, norm: boolean): ModelDefinition {
  return {
    name: `vgg${depth}${norm ? '_bn' : ''}_imagenet`,
    ...image,
    build(net, images) {
      let [x, index] = [images, 0];
      for (const [stage, count] of depths[depth].entries()) {
        for (let k = 0; k < count; k++)
          net.at({ stage: `stage${stage + 1}` }, () => {
            x = net.conv(`features.${index++}`, x, Math.min(512, 64 * 2 ** stage), 3, { padding: 1 });
            if (norm) x = net.batchNorm(`features.${index++}`, x);
            x = net.relu(`features.${index}`, x, { index: index++ });
          });
        x = net.maxPool(`features.${index++}`, x, 2);
      }
      return classifier(net, net.flatten(net.adaptiveAvgPool('avgpool', x, 7)), [0, 3, 6], false);
    },
  };
}

const dense = (depth: number, stem: number, growth: number, blocks: readonly number[]): ModelDefinition =>
  densenet(`densenet${depth}_imagenet`, { stem, growth, blocks }, 224);

const definitions = new Map(
  [
    alexnet,
    ...([11, 13, 16, 19] as const).flatMap((depth) => [vgg(depth, false), vgg(depth, true)]),
    dense(121, 64, 32, [6, 12, 24, 16]),
    dense(161, 96, 48, [6, 12, 36, 24]),
    dense(169, 64, 32, [6, 12, 32, 32]),
    dense(201, 64, 32, [6, 12, 48, 32]),
  ].map((definition) => [definition.name, definition]),
);

/** Names of further networks of torchvision at 224 pixels. */
export const torchvisionNames: readonly string[] = [...definitions.keys()];

/** One of {@link torchvisionNames}; undefined for another name. */
export const torchvisionDefinition = (name: string): ModelDefinition | undefined => definitions.get(name);
