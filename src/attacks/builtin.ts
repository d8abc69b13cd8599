import { LinbpError } from '../errors.js';
import { unknownName } from '../names.js';
import { adaptiveStep, adaptiveWindows, edgeOfBallStart } from './adaptive.js';
import {
  fixedStart,
  identityTransform,
  lossObjective,
  noMomentum,
  normalizedMomentum,
  plainGradient,
  projectOnBall,
  randomStart,
  steepestStep,
} from './stages.js';
import { cwPlan } from './carliniWagner.js';
import { constantOptions } from './constants.js';
import { deepfoolPlan } from './deepfool.js';
import { eadPlan } from './elasticNet.js';
import { estimatePlan } from './estimates.js';
import { fabPlan } from './fab.js';
import { simbaPlan } from './simba.js';
import { ddnPlan, fmnPlan } from './shrinkingBall.js';
import { squarePlan } from './square.js';
import type { AttackDefinition } from './stages.js';
import { transferAttacks } from './transferAttacks.js';
import { diverseInputs, noisyQuery, smoothedGradient } from './transforms.js';

/**
 * I-FGSM or BIM: steps of alpha along the sign of the gradient (A. Kurakin et al., "Adversarial examples in the
 * physical world", 2017).
 */
const ifgsm: AttackDefinition = {
  name: 'ifgsm',
  source: 'A. Kurakin et al., "Adversarial examples in the physical world", ICLR workshop 2017',
  defaultAlpha: (eps, steps) => eps / steps,
  randomStart: false,
  start: { random: randomStart, fixed: fixedStart },
  transform: identityTransform,
  objective: lossObjective,
  gradient: plainGradient,
  momentum: noMomentum,
  step: steepestStep,
  projection: projectOnBall,
};

/** One step of length eps (I. Goodfellow et al., "Explaining and harnessing adversarial examples", 2015). */
const fgsm: AttackDefinition = {
  ...ifgsm,
  name: 'fgsm',
  source: 'I. Goodfellow et al., "Explaining and harnessing adversarial examples", ICLR 2015',
  steps: 1,
};

/** I-FGSM with normalized momentum (Y. Dong et al., 2018). */
const mifgsm: AttackDefinition = {
  ...ifgsm,
  name: 'mifgsm',
  source: 'Y. Dong et al., "Boosting adversarial attacks with momentum", CVPR 2018',
  momentum: normalizedMomentum,
};

/**
 * Projected gradient ascent from a random point of the ball (A. Madry et al., "Towards deep learning models resistant
 * to adversarial attacks", 2018).
 */
const pgd: AttackDefinition = {
  ...ifgsm,
  name: 'pgd',
  source: 'A. Madry et al., "Towards deep learning models resistant to adversarial attacks", ICLR 2018',
  keep: 'best',
  randomStart: true,
  defaultAlpha: (eps, steps) => (2.5 * eps) / steps,
};

/**
 * Auto-PGD: momentum, and a step size of 2 eps that is halved per image where the loss stops rising (F. Croce, M.
 * Hein, "Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free attacks", 2020).
 * With `loss: 'ce'` APGD-CE, with `'dlr'` APGD-DLR.
 */
const apgd: AttackDefinition = {
  ...pgd,
  name: 'apgd',
  source: 'F. Croce, M. Hein, "Reliable evaluation of adversarial robustness", ICML 2020',
  defaultSteps: 100,
  defaultAlpha: (eps, _steps, norm) => (norm === 'l1' ? eps : 2 * eps),
  start: { random: edgeOfBallStart, fixed: fixedStart },
  windows: adaptiveWindows,
  step: adaptiveStep,
};

/** APGD on each of the losses that AutoAttack has. */
const apgdCe: AttackDefinition = { ...apgd, name: 'apgd-ce' };
const apgdDlr: AttackDefinition = { ...apgd, name: 'apgd-dlr', defaultLoss: 'dlr' };

/** APGD towards one class after another, from the second largest clean logit on; any wrong class is a success. */
const apgdT: AttackDefinition = { ...apgd, name: 'apgd-t', defaultLoss: 'dlr', rankedTargets: 9 };

/**
 * I-FGSM with gradients at points with fresh noise, which the NeurIPS paper's code calls PGD; it begins at the clean
 * image.
 */
