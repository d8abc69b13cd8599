import { LinbpError } from '../../errors.js';
import { unknownName } from '../../names.js';
import type { StageOptions } from './spec.js';

/** Options of a paper's experiment. What the user gives besides wins. */
export interface Preset {
  /** Where the numbers are from. */
  readonly source: string;
  readonly options: Readonly<{
    attack: string;
    rule?: readonly string[];
    norm?: 'linf' | 'l2' | 'l1';
    eps: readonly number[];
    alpha?: number;
    steps?: number;
    decay?: number;
    version?: 'standard';
  }> &
    StageOptions;
}

const transfer = { eps: [16 / 255], alpha: 1.6 / 255, steps: 10, decay: 1 } as const;

/**
 * Presets by name. Networks of other papers are another matter: `--model` and `--weights` say which one is attacked.
 */
export const presets: Readonly<Record<string, Preset>> = {
  'madry-mnist': {
    source: 'A. Madry et al., 2018: MNIST',
    options: { attack: 'pgd', eps: [0.3], alpha: 0.01, steps: 40 },
  },
  'madry-cifar10': {
    source: 'A. Madry et al., 2018: CIFAR-10',
    options: { attack: 'pgd', eps: [8 / 255], alpha: 2 / 255, steps: 20 },
  },
  'mi-fgsm': { source: 'Y. Dong et al., 2018', options: { attack: 'mifgsm', ...transfer } },
  'ni-fgsm': { source: 'J. Lin et al., 2020', options: { attack: 'mifgsm', gradient: 'ni', ...transfer } },
  'si-ni-fgsm': {
    source: 'J. Lin et al., 2020',
    options: { attack: 'mifgsm', gradient: 'ni', transform: 'si', ...transfer },
  },
  'di-fgsm': {
    source: 'C. Xie et al., 2019, with momentum',
    options: { attack: 'mifgsm', transform: 'di', ...transfer },
  },
  'ti-fgsm': { source: 'Y. Dong et al., 2019', options: { attack: 'mifgsm', transform: 'ti', ...transfer } },
  'vmi-fgsm': { source: 'X. Wang, K. He, 2021', options: { attack: 'mifgsm', gradient: 'vmi', ...transfer } },
  'vni-fgsm': { source: 'X. Wang, K. He, 2021', options: { attack: 'mifgsm', gradient: 'vni', ...transfer } },
  'emi-fgsm': { source: 'X. Wang et al., 2021', options: { attack: 'mifgsm', gradient: 'emi', ...transfer } },
  gra: { source: 'H. Zhu et al., 2023', options: { attack: 'mifgsm', gradient: 'gra', ...transfer } },
  pgn: { source: 'Z. Ge et al., 2023', options: { attack: 'mifgsm', gradient: 'pgn', ...transfer } },
  sgm: {
    source: 'D. Wu et al., 2020',
    options: { attack: 'ifgsm', rule: ['sgm:gamma=0.2'], eps: [16 / 255], alpha: 2 / 255, steps: 10 },
  },
  'linbp-cifar10': {
    source: 'Y. Guo, Q. Li, H. Chen, 2020: CIFAR-10',
    options: { attack: 'ifgsm', rule: ['linbp'], eps: [0.03], alpha: 1 / 255, steps: 100 },
  },
  'linbp-imagenet': {
    source: 'Y. Guo, Q. Li, H. Chen, 2020: ImageNet',
    options: { attack: 'ifgsm', rule: ['linbp'], eps: [0.03], alpha: 1 / 255, steps: 300 },
  },
  bpa: {
    source: 'X. Wang et al., 2023: backward propagation attack',
    options: { attack: 'mifgsm', rule: ['bpa'], eps: [8 / 255], alpha: 1.6 / 255, steps: 10, decay: 1 },
  },
  'ta-bench': {
    source: 'Q. Li et al., 2023: TA-Bench',
    options: { attack: 'ifgsm', eps: [8 / 255], alpha: 1 / 255, steps: 100 },
  },
  'robustbench-linf': {
    source: 'F. Croce et al., 2021: CIFAR-10, Linf',
    options: { attack: 'autoattack', version: 'standard', norm: 'linf', eps: [8 / 255] },
  },
  'robustbench-l2': {
    source: 'F. Croce et al., 2021: CIFAR-10, L2',
    options: { attack: 'autoattack', version: 'standard', norm: 'l2', eps: [0.5] },
  },
  'robustbench-imagenet': {
    source: 'F. Croce et al., 2021: ImageNet, Linf',
    options: { attack: 'autoattack', version: 'standard', norm: 'linf', eps: [4 / 255] },
  },
  'autoattack-mnist': {
    source: 'F. Croce, M. Hein, 2020: MNIST, Linf',
    options: { attack: 'autoattack', version: 'standard', norm: 'linf', eps: [0.3] },
  },
};

/** A preset by name. Throws `unknown-option` with the nearest name. */
export function presetNamed(name: string): Preset {
  const found = Object.hasOwn(presets, name) ? presets[name] : undefined;
  if (found !== undefined) return found;
  const message = unknownName('preset', name, { names: Object.keys(presets), command: 'linbp attack --help' });
  throw new LinbpError('unknown-option', message, { field: 'preset' });
}
