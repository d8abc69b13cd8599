import { fixedPrefix } from '../types.js';
import { encodeModel } from '../schema.js';
import type { RawAttribute, RawEntry, RawNode, RawTensor, RawValueInfo } from '../schema.js';

/** Value of an attribute: whole numbers, floats, lists of whole numbers, or text. */
export type ExportAttribute =
  { readonly i: number } | { readonly f: number } | { readonly ints: readonly number[] } | { readonly s: string };

const attributeTypes = { f: 1, i: 2, s: 3, ints: 7 } as const;
/** Element types as the format numbers them. */
const float32 = 1;
const int64 = 7;

/** The operator set that is written, and the version of the format that belongs to it. */
export const exportedOpset = 17;
const irVersion = 8;

/** A size, or the name of one that is left open. */
export type ExportDimension = number | string;

function attribute(name: string, value: ExportAttribute): RawAttribute {
  const kind = Object.keys(value)[0] as keyof typeof attributeTypes;
  const type = attributeTypes[kind];
  return 's' in value ? { name, type, s: new TextEncoder().encode(value.s) } : { name, type, ...value };
}

const valueInfo = (name: string, shape: readonly ExportDimension[]): RawValueInfo => ({
  name,
  type: {
    tensorType: {
      elemType: float32,
      shape: { dim: shape.map((size) => (typeof size === 'number' ? { dimValue: size } : { dimParam: size })) },
    },
  },
});

const bytesOf = (data: Float32Array | BigInt64Array): Uint8Array =>
  new Uint8Array(data.buffer, data.byteOffset, data.byteLength);

/** Collects the nodes and constants of a file; results and constants are known by their names. */
export class ModelWriter {
  private readonly nodes: RawNode[] = [];
  private readonly initializers: RawTensor[] = [];
  private readonly taken = new Set<string>();
  private readonly lists = new Map<string, string>();

  /** A name that nothing else has. */
  private unique(wanted: string): string {
    let name = wanted;
    for (let i = 1; this.taken.has(name); i++) name = `${wanted}_${i}`;
    this.taken.add(name);
    return name;
  }

  /** Keeps a name, such as that of the input. */
  reserve(name: string): string {
    this.taken.add(name);
    return name;
  }

  /** Adds a node of a layer and returns the name of its result, or of all `results`. */
  node(
    layer: string,
    op: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, ExportAttribute>> = {},
  ): string {
    // As PyTorch names nodes: the module, then the operator.
    const name = this.unique(`/${layer === '' ? '' : `${layer}/`}${op}`);
    const output = this.unique(`${name}_output_0`);
    this.nodes.push({
      input: [...inputs],
      output: [output],
      name,
      opType: op,
      attribute: Object.entries(attributes).map(([key, value]) => attribute(key, value)),
    });
    return output;
  }

  /** A constant of floats: a weight where it has a name, otherwise one that nothing learns. */
  floats(name: string | undefined, shape: readonly number[], data: ArrayLike<number>): string {
    const own = this.unique(name ?? `${fixedPrefix}${this.initializers.length}`);
    const rawData = bytesOf(Float32Array.from(data));
    this.initializers.push({ name: own, dims: [...shape], dataType: float32, rawData });
    return own;
  }

  /** A constant list of whole numbers, such as the target of a Reshape. Equal lists are one. */
  integers(values: readonly number[]): string {
    const key = values.join();
    let name = this.lists.get(key);
    if (name === undefined) {
      this.lists.set(key, (name = this.unique(`onnx::List_${this.initializers.length}`)));
      const rawData = bytesOf(BigInt64Array.from(values, BigInt));
      this.initializers.push({ name, dims: [values.length], dataType: int64, rawData });
    }
    return name;
  }

  /** Gives a tensor the name of an output. */
  output(name: string, from: string): void {
    this.nodes.push({ input: [from], output: [this.reserve(name)], name: `/${name}`, opType: 'Identity' });
  }

  /** The file's bytes. */
  finish(parts: {
    readonly name: string;
    readonly version: string;
    readonly input: readonly [name: string, shape: readonly ExportDimension[]];
    readonly output: readonly [name: string, shape: readonly ExportDimension[]];
    readonly metadata: readonly RawEntry[];
  }): Uint8Array {
    const { name, input, output } = parts;
    return encodeModel({
      irVersion,
      producerName: 'linbp',
      producerVersion: parts.version,
      opsetImport: [{ domain: '', version: exportedOpset }],
      metadataProps: parts.metadata,
      graph: {
        name,
        node: this.nodes,
        initializer: this.initializers,
        input: [valueInfo(...input)],
        output: [valueInfo(...output)],
      },
    });
  }
}