const noisy: AttackDefinition = {
  ...ifgsm,
  name: 'noisy',
  source: 'Y. Guo et al., "Backpropagating linearly improves transferability of adversarial examples", NeurIPS 2020',
  transform: noisyQuery,
};

/** I-FGSM on randomly scaled and padded images (C. Xie et al., 2019); `mdi2fgsm` with momentum. */
const difgsm: AttackDefinition = {
  ...ifgsm,
  name: 'difgsm',
  source: 'C. Xie et al., "Improving transferability of adversarial examples with input diversity", CVPR 2019',
  transform: diverseInputs,
};
const mdi2fgsm: AttackDefinition = { ...difgsm, name: 'mdi2fgsm', momentum: normalizedMomentum };

/** MI-FGSM with smoothed gradients (Y. Dong et al., 2019). */
const tifgsm: AttackDefinition = {
  ...mifgsm,
  name: 'tifgsm',
  source: 'Y. Dong et al., "Evading defenses by translation-invariant attacks", CVPR 2019',
  gradient: smoothedGradient,
};

/** Random search with squares, forward passes only (M. Andriushchenko et al., 2020); steps are queries. */
const square: AttackDefinition = {
  ...ifgsm,
  name: 'square',
  source: 'M. Andriushchenko et al., "Square attack", ECCV 2020',
  norms: ['linf', 'l2'],
  keep: 'best',
  defaultAlpha: () => 0,
  randomStart: true,
  defaultSteps: 5000,
  plan: squarePlan,
  parameters: {
    share: { byDefault: 0.8, least: 0.001, most: 1, help: 'share of the pixels in the first windows' },
    rescaled: { byDefault: 0, least: 0, most: 1, whole: true, help: '1 fits the schedule to the number of queries' },
  },
};

/**
 * The smallest perturbation, by steps towards linearized boundaries (F. Croce, M. Hein, 2020): `fab` towards the
 * nearest one of each step, `fab-t` towards one class after another.
 */
const fab: AttackDefinition = {
  ...ifgsm,
  name: 'fab',
  source: 'F. Croce, M. Hein, "Minimally distorted adversarial examples", ICML 2020',
  keep: 'best',
  minimal: true,
  defaultAlpha: () => 0,
  randomStart: true,
  defaultSteps: 100,
  plan: fabPlan(false),
};
const fabT: AttackDefinition = {
  ...fab,
  name: 'fab-t',
  plan: fabPlan(true),
  parameters: {
    targets: { byDefault: 9, least: 1, most: 10_000, whole: true, help: 'classes that are tried as targets' },
  },
};

const estimates = (width: number): NonNullable<AttackDefinition['parameters']> => ({
  directions: { byDefault: 32, least: 1, most: 10_000, whole: true, help: 'pairs of opposite directions a step' },
  width: { byDefault: width, least: 1e-6, most: 1, help: 'how far along them, in pixels' },
});

/** Gradients estimated by pairs of forward passes. */
const spsa: AttackDefinition = {
  ...ifgsm,
  name: 'spsa',
  source: 'J. Uesato et al., "Adversarial risk and the dangers of evaluating against weak attacks", ICML 2018',
  norms: ['linf'],
  keep: 'best',
  defaultAlpha: () => 0,
  defaultSteps: 100,
  plan: estimatePlan(true),
  parameters: { ...estimates(0.01), rate: { byDefault: 0.01, least: 0, most: 10, help: 'learning rate of Adam' } },
};
const nes: AttackDefinition = {
  ...spsa,
  name: 'nes',
  source: 'A. Ilyas et al., "Black-box adversarial attacks with limited queries and information", ICML 2018',
  norms: ['linf', 'l2'],
  defaultAlpha: (eps, steps) => (2.5 * eps) / steps,
  plan: estimatePlan(false),
  parameters: estimates(0.001),
};

/** One pixel after another; steps are pixels. */
const simba: AttackDefinition = {
  ...ifgsm,
  name: 'simba',
  source: 'C. Guo et al., "Simple black-box adversarial attacks", ICML 2019',
  norms: ['l2', 'linf'],
  keep: 'best',
  defaultAlpha: () => 0,
  defaultSteps: 1000,
  plan: simbaPlan,
  parameters: { amount: { byDefault: 0.2, least: 0, most: 1, help: 'how far a pixel moves' } },
};

/** What attacks that look for the smallest perturbation have in common. */
const minimal: AttackDefinition = {
  ...ifgsm,
  name: 'minimal',
  keep: 'best',
  minimal: true,
  defaultAlpha: () => 0,
  defaultSteps: 100,
};

