import type { Tensor } from '../../graph/types.js';
import type { ConvOptions, NetBuilder } from '../builder.js';
import type { ActivationKind } from '../../graph/rule.js';
import type { ModelDefinition } from '../definition.js';
import { withPresets } from './presets.js';

/** Expansion, channels, blocks and stride of each group (M. Sandler et al., 2018). */
const groups = [
  [1, 16, 1, 1],
  [6, 24, 2, 2],
  [6, 32, 3, 2],
  [6, 64, 4, 2],
  [6, 96, 3, 1],
  [6, 160, 3, 2],
  [6, 320, 1, 1],
] as const;

/** How a variant writes its layers: the body below is the same for all of them. */
interface Style {
  /** Convolution, its normalization if any, and ReLU6; `part` says which of a block it is. */
  readonly activated: (
    name: string,
    part: Part,
    x: Tensor,
    outputs: number,
    kernel: 1 | 3,
    options: ConvOptions,
  ) => Tensor;
  readonly projected: (name: string, expanded: boolean, x: Tensor, outputs: number) => Tensor;
  /** Path of block k, from 0. */
  readonly blockName: (index: number) => string;
  readonly strides: readonly number[];
}
type Part = 'expand' | 'depthwise' | 'depthwise only';

/** The inverted residual blocks; `stage` counts groups, `block` the blocks inside. */
function blocks(net: NetBuilder, x: Tensor, style: Style): Tensor {
  let index = 0;
  for (const [group, [expansion, outputs, count]] of groups.entries()) {
    for (let block = 0; block < count; block++) {
      const name = style.blockName(index++);
      const stride = block === 0 ? style.strides[group]! : 1;
      const input = x;
      const body = (inner: Tensor): Tensor => {
        const width = inner.shape[1]! * expansion;
        const y = expansion === 1 ? inner : style.activated(name, 'expand', inner, width, 1, {});
        const depthwise = style.activated(name, expansion === 1 ? 'depthwise only' : 'depthwise', y, width, 3, {
          stride,
          groups: width,
        });
        return style.projected(name, expansion !== 1, depthwise, outputs);
      };
      x = net.at({ stage: `stage${group + 1}`, block, kind: 'branch' }, () => {
        const residual = stride === 1 && input.shape[1] === outputs;
        return residual ? net.add(`${name}.add`, input, net.branch(name, input, body)) : body(input);
      });
    }
  }
  return x;
}

const relu6 = (net: NetBuilder, name: string, x: Tensor, kind: ActivationKind = 'relu6'): Tensor =>
  net.relu(name, x, { kind });

/** Modules of the 320-channel block and the last convolution, whose activations the theory paper's code linearizes. */
const linearized = /^features\.1[78](\.|$)/;

/**
 * torchvision's MobileNetV2; the theory paper's code only takes away two strides for 32-pixel images. `last` is what
 * its linearized activations compute.
 */
function mobilenet(name: string, pixels: 32 | 224, last: ActivationKind = 'relu6'): ModelDefinition {
  const classes = pixels === 32 ? 10 : 1000;
  return {
    name,
    input: [3, pixels, pixels],
    classes,
    build(net, images) {
      const convBnRelu = (path: string, x: Tensor, outputs: number, kernel: 1 | 3, options: ConvOptions): Tensor => {
        const y = net.conv(`${path}.0`, x, outputs, kernel, { padding: (kernel - 1) / 2, bias: false, ...options });
        return relu6(net, `${path}.2`, net.batchNorm(`${path}.1`, y), linearized.test(path) ? last : 'relu6');
      };
      const style: Style = {
        blockName: (index) => `features.${index + 1}`,
        activated: (path, part, x, outputs, kernel, options) =>
          convBnRelu(`${path}.conv.${part === 'depthwise' ? 1 : 0}`, x, outputs, kernel, options),
        projected: (path, expanded, x, outputs) => {
          const first = expanded ? 2 : 1;
          return net.batchNorm(
            `${path}.conv.${first + 1}`,
            net.conv(`${path}.conv.${first}`, x, outputs, 1, { bias: false }),
          );
        },
        strides: groups.map(([, , , stride], group) => (pixels === 32 && group === 1 ? 1 : stride)),
      };
      let x = net.at({ kind: 'stem' }, () =>
        convBnRelu('features.0', images, 32, 3, { stride: pixels === 32 ? 1 : 2 }),
      );
      x = blocks(net, x, style);
      x = net.at({ stage: 'last' }, () => convBnRelu('features.18', x, 1280, 1, {}));
      const pooled = net.dropout('classifier.0', net.globalAvgPool('avgpool', x), 0.2);
      return net.linear('classifier.1', pooled, classes);
    },
  };
}

const lastBlock = { default: ({ stage }: { stage?: string }) => stage === 'stage7' || stage === 'last' };

export const mobilenetV2 = withPresets(mobilenet('mobilenet_v2', 32), lastBlock);

/**
 * The network that the theory paper's code trains, evaluates and attacks as MobileNetV2 when LinBP is on: its
 * linearized activations add what they should take away above 6 (see {@link ActivationKind}). Weights are those of
 * `mobilenet_v2`; other rules are refused there.
 */
export const mobilenetV2Official = withPresets(mobilenet('mobilenet_v2_official', 32, 'relu6Official'), lastBlock);

export const mobilenetV2Imagenet = withPresets(mobilenet('mobilenet_v2_imagenet', 224), lastBlock);

/**
 * The TensorFlow Lite weights, batch norm folded: biases everywhere, stride-2 layers pad below and right only, pixels
 * -1..1.
 */
export const mobilenetV2Folded = withPresets(
  {
    name: 'mobilenet_v2_1.0_224',
    input: [3, 224, 224],
    classes: 1000,
    build(net, images) {
      const conv = (path: string, x: Tensor, outputs: number, kernel: 1 | 3, options: ConvOptions): Tensor => {
        const padding = kernel === 1 ? 0 : options.stride === 2 ? ([0, 0, 1, 1] as const) : 1;
        return relu6(net, `${path}.relu`, net.conv(path, x, outputs, kernel, { ...options, padding }));
      };
      const style: Style = {
        blockName: (index) => `block${index}`,
        activated: (path, part, x, outputs, kernel, options) =>
          conv(`${path}.${part === 'expand' ? 'expand' : 'depthwise'}`, x, outputs, kernel, options),
        projected: (path, _expanded, x, outputs) => net.conv(`${path}.project`, x, outputs, 1),
        strides: groups.map(([, , , stride]) => stride),
      };
      const pixels = net.preprocess(images, [2, 2, 2], [-1, -1, -1]);
      let x = net.at({ kind: 'stem' }, () => conv('stem', pixels, 32, 3, { stride: 2 }));
      x = blocks(net, x, style);
      x = net.at({ stage: 'last' }, () => conv('head', x, 1280, 1, {}));
      return net.linear('classifier', net.globalAvgPool('avgpool', x), 1000);
    },
  },
  lastBlock,
);
