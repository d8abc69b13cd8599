import { check, LinbpError } from '../errors.js';
import { describeModel } from './definition.js';
import type { ModelDefinition } from './definition.js';

/** The last layer of a classifier, whose outputs are the classes. */
export interface Head {
  /** Its module path, such as `fc`. */
  readonly name: string;
  /** Its entries in the state dict. */
  readonly keys: readonly string[];
}

/**
 * The layer that makes the logits: the one with the last weight in the order of the forward pass.
 *
 * @throws LinbpError `unsupported` where that layer does not have one output per class
 */
export function headOf(definition: ModelDefinition): Head {
  const { specs } = describeModel(definition).layout;
  const last = specs.filter(({ kind }) => kind === 'weight').at(-1);
  const fits = last !== undefined && last.shape[0] === definition.classes && last.name.endsWith('.weight');
  if (!fits)
    throw new LinbpError('unsupported', `${definition.name} does not end in a layer with one output per class`, {
      field: 'classes',
    });
  const name = last.name.slice(0, -'.weight'.length);
  return { name, keys: specs.map((spec) => spec.name).filter((key) => key === last.name || key === `${name}.bias`) };
}

/**
 * The same network with another number of classes: its last layer gets as many outputs, everything else stays.
 *
 * @param classes from 2
 * @throws LinbpError `bad-range`; `unsupported` where the last layer does not have one output per class
 */
export function withClasses(definition: ModelDefinition, classes: number): ModelDefinition {
  check(
    Number.isInteger(classes) && classes >= 2,
    'bad-range',
    `classes must be a whole number from 2, got ${classes}`,
    'classes',
  );
  if (classes === definition.classes) return definition;
  const { name, keys } = headOf(definition);
  const weights = definition.weights && new Map([...definition.weights].filter(([key]) => !keys.includes(key)));
  return {
    ...definition,
    classes,
    // A head of another width is initialized again.
    ...(weights !== undefined && { weights }),
    build: (net, images) => net.withOutputs(name, classes, () => definition.build(net, images)),
  };
}
