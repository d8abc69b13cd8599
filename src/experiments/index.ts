import { LinbpError } from '../errors.js';
import { unknownName } from '../names.js';
import { adversarialTraining } from './adversarialTraining.js';
import { cifar10Training } from './cifarTraining.js';
import { mnistLenet5, mnistMlp } from './mnist.js';
import { normalization, position } from './ruleComparison.js';
import { theory } from './theory.js';
import { transferCifar10 } from './transfer.js';
import type { Experiment } from './types.js';
import { whiteboxCifar10 } from './whitebox.js';
import { yardstick } from './yardstick.js';

/** All experiments, in the order in which `linbp reproduce --all` runs them. */
export const experiments: readonly Experiment[] = [
  theory,
  mnistMlp,
  mnistLenet5,
  cifar10Training,
  whiteboxCifar10,
  transferCifar10,
  yardstick,
  position,
  normalization,
  adversarialTraining,
];

/** An experiment by name. Throws `unknown-option` with the nearest names. */
export function experimentNamed(name: string): Experiment {
  const found = experiments.find((experiment) => experiment.name === name);
  if (found === undefined) {
    const names = experiments.map((experiment) => experiment.name);
    const message = unknownName('experiment', name, { names, command: 'linbp reproduce --help' });
    throw new LinbpError('unknown-option', message, { field: 'name' });
  }
  return found;
}