/** Steps to the nearest linearized boundary. */
const deepfool: AttackDefinition = {
  ...minimal,
  name: 'deepfool',
  source: 'S. Moosavi-Dezfooli et al., "DeepFool: a simple and accurate method", CVPR 2016',
  norms: ['l2', 'linf'],
  defaultSteps: 50,
  plan: deepfoolPlan,
  parameters: {
    candidates: {
      byDefault: 10,
      least: 2,
      most: 10_000,
      whole: true,
      help: 'classes that are tried, the label among them',
    },
    overshoot: { byDefault: 0.02, least: 0, most: 10, help: 'how far past the boundary, as a share of the way' },
  },
};

/** A sphere that shrinks where an image fools. */
const ddn: AttackDefinition = {
  ...minimal,
  name: 'ddn',
  source: 'J. Rony et al., "Decoupling direction and norm", CVPR 2019',
  norms: ['l2'],
  plan: ddnPlan,
  parameters: {
    gamma: { byDefault: 0.05, least: 0, most: 1, help: 'share by which the radius changes' },
    initialRadius: { byDefault: 1, least: 0, most: 1e6, help: 'radius at the first step' },
  },
};

/** The same with boundaries linearized until an image fools, in every norm. */
const fmn: AttackDefinition = {
  ...minimal,
  name: 'fmn',
  source: 'M. Pintor et al., "Fast minimum-norm adversarial attacks", NeurIPS 2021',
  plan: fmnPlan,
  parameters: {
    gamma: { byDefault: 0.05, least: 0, most: 1, help: 'share by which the radius changes at first' },
    largestStep: { byDefault: 1, least: 0, most: 1e6, help: 'step at first; a hundredth of it at last' },
  },
};

/** Adam on distance and success weighed by a constant that is bisected. */
const cw: AttackDefinition = {
  ...minimal,
  name: 'cw',
  source: 'N. Carlini, D. Wagner, "Towards evaluating the robustness of neural networks", S&P 2017',
  norms: ['l2'],
  defaultSteps: 1000,
  plan: cwPlan,
  parameters: {
    ...constantOptions(9, 0.001),
    rate: { byDefault: 0.01, least: 0, most: 10, help: 'learning rate of Adam' },
  },
};

/** The same for an elastic net, by shrinkage. */
const ead: AttackDefinition = {
  ...minimal,
  name: 'ead',
  source: 'P.-Y. Chen et al., "EAD: elastic-net attacks to deep neural networks", AAAI 2018',
  norms: ['l1'],
  defaultSteps: 1000,
  plan: eadPlan,
  parameters: {
    ...constantOptions(9, 0.001),
    firstStep: { byDefault: 0.01, least: 0, most: 10, help: 'step size at first, falling to 0' },
    regularization: {
      byDefault: 0.01,
      least: 0,
      most: 10,
      help: 'weight of the L1 norm, and threshold of the shrinkage',
    },
    byL1: {
      byDefault: 0,
      least: 0,
      most: 1,
      whole: true,
      help: '1 keeps the smallest L1 norm instead of the elastic net',
    },
  },
};

/** The attacks that come with linbp, by name. */
export const attacks = {
  fgsm,
  ifgsm,
  mifgsm,
  pgd,
  apgd,
  'apgd-ce': apgdCe,
  'apgd-dlr': apgdDlr,
  'apgd-t': apgdT,
  square,
  fab,
  'fab-t': fabT,
  cw,
  deepfool,
  ddn,
  fmn,
  ead,
  spsa,
  nes,
  simba,
  noisy,
  difgsm,
  mdi2fgsm,
  tifgsm,
  ...transferAttacks,
} as const satisfies Record<string, AttackDefinition>;

/** A built-in attack. */
export type AttackName = keyof typeof attacks;

/** Names of the attacks that come with linbp. */
export const attackNames: readonly string[] = Object.keys(attacks);

/** An attack by name. Throws `unknown-option` with the nearest names. */
export function attackDefinition(name: string): AttackDefinition {
  const found = Object.hasOwn(attacks, name) ? attacks[name as AttackName] : undefined;
  if (found !== undefined) return found;
  const message = unknownName('attack', name, { names: attackNames, command: 'linbp attack --list' });
  throw new LinbpError('unknown-option', message, { field: 'attack' });
}
