import {
  fixedStart,
  identityTransform,
  lossObjective,
  noMomentum,
  normalizedMomentum,
  plainGradient,
} from './stages.js';
import { projectOnBall, randomStart, steepestStep } from './stages.js';
import type { AttackDefinition } from './stages.js';
import { gradientSamplings, inputTransforms } from './transfer.js';
import { smoothedGradient } from './transforms.js';

/*
 * Attacks that transfer, by the names of their papers: MI-FGSM with one gradient or transform in place of the plain
 * one. Any other combination is made by --gradient, --transform and --momentum.
 */

const mi: AttackDefinition = {
  name: 'mi',
  defaultAlpha: (eps, steps) => eps / steps,
  randomStart: false,
  start: { random: randomStart, fixed: fixedStart },
  transform: identityTransform,
  objective: lossObjective,
  gradient: plainGradient,
  momentum: normalizedMomentum,
  step: steepestStep,
  projection: projectOnBall,
};

const sources: Readonly<Record<keyof typeof gradientSamplings | keyof typeof inputTransforms, string>> = {
  ni: 'J. Lin et al., "Nesterov accelerated gradient and scale invariance for adversarial attacks", ICLR 2020',
  pi: 'L. Gao et al., "Patch-wise attack for fooling deep neural network", ECCV 2020',
  vmi: 'X. Wang, K. He, "Enhancing the transferability of adversarial attacks through variance tuning", CVPR 2021',
  vni: 'X. Wang, K. He, "Enhancing the transferability of adversarial attacks through variance tuning", CVPR 2021',
  emi: 'X. Wang et al., "Boosting adversarial transferability through enhanced momentum", BMVC 2021',
  gra: 'H. Zhu et al., "Boosting adversarial transferability via gradient relevance attack", ICCV 2023',
  pgn: 'Z. Ge et al., "Boosting adversarial transferability by achieving flat local maxima", NeurIPS 2023',
  mef: 'Z. Qiu et al., "Boosting adversarial transferability via maximin expected flatness", 2024',
  mig: 'W. Ma et al., "Transferable adversarial attack via momentum integrated gradients", ICCV 2023',
  di: 'C. Xie et al., "Improving transferability of adversarial examples with input diversity", CVPR 2019',
  'di-nearest': 'C. Xie et al., "Improving transferability of adversarial examples with input diversity", CVPR 2019',
  si: 'J. Lin et al., "Nesterov accelerated gradient and scale invariance for adversarial attacks", ICLR 2020',
  admix: 'X. Wang et al., "Admix: enhancing the transferability of adversarial attacks", ICCV 2021',
  ssa: 'Y. Long et al., "Frequency domain model augmentation for adversarial attack", ECCV 2022',
  bsr: 'K. Wang et al., "Boosting adversarial transferability by block shuffle and rotation", CVPR 2024',
  sia: 'X. Wang et al., "Structure invariant transformation for better adversarial transferability", ICCV 2023',
  decowa: 'Q. Lin et al., "Boosting adversarial transferability by deformation-constrained warping", AAAI 2024',
  translate: 'Y. Dong et al., "Evading defenses by translation-invariant attacks", CVPR 2019',
};

const withGradient = (name: keyof typeof gradientSamplings): AttackDefinition => ({
  ...mi,
  name,
  source: sources[name],
  sampling: gradientSamplings[name],
});
const withTransform = (name: keyof typeof inputTransforms): AttackDefinition => ({
  ...mi,
  name,
  source: sources[name],
  transforms: [inputTransforms[name]],
});

/** By name; the golden files' names where names differ, so `sim` is the transform `si` alone. */
export const transferAttacks = {
  mi: { ...mi, source: 'Y. Dong et al., "Boosting adversarial attacks with momentum", CVPR 2018' },
  ni: withGradient('ni'),
  // without momentum, as its code has it
  pi: { ...withGradient('pi'), momentum: noMomentum },
  vmi: withGradient('vmi'),
  vni: withGradient('vni'),
  emi: withGradient('emi'),
  gra: withGradient('gra'),
  pgn: withGradient('pgn'),
  mef: withGradient('mef'),
  mig: withGradient('mig'),
  ti: { ...mi, name: 'ti', source: sources.translate, gradient: smoothedGradient },
  di: withTransform('di'),
  sim: { ...withTransform('si'), name: 'sim' },
  'si-ni': { ...withGradient('ni'), name: 'si-ni', transforms: [inputTransforms.si] },
  admix: withTransform('admix'),
  ssa: withTransform('ssa'),
  bsr: withTransform('bsr'),
  sia: withTransform('sia'),
  decowa: withTransform('decowa'),
} as const satisfies Record<string, AttackDefinition>;
