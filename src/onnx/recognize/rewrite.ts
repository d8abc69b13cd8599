import { liveSteps } from '../lower/simplify.js';
import type { DataValue, Step } from '../lower/steps.js';

/** Steps with some values replaced by others, and without what nothing needs any more. */
export function substitute(
  steps: readonly Step[],
  replaced: ReadonlyMap<DataValue, DataValue>,
  results: readonly DataValue[],
): { steps: Step[]; results: DataValue[] } {
  const final = (value: DataValue): DataValue => {
    let at = value;
    for (let next = replaced.get(at); next !== undefined && next !== at; next = replaced.get(at)) at = next;
    return at;
  };
  const changed = steps.map((step) =>
    step.inputs.some((input) => input.kind === 'data' && replaced.has(input))
      ? { ...step, inputs: step.inputs.map((input) => (input.kind === 'data' ? final(input) : input)) }
      : step,
  );
  const ends = results.map(final);
  return { steps: liveSteps(changed, ends), results: ends };
}

/** The step that makes each value. */
export const producersOf = (steps: readonly Step[]): Map<DataValue, Step> =>
  new Map(steps.map((step) => [step.output, step]));

/** The steps that read each value. */
export function consumersOf(steps: readonly Step[]): Map<DataValue, Step[]> {
  const consumers = new Map<DataValue, Step[]>();
  for (const step of steps)
    for (const input of step.inputs) {
      if (input.kind !== 'data') continue;
      const list = consumers.get(input);
      if (list === undefined) consumers.set(input, [step]);
      else list.push(step);
    }
  return consumers;
}
