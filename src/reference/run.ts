import { expectMembers, expectNumbers, expectTensor } from '../arguments.js';
import { check } from '../errors.js';
import { resolveView } from '../graph/graph.js';
import type { Graph } from '../graph/graph.js';
import { elementCount } from '../graph/types.js';
import type { Node, Tensor } from '../graph/types.js';
import { opTraits } from '../ops/traits.js';
import { referenceNode } from './table.js';
import type { ReferenceArray } from './types.js';

/** One row of the step table: the values of its fields in one step. */
export type StepRow = Readonly<Record<string, number>>;

/**
 * Runs a graph on the CPU in float64, node by node in the order they were added. Tensors keep their values between
 * runs; what was never set is zero. Views share memory with their base.
 */
export class ReferenceRun {
  readonly graph: Graph;
  private readonly roots = new Map<Tensor, ReferenceArray>();

  /**
   * @param memory arrays to keep some root tensors in, which other runs may share; each as long as its tensor
   * @throws LinbpError `bad-shape`, `bad-dtype` for arrays that do not fit their tensor
   */
  constructor(graph: Graph, memory: ReadonlyMap<Tensor, ReferenceArray> = new Map()) {
    check(memory instanceof Map, 'bad-argument', 'memory must be a Map of arrays by tensor', 'memory');
    expectMembers(graph, 'graph', { nodes: 'list', initial: 'map', exact: 'map' });
    this.graph = graph;
    for (const [tensor, values] of memory) {
      const { root } = resolveView(tensor);
      check(root === tensor, 'bad-argument', `${tensor.name} is a part of ${root.name}`, tensor.name);
      const [count, whole] = [elementCount(tensor.shape), values instanceof Uint32Array];
      check(
        values.length === count,
        'bad-shape',
        `${tensor.name} has ${count} elements, got ${values.length}`,
        tensor.name,
      );
      check(whole === (tensor.dtype === 'u32'), 'bad-dtype', `${tensor.name} holds ${tensor.dtype}`, tensor.name);
      this.roots.set(tensor, values);
    }
    for (const [tensor, values] of graph.initial) this.set(tensor, graph.exact.get(tensor) ?? values);
  }

  /** Copies `data` into a tensor. Throws `bad-shape` when the number of elements differs. */
  set(tensor: Tensor, data: ArrayLike<number>): void {
    expectTensor(tensor);
    expectNumbers(data, tensor.dtype, elementCount(tensor.shape), `${tensor.name} [${tensor.shape.join(', ')}]`);
    this.get(tensor).set(data);
  }

  /** The tensor's own memory: later runs and `set` change what was returned. */
  get(tensor: Tensor): ReferenceArray {
    expectTensor(tensor);
    const { root, offset } = resolveView(tensor);
    let values = this.roots.get(root);
    if (values === undefined) {
      const count = elementCount(root.shape);
      values = root.dtype === 'u32' ? new Uint32Array(count) : new Float64Array(count);
      this.roots.set(root, values);
    }
    return root === tensor ? values : values.subarray(offset, offset + elementCount(tensor.shape));
  }

  /**
   * Runs the nodes of a segment, once for each row of `steps` (once without fields by default).
   * Throws `bad-argument` for a segment without nodes or a step field that the row does not have.
   */
  run(segment = 'main', steps: readonly StepRow[] = [{}]): void {
    const nodes = this.nodesOf(segment);
    for (const row of steps) for (const node of nodes) this.runNode(node, row);
  }

  /** The nodes of a segment in running order. Throws `bad-argument` where there are none. */
  nodesOf(segment: string): readonly Node[] {
    const nodes = this.graph.nodes.filter((node) => node.segment === segment);
    check(nodes.length > 0, 'bad-argument', `the graph has no segment "${segment}"`, segment);
    return nodes;
  }

  /** Runs a single node on the values its inputs have now. */
  runNode(node: Node, row: StepRow = {}): void {
    const step = (field: string): number => {
      const value = row[field];
      check(value !== undefined, 'bad-argument', `${node.op} (${node.layer}) needs the step field "${field}"`, field);
      return value;
    };
    const results = referenceNode(
      node,
      node.inputs.map((input) => this.get(input)),
      { step },
    );
    node.outputs.forEach((output, i) => {
      // A view's values are in place already.
      if (!opTraits[node.op].view) this.get(output).set(results[i]!);
    });
  }
}
