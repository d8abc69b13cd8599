import { check } from '../errors.js';

/** The shaders give a rule's parameters four places. Throws `bad-argument` where there are more. */
export function expectFewParameters(rule: string, parameters: readonly string[]): void {
  check(
    parameters.length <= 4,
    'bad-argument',
    `rule ${rule}: at most 4 parameters, got ${parameters.length}`,
    'parameters',
  );
}
