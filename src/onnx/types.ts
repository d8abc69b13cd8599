/** Element types of ONNX that are known here, by the number that stands in the file. */
export const elementTypes = {
  1: 'float32',
  2: 'uint8',
  3: 'int8',
  4: 'uint16',
  5: 'int16',
  6: 'int32',
  7: 'int64',
  8: 'string',
  9: 'bool',
  10: 'float16',
  11: 'float64',
  12: 'uint32',
  13: 'uint64',
  14: 'complex64',
  15: 'complex128',
  16: 'bfloat16',
} as const;

/** Element type of an ONNX tensor. */
export type ElementType = (typeof elementTypes)[keyof typeof elementTypes];

export const isFloat = (type: ElementType): boolean =>
  type === 'float32' || type === 'float16' || type === 'float64' || type === 'bfloat16';

/** Values in row-major order; integers beyond 2^53 lose their last digits, which no classifier needs. */
export type HostData = Float64Array | Float32Array;

/** The beginning of names of constants that our own files write and nothing learns. */
export const fixedPrefix = 'linbp::';

/** A tensor on the CPU. */
export interface HostTensor {
  readonly type: ElementType;
  readonly shape: readonly number[];
  readonly data: HostData;
  /** The initializer or Constant node it was taken from unchanged, where it was. */
  readonly origin?: string;
  /** The constant that was repeated to make this one, such as a class token. */
  readonly repeats?: HostTensor;
}

/** An attribute's value; a reference to a function's attribute is resolved when the function is inlined. */
export type AttributeValue =
  | { readonly kind: 'float'; readonly value: number }
  | { readonly kind: 'int'; readonly value: number }
  | { readonly kind: 'string'; readonly value: string }
  | { readonly kind: 'tensor'; readonly value: () => HostTensor }
  | { readonly kind: 'graph'; readonly value: OnnxGraph }
  | { readonly kind: 'floats'; readonly value: readonly number[] }
  | { readonly kind: 'ints'; readonly value: readonly number[] }
  | { readonly kind: 'strings'; readonly value: readonly string[] }
  | { readonly kind: 'reference'; readonly value: string }
  | { readonly kind: 'other'; readonly value: number };

/** One node of an ONNX graph. */
export interface OnnxNode {
  /** Its name, or operator and first output where it has none. */
  readonly name: string;
  readonly op: string;
  /** Empty for ONNX's own operators. */
  readonly domain: string;
  /** Version of the operator set of its domain. */
  readonly opset: number;
  /** Names of tensors; empty for an optional input that is left out. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: ReadonlyMap<string, AttributeValue>;
}

/** A size that the file fixes, the name of one that it leaves open, or nothing. */
export type OnnxDimension = number | string | undefined;

export interface OnnxValueInfo {
  readonly name: string;
  /** Undefined for what is no tensor. */
  readonly type: ElementType | undefined;
  /** Undefined where the file does not say the rank. */
  readonly shape: readonly OnnxDimension[] | undefined;
}

/** A graph with functions inlined; initializers are read when they are asked for. */
export interface OnnxGraph {
  readonly name: string;
  readonly nodes: readonly OnnxNode[];
  readonly initializers: ReadonlyMap<string, () => HostTensor>;
  /** Inputs that are no initializers. */
  readonly inputs: readonly OnnxValueInfo[];
  readonly outputs: readonly OnnxValueInfo[];
}

/** A decoded file. */
export interface OnnxFile {
  /** Path or `bytes`, for messages. */
  readonly source: string;
  readonly irVersion: number;
  readonly opset: number;
  readonly producer: string;
  readonly metadata: ReadonlyMap<string, string>;
  readonly graph: OnnxGraph;
  /**
   * Reads the tensors that lie in other files. One that cannot be read makes itself known when it is asked for, since
   * not every one is.
   */
  readonly loadTensors: () => Promise<void>;
}
