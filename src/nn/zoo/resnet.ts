import type { Tensor } from '../../graph/types.js';
import type { NetBuilder } from '../builder.js';
import type { ModelDefinition } from '../definition.js';
import { withPresets } from './presets.js';

/** A residual block's branch up to the addition: the last batch norm's result. */
type BranchBody = (net: NetBuilder, name: string, x: Tensor, width: number, stride: number) => Tensor;

const convBn = (
  net: NetBuilder,
  name: string,
  number: number,
  x: Tensor,
  outputs: number,
  kernel: 1 | 3,
  stride = 1,
): Tensor =>
  net.batchNorm(
    `${name}.bn${number}`,
    net.conv(`${name}.conv${number}`, x, outputs, kernel, { stride, padding: kernel === 3 ? 1 : 0, bias: false }),
  );

const basic: BranchBody = (net, name, x, width, stride) => {
  const y = net.relu(`${name}.relu1`, convBn(net, name, 1, x, width, 3, stride));
  return convBn(net, name, 2, y, width, 3);
};

const bottleneck: BranchBody = (net, name, x, width, stride) => {
  let y = net.relu(`${name}.relu1`, convBn(net, name, 1, x, width, 1));
  y = net.relu(`${name}.relu2`, convBn(net, name, 2, y, width, 3, stride));
  return convBn(net, name, 3, y, 4 * width, 1);
};

/** What brings the input to the branch's shape. */
type Shortcut = (net: NetBuilder, name: string, x: Tensor, outputs: number, stride: number) => Tensor;

/** Option B: a 1x1 convolution with batch norm. */
const projection: Shortcut = (net, name, x, outputs, stride) =>
  net.batchNorm(`${name}.downsample.1`, net.conv(`${name}.downsample.0`, x, outputs, 1, { stride, bias: false }));

/** Option A: no weights. */
const zeroPadding: Shortcut = (net, name, x, outputs, stride) =>
  net.zeroPadShortcut(`${name}.shortcut`, x, outputs, stride);

interface Kind {
  readonly branch: BranchBody;
  readonly shortcut: Shortcut;
  /** Channels out of a block per channel of its width. */
  readonly expansion: number;
}

const kinds = {
  basic: { branch: basic, shortcut: projection, expansion: 1 },
  bottleneck: { branch: bottleneck, shortcut: projection, expansion: 4 },
  optionA: { branch: basic, shortcut: zeroPadding, expansion: 1 },
} satisfies Record<string, Kind>;

/** `layer1` ... of residual blocks; every stage but the first halves the image. */
function stages(net: NetBuilder, x: Tensor, kind: Kind, blocks: readonly number[], width: number): Tensor {
  for (const [stage, count] of blocks.entries()) {
    for (let block = 0; block < count; block++) {
      const name = `layer${stage + 1}.${block}`;
      const stride = stage > 0 && block === 0 ? 2 : 1;
      const outputs = width * 2 ** stage * kind.expansion;
      x = net.at({ stage: `layer${stage + 1}`, block, kind: 'branch' }, () => {
        const branch = net.branch(name, x, (input) => kind.branch(net, name, input, width * 2 ** stage, stride));
        const shortcut = stride === 1 && x.shape[1] === outputs ? x : kind.shortcut(net, name, x, outputs, stride);
        const last = kind.branch === bottleneck ? 3 : 2;
        return net.at({ kind: 'post-addition' }, () =>
          net.relu(`${name}.relu${last}`, net.add(`${name}.add`, branch, shortcut)),
        );
      });
    }
  }
  return x;
}

const stem = (net: NetBuilder, x: Tensor, outputs: number, kernel: number, stride: number): Tensor => {
  const y = net.batchNorm(
    'bn1',
    net.conv('conv1', x, outputs, kernel, { stride, padding: (kernel - 1) / 2, bias: false }),
  );
  return net.at({ kind: 'stem' }, () => net.relu('relu', y));
};

/**
 * torchvision's residual networks (K. He et al., 2015); with 32-pixel images a 3x3 stem without stride, the max-pool
 * kept.
 */
function resnet(name: string, kind: Kind, blocks: readonly number[], pixels: 32 | 224): ModelDefinition {
  const classes = pixels === 32 ? 10 : 1000;
  return {
    name,
    input: [3, pixels, pixels],
    classes,
    build(net, images) {
      let x = pixels === 32 ? stem(net, images, 64, 3, 1) : stem(net, images, 64, 7, 2);
      x = net.maxPool('maxpool', x, 3, { stride: 2, padding: 1 });
      x = stages(net, x, kind, blocks, 64);
      return net.linear('fc', net.globalAvgPool('avgpool', x), classes);
    },
  };
}

interface Place {
  readonly stage?: string;
  readonly block?: number;
}

/** From the second block of the third stage on, "3_1". */
const fromThird = ({ stage, block = 0 }: Place): boolean => stage === 'layer4' || (stage === 'layer3' && block >= 1);

/** The theory paper linearizes the last stage; BPA replaces all ReLUs of the blocks from "3_1" on. */
const lastStage = { default: ({ stage }: Place) => stage === 'layer4', bpa: fromThird };

export const resnet18 = withPresets(resnet('resnet18', kinds.basic, [2, 2, 2, 2], 32), lastStage);
export const resnet34 = withPresets(resnet('resnet34', kinds.basic, [3, 4, 6, 3], 32), lastStage);
export const resnet50 = withPresets(resnet('resnet50', kinds.bottleneck, [3, 4, 6, 3], 32), lastStage);
export const resnet18Imagenet = withPresets(resnet('resnet18_imagenet', kinds.basic, [2, 2, 2, 2], 224), lastStage);
export const resnet34Imagenet = withPresets(resnet('resnet34_imagenet', kinds.basic, [3, 4, 6, 3], 224), lastStage);

/** The NeurIPS paper's choice for its ResNet-50, "3_1": ReLUs inside branches only. */
export const resnet50Imagenet = withPresets(resnet('resnet50_imagenet', kinds.bottleneck, [3, 4, 6, 3], 224), {
  default: (place) => place.kind === 'branch' && fromThird(place),
  bpa: fromThird,
});

const imagenetMean = [0.485, 0.456, 0.406];
const imagenetDeviation = [0.229, 0.224, 0.225];

/** CIFAR-10 ResNets of the original paper, with shortcuts of option A; the weights expect ImageNet's normalization. */
function cifarResnet(depth: number): ModelDefinition {
  const blocks = (depth - 2) / 6;
  return {
    name: `resnet${depth}`,
    input: [3, 32, 32],
    classes: 10,
    build(net, images) {
      const pixels = net.preprocess(
        images,
        imagenetDeviation.map((deviation) => 1 / deviation),
        imagenetMean.map((mean, channel) => -mean / imagenetDeviation[channel]!),
      );
      const x = stages(net, stem(net, pixels, 16, 3, 1), kinds.optionA, [blocks, blocks, blocks], 16);
      return net.linear('linear', net.globalAvgPool('avgpool', x), 10);
    },
  };
}

export const resnet20 = cifarResnet(20);
export const resnet32 = cifarResnet(32);
export const resnet44 = cifarResnet(44);
export const resnet56 = cifarResnet(56);
