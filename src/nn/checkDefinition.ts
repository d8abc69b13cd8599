import { LinbpError } from '../errors.js';
import { describeModel, expectDefinition } from './definition.js';
import type { ModelDefinition } from './definition.js';

/**
 * Checks that a value, such as what a module exports, is a {@link ModelDefinition}, and that it builds: one forward
 * pass on paper must give logits [N, classes].
 *
 * @param source where the value comes from, for messages
 * @throws LinbpError `bad-argument` naming the field; `bad-shape` where the logits have another shape
 */
export function checkDefinition(value: unknown, source: string): ModelDefinition {
  expectDefinition(value, source);
  try {
    describeModel(value);
  } catch (cause) {
    const { message } = cause instanceof Error ? cause : { message: String(cause) };
    const returned = cause instanceof LinbpError && message.startsWith(`${value.name}: "build" must return`);
    const text = returned ? message.slice(value.name.length + 2) : `"build" failed: ${message}`;
    const code = returned ? cause.code : 'bad-argument';
    throw new LinbpError(code, `${source}: ${text}`, { field: 'model', cause });
  }
  return value;
}
