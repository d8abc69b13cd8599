import { LinbpError } from '../../errors.js';
import { unknownName } from '../../names.js';
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

/** All names that {@link modelDefinition} knows. */
export const allModelNames: readonly string[] = [...modelNames, ...torchvisionNames, ...robustbenchNames];

/** Whether {@link modelDefinition} knows a name. */
export const isModelName = (name: string): boolean =>
  definitions.has(name) || robustbenchNames.includes(name) || torchvisionNames.includes(name);

/**
 * A network by name, one of {@link modelNames}, {@link torchvisionNames} or {@link robustbenchNames}. Throws
 * `unknown-model` with the nearest names.
 */
export function modelDefinition(name: string): ModelDefinition {
  const definition = definitions.get(name) ?? torchvisionDefinition(name) ?? robustbenchDefinition(name);
  if (definition !== undefined) return definition;
  const message = unknownName('model', name, { names: allModelNames, command: 'linbp positions --help' });
  throw new LinbpError('unknown-model', message, { field: 'model' });
}
