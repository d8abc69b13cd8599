import { check } from '../../errors.js';
import type { ModelDefinition } from '../definition.js';
import * as densenet from './densenet.js';
import * as mnist from './mnist.js';
import * as mobilenet from './mobilenet.js';
import * as resnet from './resnet.js';
import * as resnet8 from './resnet8.js';
import { robustbenchDefinition, robustbenchNames } from './robustbench.js';
import * as smallnets from './smallnets.js';
import * as squeezenet from './squeezenet.js';
import { torchvisionDefinition, torchvisionNames } from './torchvision.js';
import * as vgg from './vgg.js';
import * as wideresnet from './wideresnet.js';

const definitions = new Map<string, ModelDefinition>(
  [mnist, vgg, resnet, densenet, mobilenet, squeezenet, wideresnet, resnet8, smallnets]
    .flatMap((module): ModelDefinition[] => Object.values(module))
    .map((definition) => [definition.name, definition]),
);

/** Names of all networks that come with linbp. */
export const modelNames: readonly string[] = [...definitions.keys()];

export { robustbenchNames, torchvisionNames };

/** Whether {@link modelDefinition} knows a name. */
export const isModelName = (name: string): boolean =>
  definitions.has(name) || robustbenchNames.includes(name) || torchvisionNames.includes(name);

/**
 * A network by name, one of {@link modelNames}, {@link torchvisionNames} or {@link robustbenchNames}. Throws
 * `unknown-model` listing the names there are.
 */
export function modelDefinition(name: string): ModelDefinition {
  const definition = definitions.get(name) ?? torchvisionDefinition(name) ?? robustbenchDefinition(name);
  check(
    definition !== undefined,
    'unknown-model',
    `there is no model "${name}"; known are ${[...modelNames, ...torchvisionNames].join(', ')}, ` +
      `and RobustBench's such as ${robustbenchNames[1]}`,
    'model',
  );
  return definition;
}
