import { check } from '../errors.js';
import type { AttributeValue, OnnxGraph, OnnxNode } from './types.js';

/** A function that a model defines for itself. */
export interface LocalFunction {
  readonly name: string;
  readonly domain: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly defaults: ReadonlyMap<string, AttributeValue>;
  readonly nodes: readonly OnnxNode[];
}

/** Nodes that inlining may make, so that functions that call functions cannot fill the memory. */
const mostNodes = 200_000;
const deepest = 32;

interface Inlining {
  readonly functions: ReadonlyMap<string, LocalFunction>;
  readonly source: string;
  calls: number;
  nodes: number;
}

const keyOf = (domain: string, name: string): string => `${domain}:${name}`;

/** Attributes of a function's node, with references to the function's own attributes replaced by their values. */
function resolved(
  attributes: ReadonlyMap<string, AttributeValue>,
  given: ReadonlyMap<string, AttributeValue>,
): Map<string, AttributeValue> {
  const result = new Map<string, AttributeValue>();
  for (const [name, value] of attributes) {
    const actual = value.kind === 'reference' ? given.get(value.value) : value;
    if (actual === undefined) continue;
    result.set(
      name,
      actual.kind === 'graph'
        ? {
            kind: 'graph',
            value: {
              ...actual.value,
              nodes: actual.value.nodes.map((node) => ({ ...node, attributes: resolved(node.attributes, given) })),
            },
          }
        : actual,
    );
  }
  return result;
}

function expand(node: OnnxNode, state: Inlining, depth: number): OnnxNode[] {
  const definition = state.functions.get(keyOf(node.domain, node.op));
  state.nodes += 1;
  check(
    depth <= deepest && state.nodes <= mostNodes,
    'limit-exceeded',
    `${state.source}: local functions expand without end (${node.op})`,
    node.name,
  );
  if (definition === undefined) return [node];
  const call = `${node.name}/${(state.calls += 1)}`;
  const names = new Map<string, string>([['', '']]);
  definition.inputs.forEach((name, i) => names.set(name, node.inputs[i] ?? ''));
  definition.outputs.forEach((name, i) => {
    if (node.outputs[i] !== undefined && node.outputs[i] !== '') names.set(name, node.outputs[i]);
  });
  const rename = (name: string): string => {
    let renamed = names.get(name);
    if (renamed === undefined) names.set(name, (renamed = `${call}/${name}`));
    return renamed;
  };
  const given = new Map([...definition.defaults, ...node.attributes]);
  return definition.nodes.flatMap((inner) =>
    expand(
      {
        ...inner,
        name: `${node.name}/${inner.name}`,
        inputs: inner.inputs.map(rename),
        outputs: inner.outputs.map(rename),
        attributes: resolved(inner.attributes, given),
      },
      state,
      depth + 1,
    ),
  );
}

/** Replaces calls of a model's own functions by their nodes. Throws `limit-exceeded` for endless recursion. */
export function inlineFunctions(graph: OnnxGraph, functions: readonly LocalFunction[], source: string): OnnxGraph {
  const state: Inlining = {
    functions: new Map(functions.map((each) => [keyOf(each.domain, each.name), each])),
    source,
    calls: 0,
    nodes: 0,
  };
  return { ...graph, nodes: graph.nodes.flatMap((node) => expand(node, state, 0)) };
}
