import { check } from '../errors.js';

/** The learning rate of each epoch. A custom schedule is an object of this type. */
export interface Schedule {
  /** Such as `cosine`; part of the settings that a checkpoint must agree with. */
  readonly name: string;
  /** Its settings by name, for reports and checkpoints. */
  readonly settings: Readonly<Record<string, number>>;
  /** Learning rate of an epoch, counted from 0, given the optimizer's own rate. */
  rate(lr: number, epoch: number): number;
}

/** The optimizer's learning rate in every epoch. */
export function constant(): Schedule {
  return { name: 'constant', settings: {}, rate: (lr) => lr };
}

/**
 * lr gamma^epoch (PyTorch's `ExponentialLR`).
 *
 * @param gamma factor per epoch, above 0 and at most 1; the theory paper's LeNet-5 uses 0.98
 * @throws LinbpError `bad-range`
 */
export function exponential(gamma = 0.98): Schedule {
  check(gamma > 0 && gamma <= 1, 'bad-range', `gamma must be above 0 and at most 1, got ${gamma}`, 'gamma');
  return { name: 'exponential', settings: { gamma }, rate: (lr, epoch) => lr * gamma ** epoch };
}

/**
 * Cosine annealing to 0 (PyTorch's `CosineAnnealingLR` in closed form; I. Loshchilov, F. Hutter, "SGDR", ICLR 2017):
 * lr (1 + cos(pi epoch / maxEpochs)) / 2.
 *
 * @param maxEpochs T_max, the epoch at which the rate reaches 0; at least 1. Training for fewer epochs covers a part
 * of the curve.
 * @throws LinbpError `bad-range`
 */
export function cosine(maxEpochs: number): Schedule {
  check(
    Number.isInteger(maxEpochs) && maxEpochs >= 1,
    'bad-range',
    `maxEpochs must be a whole number of at least 1, got ${maxEpochs}`,
    'maxEpochs',
  );
  return {
    name: 'cosine',
    settings: { maxEpochs },
    rate: (lr, epoch) => (lr * (1 + Math.cos((Math.PI * epoch) / maxEpochs))) / 2,
  };
}

/**
 * Another schedule after a linear warm-up: each of the first epochs has a share of the
 * schedule's rate, 1 / (epochs + 1) in the first and growing by as much in each (P. Goyal et al., "Accurate, large
 * minibatch SGD", 2017). A cosine of `maxEpochs` still ends with epoch `maxEpochs`.
 *
 * @param epochs length of the warm-up, a whole number from 1
 * @throws LinbpError `bad-range`
 */
export function warmup(schedule: Schedule, epochs: number): Schedule {
  check(
    Number.isInteger(epochs) && epochs >= 1,
    'bad-range',
    `warmup must be a whole number of epochs from 1, got ${epochs}`,
    'warmup',
  );
  return {
    name: `warmup ${schedule.name}`,
    settings: { ...schedule.settings, warmup: epochs },
    rate: (lr, epoch) => schedule.rate(lr, epoch) * Math.min(1, (epoch + 1) / (epochs + 1)),
  };
}
