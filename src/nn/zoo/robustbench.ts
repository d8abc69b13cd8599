import type { Tensor } from '../../graph/types.js';
import type { ActivationKind } from '../../graph/rule.js';
import type { NetBuilder } from '../builder.js';
import type { ModelDefinition } from '../definition.js';
import { normalized } from '../normalize.js';
import { wideResidual } from './wideResidual.js';

/** Means and deviations that a checkpoint's network subtracts and divides by, and the keys they have in its file. */
interface Statistics {
  readonly keys: readonly [string, string];
  readonly means: readonly number[];
  readonly deviations: readonly number[];
}

const cifar10 = { means: [0.4914, 0.4822, 0.4465], deviations: [0.2471, 0.2435, 0.2616] };
const usual: Statistics = { keys: ['mu', 'sigma'], ...cifar10 };
const deepMind: Statistics = { keys: ['mean', 'std'], ...cifar10 };
const halves: Statistics = { keys: ['mu', 'sigma'], means: [0.5, 0.5, 0.5], deviations: [0.5, 0.5, 0.5] };
const threeDigits: Statistics = { ...usual, means: [0.491, 0.482, 0.447], deviations: [0.247, 0.243, 0.262] };
const exactly: Statistics = {
  keys: ['mu', 'sigma'],
  means: [0.4913997551666284, 0.48215855929893703, 0.4465309133731618],
  deviations: [0.24703225141799082, 0.24348516474564, 0.26158783926049628],
};

/** A network with its statistics in front, which a file may hold as entries of their own. */
function withStatistics(definition: ModelDefinition, statistics: Statistics | undefined): ModelDefinition {
  // Parts that some training codes register and their forward passes do not use.
  const besides: Record<string, readonly number[] | null> = { 'sub_block1.': null, 'model_preact_hl1.': null };
  if (statistics === undefined) return { ...definition, besides };
  const { keys, means, deviations } = statistics;
  return {
    ...normalized(definition, { means, deviations }),
    besides: { ...besides, [keys[0]]: means, [keys[1]]: deviations },
  };
}

const image = { input: [3, 32, 32], classes: 10 } as const;

/** TensorFlow's "same" padding of a 3x3 convolution: nothing above and left where the stride is 2. */
const samePadding = (stride: number) => (stride === 2 ? ([0, 0, 1, 1] as const) : 1);

/**
 * The wide residual network of DeepMind's robust checkpoints (S. Gowal et al., 2020): stride-2 convolutions pad below
 * and right, and a block of another width begins its shortcut behind the first activation.
 */
export function deepMindWide(name: string, depth: number, width: number, kind: ActivationKind): ModelDefinition {
  const blocks = (depth - 4) / 6;
  function block(net: NetBuilder, path: string, x: Tensor, outputs: number, stride: number): Tensor {
    const activated = (number: number, input: Tensor): Tensor =>
      net.activation(`${path}.relu_${number}`, net.batchNorm(`${path}.batchnorm_${number}`, input), kind);
    const rest = (input: Tensor): Tensor => {
      const options = { stride, padding: samePadding(stride), bias: false };
      const y = activated(1, net.conv(`${path}.conv_0`, input, outputs, 3, options));
      return net.conv(`${path}.conv_1`, y, outputs, 3, { padding: 1, bias: false });
    };
    if (x.shape[1] === outputs)
      return net.add(
        `${path}.add`,
        x,
        net.branch(path, x, (input) => rest(activated(0, input))),
      );
    const first = net.at({ kind: 'conv' }, () => activated(0, x));
    const shortcut = net.conv(`${path}.shortcut`, first, outputs, 1, { stride, bias: false });
    return net.add(`${path}.add`, shortcut, net.branch(path, first, rest));
  }
  return {
    name,
    ...image,
    build(net, images) {
      let x = net.conv('init_conv', images, 16, 3, { padding: 1, bias: false });
      for (const [stage, outputs] of [16 * width, 32 * width, 64 * width].entries())
        for (let k = 0; k < blocks; k++)
          x = net.at({ stage: `block${stage + 1}`, block: k, kind: 'branch' }, () =>
            block(net, `layer.${stage}.block.${k}`, x, outputs, stage > 0 && k === 0 ? 2 : 1),
          );
      const last = net.batchNorm('batchnorm', x);
      x = net.at({ stage: 'final', kind: 'classifier' }, () => net.activation('relu', last, kind));
      return net.linear('logits', net.globalAvgPool('avgpool', x), 10);
    },
  };
}

/** How a variant of the pre-activation network is put together. */
interface PreActivation {
  /** Module path of a stage, from 0; its block's layers, the first one numbered 1. */
  readonly stage: (index: number) => string;
  readonly conv: (number: number) => string;
  readonly norm: (number: number) => string;
  readonly stem: string;
  readonly head: string;
  /** The batch norm and activation in front of the classifier, where there is one. */
  readonly lastNorm: string | undefined;
  readonly kind: ActivationKind;
  /**
   * The shortcut's convolution: its path in the block, and whether it reads the first activation or the block's input.
   */
  readonly shortcut: { readonly path: string; readonly kernel: 1 | 3; readonly activated: boolean };
  /** Stride-2 convolutions pad below and right only. */
  readonly same: boolean;
}

