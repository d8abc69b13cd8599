import { LinbpError } from '../errors.js';
import type { LinbpErrorCode } from '../errors.js';
import { shapeSlice } from './geometry.js';
import { Attributes } from './host/attributes.js';
import { computeOnHost, hasHostKernel } from './host/table.js';
import { StepBuilder, constant } from './lower/builder.js';
import type { NodeContext } from './lower/context.js';
import { nodeLowerings } from './lower/nodes.js';
import type { Value } from './lower/steps.js';
import { mostElements } from './tensors.js';
import type { HostTensor, OnnxGraph, OnnxNode } from './types.js';

/** One thing that stands in the way. */
export interface Reason {
  readonly code: LinbpErrorCode;
  readonly text: string;
  readonly field: string | undefined;
}

/** Why operators are not here, for those that files have. */
const explained: Readonly<Record<string, string>> = {
  Loop: 'control flow; it would have to be unrolled before the export',
  Scan: 'control flow; it would have to be unrolled before the export',
  If: 'a branch that depends on the pixels',
  NonZero: 'a shape that depends on the pixels',
  Compress: 'a shape that depends on the pixels',
  Unique: 'a shape that depends on the pixels',
  NonMaxSuppression: 'a shape that depends on the pixels',
  QuantizeLinear: 'quantized activations, whose gradient is zero almost everywhere; export the float model',
  DynamicQuantizeLinear: 'quantized activations, whose gradient is zero almost everywhere; export the float model',
  QLinearConv: 'quantized arithmetic without a gradient; export the float model',
  QLinearMatMul: 'quantized arithmetic without a gradient; export the float model',
  ConvInteger: 'quantized arithmetic without a gradient; export the float model',
  MatMulInteger: 'quantized arithmetic without a gradient; export the float model',
  DequantizeLinear: 'quantized activations, whose gradient is zero almost everywhere; export the float model',
  RandomNormal: 'a result that differs from run to run',
  RandomNormalLike: 'a result that differs from run to run',
  RandomUniform: 'a result that differs from run to run',
  RandomUniformLike: 'a result that differs from run to run',
  Bernoulli: 'a result that differs from run to run',
  Multinomial: 'a result that differs from run to run',
};

/** A node with its operator, as a refusal shows it. */
export const describeNode = (node: OnnxNode): string =>
  `${node.name} (${node.domain === '' ? '' : `${node.domain}:`}${node.op}, opset ${node.opset})`;

/** Everything known about a graph's tensors while it is walked. */
interface Scope {
  readonly values: Map<string, Value | undefined>;
  readonly initializers: ReadonlyMap<string, () => HostTensor>;
  readonly outer: Scope | undefined;
}

/** Elements that constant folding may compute in all, against files that ask for too much. */
const foldingBudget = 2 * mostElements;

/** Walks a graph: folds what is constant, lowers what depends on the pixels, and collects what cannot be done. */
export class Analysis {
  readonly build: StepBuilder;
  readonly reasons: Reason[] = [];
  private folded = 0;
  private readonly onHost:
    ((node: OnnxNode, inputs: readonly (Value | undefined)[]) => readonly Value[] | undefined) | undefined;

  /**
   * @param batchSize the batch size that shapes are computed for
   * @param onHost computes a node outside the engine, where that is possible; undefined results mean it is not
   */
  constructor(
    batchSize: number,
    onHost?: (node: OnnxNode, inputs: readonly (Value | undefined)[]) => readonly Value[] | undefined,
  ) {
    this.build = new StepBuilder(batchSize);
    this.onHost = onHost;
  }

  /** The values of the graph's outputs; undefined for those that were refused. */
  run(graph: OnnxGraph, inputs: ReadonlyMap<string, Value>): (Value | undefined)[] {
    return this.walk(graph, { values: new Map(inputs), initializers: graph.initializers, outer: undefined });
  }

  private walk(graph: OnnxGraph, scope: Scope): (Value | undefined)[] {
    const needed = neededNodes(graph);
    const read = new Set(graph.outputs.map(({ name }) => name));
    for (const node of needed) for (const name of [...node.inputs, ...capturedNames(node)]) read.add(name);
    for (const each of graph.nodes) {
      if (!needed.has(each)) continue;
      // Optional results that nothing reads, such as the mask of a dropout, do not matter.
      const node = each.outputs.slice(1).every((name) => read.has(name)) ? each : withoutUnread(each, read);
      const results = this.visit(node, scope);
      node.outputs.forEach((name, i) => {
        if (name !== '') scope.values.set(name, results?.[i]);
      });
    }
    return graph.outputs.map(({ name }) => this.lookUp(name, scope, undefined));
  }

  private refuse(error: unknown, node: OnnxNode | undefined): void {
    if (!(error instanceof LinbpError)) throw error;
    const where = node === undefined ? '' : `${describeNode(node)}: `;
    this.reasons.push({ code: error.code, text: `${where}${error.message}`, field: node?.name ?? error.field });
  }

  /** A tensor by name; undefined, with a reason, where nothing makes it, and without one where it was refused. */
  private lookUp(name: string, scope: Scope, node: OnnxNode | undefined): Value | undefined {
    for (let at: Scope | undefined = scope; at !== undefined; at = at.outer) {
      if (at.values.has(name)) return at.values.get(name);
      const read = at.initializers.get(name);
      if (read === undefined) continue;
      try {
        const value = constant(read());
        at.values.set(name, value);
        return value;
      } catch (error) {
        this.refuse(error, undefined);
        at.values.set(name, undefined);
        return undefined;
      }
    }
    this.refuse(new LinbpError('bad-file', `the tensor "${name}" is read but nothing makes it`), node);
    return undefined;
  }

