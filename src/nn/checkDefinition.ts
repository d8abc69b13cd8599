import { check, LinbpError } from '../errors.js';
import { Graph } from '../graph/graph.js';
import { NetBuilder } from './builder.js';
import type { ModelDefinition } from './definition.js';

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) > 0;

/**
 * Checks that a value, such as what a module exports, is a {@link ModelDefinition}, and that it builds: one forward
 * pass on paper must give logits [N, classes].
 *
 * @param source where the value comes from, for messages
 * @throws LinbpError `bad-argument` naming the field; `bad-shape` where the logits have another shape
 */
export function checkDefinition(value: unknown, source: string): ModelDefinition {
  check(typeof value === 'object' && value !== null, 'bad-argument', `${source} is no model definition`, 'model');
  const { name, input, classes, build } = value as Partial<Record<keyof ModelDefinition, unknown>>;
  const expect = (fits: boolean, what: string): void => check(fits, 'bad-argument', `${source}: ${what}`, 'model');
  expect(typeof name === 'string' && name !== '', '"name" must be a non-empty string');
  const shaped = Array.isArray(input) && input.length === 3 && input.every(isCount);
  expect(shaped, '"input" must be [channels, height, width], positive whole numbers');
  expect(isCount(classes), '"classes" must be a positive whole number');
  expect(typeof build === 'function', '"build" must be a function (net, images) => logits');
  const definition = value as ModelDefinition;
  const shape = logitsShape(definition, source);
  check(
    shape.length === 2 && shape[1] === definition.classes,
    'bad-shape',
    `${source}: "build" must return logits [N, ${definition.classes}], got [${['N', ...shape.slice(1)].join(', ')}]`,
    'model',
  );
  return definition;
}

function logitsShape(definition: ModelDefinition, source: string): readonly number[] {
  const graph = new Graph();
  const net = new NetBuilder(graph, (spec) => graph.parameter(spec.name, spec.shape), { training: false });
  let logits: unknown;
  try {
    logits = definition.build(net, graph.input('input', [1, ...definition.input]));
  } catch (cause) {
    const { message } = cause instanceof Error ? cause : { message: String(cause) };
    throw new LinbpError('bad-argument', `${source}: "build" failed: ${message}`, { field: 'model', cause });
  }
  const shape = (logits as { readonly shape?: unknown } | undefined)?.shape;
  check(Array.isArray(shape), 'bad-argument', `${source}: "build" must return a tensor`, 'model');
  return shape as number[];
}