/** Pre-activation ResNet-18 for 32 x 32 pixels (K. He et al., 2016), without pooling behind the stem. */
export function preActivation(name: string, widths: readonly number[], variant: PreActivation): ModelDefinition {
  const { kind, same, shortcut } = variant;
  const conv3 = (stride: number) => ({ stride, padding: same ? samePadding(stride) : 1, bias: false });
  function block(net: NetBuilder, path: string, x: Tensor, outputs: number, stride: number): Tensor {
    const activated = (number: number, input: Tensor): Tensor =>
      net.activation(`${path}.relu${number}`, net.batchNorm(`${path}.${variant.norm(number)}`, input), kind);
    const rest = (input: Tensor): Tensor => {
      const y = activated(2, net.conv(`${path}.${variant.conv(1)}`, input, outputs, 3, conv3(stride)));
      return net.conv(`${path}.${variant.conv(2)}`, y, outputs, 3, { padding: 1, bias: false });
    };
    const whole = (input: Tensor): Tensor => rest(activated(1, input));
    if (stride === 1 && x.shape[1] === outputs) return net.add(`${path}.add`, x, net.branch(path, x, whole));
    const options = shortcut.kernel === 1 ? { stride, bias: false } : conv3(stride);
    const projected = (input: Tensor): Tensor =>
      net.conv(`${path}.${shortcut.path}`, input, outputs, shortcut.kernel, options);
    if (!shortcut.activated) return net.add(`${path}.add`, net.branch(path, x, whole), projected(x));
    const first = net.at({ kind: 'conv' }, () => activated(1, x));
    return net.add(`${path}.add`, net.branch(path, first, rest), projected(first));
  }
  return {
    name,
    ...image,
    build(net, images) {
      let x = net.conv(variant.stem, images, widths[0]!, 3, { padding: 1, bias: false });
      for (const [index, outputs] of widths.entries())
        for (const k of [0, 1])
          x = net.at({ stage: `layer${index + 1}`, block: k, kind: 'branch' }, () =>
            block(net, `${variant.stage(index)}.${k}`, x, outputs, index > 0 && k === 0 ? 2 : 1),
          );
      const { lastNorm } = variant;
      if (lastNorm !== undefined)
        x = net.at({ stage: 'final', kind: 'classifier' }, () =>
          net.activation('relu', net.batchNorm(lastNorm, x), kind),
        );
      return net.linear(variant.head, net.globalAvgPool('avgpool', x), 10);
    },
  };
}

/** The common form; `second`: the shortcut reads the first activation. */
export const commonForm = (second: boolean, lastNorm: boolean): PreActivation => ({
  stage: (index) => `layer${index + 1}`,
  conv: (number) => `conv${number}`,
  norm: (number) => `bn${number}`,
  stem: 'conv1',
  head: 'linear',
  lastNorm: lastNorm ? 'bn' : undefined,
  kind: 'relu',
  shortcut: { path: 'shortcut.0', kernel: 1, activated: second },
  same: false,
});

/** DeepMind's form (S.-A. Rebuffi et al., 2021): 3x3 shortcuts of the raw input. */
export const deepMindForm = (kind: ActivationKind): PreActivation => ({
  stage: (index) => `layer_${index}`,
  conv: (number) => `conv_2d_${number}`,
  norm: (number) => `batchnorm_${number - 1}`,
  stem: 'conv_2d',
  head: 'logits',
  lastNorm: 'batchnorm',
  kind,
  shortcut: { path: 'shortcut', kernel: 3, activated: false },
  same: true,
});

const stageWidths = [64, 128, 256, 512];

type Maker = (name: string) => ModelDefinition;
const wide =
  (depth: number, width: number, statistics?: Statistics): Maker =>
  (name) =>
    withStatistics(wideResidual(name, depth, width), statistics);
const swish =
  (depth: number, width: number): Maker =>
  (name) =>
    withStatistics(deepMindWide(name, depth, width, 'silu'), deepMind);
const preAct =
  (second: boolean, lastNorm: boolean, statistics?: Statistics): Maker =>
  (name) =>
    withStatistics(preActivation(name, stageWidths, commonForm(second, lastNorm)), statistics);
const swishPreAct: Maker = (name) => withStatistics(preActivation(name, stageWidths, deepMindForm('silu')), deepMind);

/**
 * RobustBench's CIFAR-10 checkpoints of these architectures by their name there (F. Croce et al., 2020); those against
 * l2 and corruptions carry that in their name here, since RobustBench uses some names twice.
 */