  private visit(node: OnnxNode, scope: Scope): readonly Value[] | undefined {
    const names = node.inputs;
    const values = names.map((name) => (name === '' ? undefined : this.lookUp(name, scope, node)));
    if (names.some((name, i) => name !== '' && values[i] === undefined)) {
      // Its own operator may be a reason, too, but an operand that is missing was one already.
      if (!isKnown(node)) this.refuse(unknownOperator(node), node);
      return undefined;
    }
    try {
      return this.compute(node, values, scope);
    } catch (error) {
      this.refuse(error, node);
      return undefined;
    }
  }

  private compute(node: OnnxNode, values: readonly (Value | undefined)[], scope: Scope): readonly Value[] | undefined {
    const attributes = new Attributes(node);
    const first = values[0];
    if (node.domain === '' && (node.op === 'Shape' || node.op === 'Size') && first?.kind === 'data') {
      const shape =
        node.op === 'Shape' ? shapeSlice(first.shape, attributes) : [first.shape.reduce((p, x) => p * x, 1)];
      return [
        constant({ type: 'int64', shape: node.op === 'Shape' ? [shape.length] : [], data: Float64Array.from(shape) }),
      ];
    }
    if (node.domain === '' && node.op === 'If' && first?.kind === 'constant') {
      const branch = attributes.graph(first.tensor.data[0] !== 0 ? 'then_branch' : 'else_branch');
      if (branch === undefined) throw new LinbpError('bad-file', 'a branch is missing');
      const results = this.walk(branch, { values: new Map(), initializers: branch.initializers, outer: scope });
      return results.some((value) => value === undefined) ? undefined : (results as Value[]);
    }
    if (!isKnown(node)) throw unknownOperator(node);
    const constants = values.map((value) => (value?.kind === 'constant' ? value.tensor : undefined));
    if (values.every((value) => value === undefined || value.kind === 'constant')) {
      if (!hasHostKernel(node)) throw unknownOperator(node);
      return this.fold(node, constants);
    }
    this.build.at(node);
    const context: NodeContext = { node, attributes, build: this.build, values, constants };
    try {
      const lower = Object.hasOwn(nodeLowerings, node.op) ? nodeLowerings[node.op] : undefined;
      if (lower === undefined) throw new LinbpError('unsupported', explained[node.op] ?? 'a result without a gradient');
      return lower(context);
    } catch (error) {
      const hosted = isUnsupported(error) && hasHostKernel(node) ? this.onHost?.(node, values) : undefined;
      if (hosted === undefined) throw error;
      return hosted;
    }
  }

  private fold(node: OnnxNode, constants: readonly (HostTensor | undefined)[]): Value[] {
    const results = computeOnHost(node, constants);
    for (const result of results) this.folded += result.data.length;
    if (this.folded > foldingBudget) throw new LinbpError('limit-exceeded', 'constants of more than can be computed');
    const [source] = constants;
    if (node.op !== 'Expand' || source?.origin === undefined) return results.map(constant);
    return results.map((tensor) => constant({ ...tensor, repeats: source }));
  }
}

/** Nodes that some output depends on. */
function neededNodes(graph: OnnxGraph): Set<OnnxNode> {
  const makers = new Map<string, OnnxNode>();
  for (const node of graph.nodes) for (const name of node.outputs) makers.set(name, node);
  const needed = new Set<OnnxNode>();
  const open = graph.outputs.map(({ name }) => name);
  for (let name = open.pop(); name !== undefined; name = open.pop()) {
    const node = makers.get(name);
    if (node === undefined || needed.has(node)) continue;
    needed.add(node);
    open.push(...node.inputs, ...capturedNames(node));
  }
  return needed;
}

/** A node whose unread results have no names. */
const withoutUnread = (node: OnnxNode, read: ReadonlySet<string>): OnnxNode => ({
  ...node,
  outputs: node.outputs.map((name) => (read.has(name) ? name : '')),
});

/** Names that a node's subgraphs may take from outside. */
function capturedNames(node: OnnxNode): string[] {
  return [...node.attributes.values()].flatMap((attribute) =>
    attribute.kind === 'graph'
      ? [
          ...attribute.value.nodes.flatMap((inner) => [...inner.inputs, ...capturedNames(inner)]),
          ...attribute.value.outputs.map(({ name }) => name),
        ]
      : [],
  );
}

const isKnown = (node: OnnxNode): boolean =>
  node.domain === '' && (Object.hasOwn(nodeLowerings, node.op) || hasHostKernel(node));

function unknownOperator(node: OnnxNode): LinbpError {
  const why =
    node.domain === ''
      ? (explained[node.op] ?? 'an operator that linbp does not know')
      : `an operator of the domain ${node.domain}; only ONNX's ` +
        'own are known (export without runtime-specific optimization)';
  return new LinbpError('unsupported', why);
}

const isUnsupported = (error: unknown): boolean => error instanceof LinbpError && error.code === 'unsupported';

/** A fault of the file: no other version of linbp could import it. */
const isFault = ({ code }: Reason): boolean => code === 'bad-file' || code === 'bad-shape';

/** Throws all reasons as one error: `bad-file` where one is a fault of the file, else with the code of the first. */
export function throwReasons(reasons: readonly Reason[], source: string): void {
  const decisive = reasons.find(isFault) ?? reasons[0];
  if (decisive === undefined) return;
  const texts = [...new Set(reasons.map(({ text }) => text.replace(`${source}: `, '')))];
  const shown = texts.slice(0, 20).join('; ');
  const more = texts.length > 20 ? `; and ${texts.length - 20} more` : '';
  const message = `${source} cannot be imported: ${shown}${more}`;
  throw new LinbpError(isFault(decisive) ? 'bad-file' : decisive.code, message, { field: decisive.field ?? 'model' });
}
