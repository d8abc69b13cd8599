import { check } from '../../errors.js';
import type { ModelDefinition } from '../definition.js';
import * as mnist from './mnist.js';

const definitions = new Map<string, ModelDefinition>([mnist].flatMap((module) => Object.values(module)).map((definition) => [definition.name, definition]));

/** Names of all networks that come with linbp. */
export const modelNames: readonly string[] = [...definitions.keys()];

/** A network by name. Throws `unknown-model` listing the names there are. */
export function modelDefinition(name: string): ModelDefinition {
  const definition = definitions.get(name);
  check(definition !== undefined, 'unknown-model', `there is no model "${name}"; known are ${modelNames.join(', ')}`, 'model');
  return definition;
}
