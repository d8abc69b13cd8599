import type { DataValue, Step } from './steps.js';

/** The steps that the results depend on. */
export function liveSteps(steps: readonly Step[], results: readonly DataValue[]): Step[] {
  const needed = new Set<DataValue>(results);
  const live: Step[] = [];
  for (const step of [...steps].reverse()) {
    if (!needed.has(step.output)) continue;
    live.push(step);
    for (const input of step.inputs) if (input.kind === 'data') needed.add(input);
  }
  return live.reverse();
}