const makers: Readonly<Record<string, Maker>> = {
  Standard: wide(28, 10),
  Carmon2019Unlabeled: wide(28, 10),
  Sehwag2020Hydra: wide(28, 10),
  Wang2020Improving: wide(28, 10),
  Hendrycks2019Using: wide(28, 10, halves),
  Wu2020Adversarial_extra: wide(28, 10),
  Zhang2020Geometry: wide(28, 10),
  Sridhar2021Robust: wide(28, 10),
  Zhang2019Theoretically: wide(34, 10),
  Huang2020Self: wide(34, 10),
  Zhang2019You: wide(34, 10),
  Zhang2020Attacks: wide(34, 10),
  Wu2020Adversarial: wide(34, 10),
  Sehwag2021Proxy: wide(34, 10),
  Sitawarin2020Improving: wide(34, 10),
  Chen2020Efficient: wide(34, 10, usual),
  Cui2020Learnable_34_10: wide(34, 10),
  Addepalli2021Towards_WRN34: wide(34, 10),
  Chen2021LTD_WRN34_10: wide(34, 10),
  'Jia2022LAS-AT_34_10': wide(34, 10),
  Addepalli2022Efficient_WRN_34_10: wide(34, 10),
  Sridhar2021Robust_34_15: wide(34, 15),
  Rice2020Overfitting: wide(34, 20, usual),
  Cui2020Learnable_34_20: wide(34, 20),
  Chen2021LTD_WRN34_20: wide(34, 20),
  'Jia2022LAS-AT_70_16': wide(70, 16),
  Gowal2020Uncovering_28_10_extra: swish(28, 10),
  Rebuffi2021Fixing_28_10_cutmix_ddpm: swish(28, 10),
  Rade2021Helper_ddpm: swish(28, 10),
  Gowal2021Improving_28_10_ddpm_100m: swish(28, 10),
  Pang2022Robustness_WRN28_10: swish(28, 10),
  'Wang2023Better_WRN-28-10': swish(28, 10),
  'Xu2023Exploring_WRN-28-10': swish(28, 10),
  Rade2021Helper_extra: swish(34, 10),
  Gowal2020Uncovering_34_20: swish(34, 20),
  Gowal2020Uncovering_70_16: swish(70, 16),
  Gowal2020Uncovering_70_16_extra: swish(70, 16),
  Rebuffi2021Fixing_70_16_cutmix_ddpm: swish(70, 16),
  Rebuffi2021Fixing_70_16_cutmix_extra: swish(70, 16),
  Rebuffi2021Fixing_106_16_cutmix_ddpm: swish(106, 16),
  Gowal2021Improving_70_16_ddpm_100m: swish(70, 16),
  Pang2022Robustness_WRN70_16: swish(70, 16),
  'Wang2023Better_WRN-70-16': swish(70, 16),
  Andriushchenko2020Understanding: preAct(false, false),
  Wong2020Fast: preAct(false, false, usual),
  Rebuffi2021Fixing_R18_ddpm: swishPreAct,
  Rade2021Helper_R18_extra: swishPreAct,
  Rade2021Helper_R18_ddpm: swishPreAct,
  Gowal2021Improving_R18_ddpm_100m: swishPreAct,
  Rice2020Overfitting_L2: preAct(true, true, usual),
  Rony2019Decoupling_L2: wide(28, 10, threeDigits),
  Wu2020Adversarial_L2: wide(34, 10),
  Sehwag2021Proxy_L2: wide(34, 10),
  Augustin2020Adversarial_34_10_L2: wide(34, 10, exactly),
  Augustin2020Adversarial_34_10_extra_L2: wide(34, 10, exactly),
  Gowal2020Uncovering_L2: swish(70, 16),
  Gowal2020Uncovering_extra_L2: swish(70, 16),
  Rebuffi2021Fixing_28_10_cutmix_ddpm_L2: swish(28, 10),
  Rebuffi2021Fixing_70_16_cutmix_ddpm_L2: swish(70, 16),
  Rebuffi2021Fixing_70_16_cutmix_extra_L2: swish(70, 16),
  Rebuffi2021Fixing_R18_cutmix_ddpm_L2: swishPreAct,
  Rade2021Helper_R18_ddpm_L2: swishPreAct,
  'Wang2023Better_WRN-28-10_L2': swish(28, 10),
  'Wang2023Better_WRN-70-16_L2': swish(70, 16),
  Hendrycks2020AugMix_WRN_corruptions: wide(40, 2, halves),
  Kireev2021Effectiveness_Gauss50percent_corruptions: preAct(true, true, usual),
  Kireev2021Effectiveness_AugMixNoJSD_corruptions: preAct(true, true, usual),
  Kireev2021Effectiveness_RLAT_corruptions: preAct(true, true, usual),
  Kireev2021Effectiveness_RLATAugMixNoJSD_corruptions: preAct(true, true, usual),
  Kireev2021Effectiveness_RLATAugMix_corruptions: preAct(true, true, usual),
};

/** Names of RobustBench's checkpoints whose architectures linbp has. */
export const robustbenchNames: readonly string[] = Object.keys(makers);

const made = new Map<string, ModelDefinition>();

/** The network of a checkpoint of RobustBench; undefined for a name that is none of {@link robustbenchNames}. */
export function robustbenchDefinition(name: string): ModelDefinition | undefined {
  if (!Object.hasOwn(makers, name)) return undefined;
  let definition = made.get(name);
  if (definition === undefined) made.set(name, (definition = makers[name]!(name)));
  return definition;
}
