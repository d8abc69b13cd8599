import { LinbpError } from '../../errors.js';
import type { Graph } from '../../graph/graph.js';
import type { Node, OpName, Tensor } from '../../graph/types.js';
import type { ExportAttribute, ModelWriter } from './writer.js';

/** What writing a graph knows. */
export interface ExportScope {
  readonly graph: Graph;
  /** The same graph for another batch: sizes that differ hold the batch. */
  readonly twin: Graph;
  readonly writer: ModelWriter;
  /** Values of parameters and of the graph's own constants. */
  readonly values: ReadonlyMap<Tensor, ArrayLike<number>>;
  /** Names of state-dict entries. */
  readonly keys: ReadonlyMap<Tensor, string>;
  /** Names of what has been written. */
  readonly names: Map<Tensor, string>;
  /** Batch norms whose scale and shift wait for the node that reads them. */
  readonly lines: Map<Tensor, Node<'batchNormScaleShift'>>;
  readonly input: string;
  readonly batch: number;
}

/** Writes the nodes of one node of a graph. */
export class NodeExport<K extends OpName = OpName> {
  readonly node: Node<K>;
  readonly scope: ExportScope;

  constructor(node: Node<K>, scope: ExportScope) {
    this.node = node;
    this.scope = scope;
  }

  get attrs(): Node<K>['attrs'] {
    return this.node.attrs;
  }

  input(index: number): Tensor {
    return this.node.inputs[index]!;
  }

  op(name: string, inputs: readonly string[], attributes: Readonly<Record<string, ExportAttribute>> = {}): string {
    return this.scope.writer.node(this.node.layer, name, inputs, attributes);
  }

  number(value: number): string {
    return this.scope.writer.floats(undefined, [], [value]);
  }

  integers(values: readonly number[]): string {
    return this.scope.writer.integers(values);
  }

  /** The name of operand `index`; of a constant in another shape where one is given. */
  name(index: number, shape?: readonly number[]): string {
    return this.nameOf(this.input(index), shape);
  }

  nameOf(tensor: Tensor, shape: readonly number[] = tensor.shape): string {
    const { names, values, keys, writer } = this.scope;
    const same = shape.join() === tensor.shape.join();
    const known = names.get(tensor);
    if (known !== undefined) return same ? known : this.reshape(known, shape, undefined);
    const data = values.get(tensor);
    if (data === undefined) throw this.refusal(`it reads ${tensor.name}, which has no value`);
    const name = writer.floats(keys.get(tensor), shape, data);
    if (same) names.set(tensor, name);
    return name;
  }

  /** The numbers of a constant operand. */
  valuesOf(tensor: Tensor): ArrayLike<number> {
    const data = this.scope.values.get(tensor);
    if (data === undefined) throw this.refusal(`${tensor.name} must be a constant`);
    return data;
  }

  /** The axis of a tensor that holds the batch. */
  batchAxis(tensor: Tensor): number | undefined {
    const other = this.scope.twin.tensors[tensor.id]!.shape;
    const axis = tensor.shape.findIndex((size, i) => size !== other[i]);
    return axis < 0 ? undefined : axis;
  }

  /** `x` in another shape, whose size along `batchAxis` follows from the others. */
  reshape(x: string, shape: readonly number[], batchAxis: number | undefined): string {
    const target = shape.map((size, axis) => (axis === batchAxis ? -1 : size));
    return this.op('Reshape', [x, this.integers(target)]);
  }

  /** Sizes as a tensor, of which that along `batchAxis` is computed from the images'. */
  shapeTensor(shape: readonly number[], batchAxis: number | undefined): string {
    if (batchAxis === undefined) return this.integers(shape);
    const whole = this.op('Shape', [this.scope.input]);
    const batch = this.op('Slice', [whole, this.integers([0]), this.integers([1])]);
    const factor = shape[batchAxis]! / this.scope.batch;
    const size = factor === 1 ? batch : this.op('Mul', [batch, this.integers([factor])]);
    const parts = [shape.slice(0, batchAxis), shape.slice(batchAxis + 1)].map((sizes) =>
      sizes.length === 0 ? [] : [this.integers(sizes)],
    );
    return this.op('Concat', [...parts[0]!, size, ...parts[1]!], { axis: { i: 0 } });
  }

  refusal(why: string): LinbpError {
    const { layer, op } = this.node;
    return new LinbpError('unsupported', `${layer === '' ? op : `${layer} (${op})`} cannot be exported: ${why}`, {
      field: layer || op,
    });
  }
}
