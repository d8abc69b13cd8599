import protobuf from 'protobufjs/light.js';

/*
 * The part of ONNX's protobuf schema that is read here (onnx/onnx.proto of the ONNX project, IR version 13): field
 * names and numbers. Other fields are skipped by the decoder.
 */

type Field = readonly [type: string, id: number, repeated?: 'repeated'];

const messages: Readonly<Record<string, Readonly<Record<string, Field>>>> = {
  ModelProto: {
    irVersion: ['int64', 1],
    producerName: ['string', 2],
    producerVersion: ['string', 3],
    graph: ['GraphProto', 7],
    opsetImport: ['OperatorSetIdProto', 8, 'repeated'],
    metadataProps: ['StringStringEntryProto', 14, 'repeated'],
    functions: ['FunctionProto', 25, 'repeated'],
  },
  OperatorSetIdProto: { domain: ['string', 1], version: ['int64', 2] },
  StringStringEntryProto: { key: ['string', 1], value: ['string', 2] },
  GraphProto: {
    node: ['NodeProto', 1, 'repeated'],
    name: ['string', 2],
    initializer: ['TensorProto', 5, 'repeated'],
    input: ['ValueInfoProto', 11, 'repeated'],
    output: ['ValueInfoProto', 12, 'repeated'],
    sparseInitializer: ['bytes', 15, 'repeated'],
  },
  NodeProto: {
    input: ['string', 1, 'repeated'],
    output: ['string', 2, 'repeated'],
    name: ['string', 3],
    opType: ['string', 4],
    attribute: ['AttributeProto', 5, 'repeated'],
    domain: ['string', 7],
    overload: ['string', 8],
  },
  AttributeProto: {
    name: ['string', 1],
    f: ['float', 2],
    i: ['int64', 3],
    s: ['bytes', 4],
    t: ['TensorProto', 5],
    g: ['GraphProto', 6],
    floats: ['float', 7, 'repeated'],
    ints: ['int64', 8, 'repeated'],
    strings: ['bytes', 9, 'repeated'],
    type: ['int32', 20],
    refAttrName: ['string', 21],
    sparseTensor: ['bytes', 22],
  },
  TensorProto: {
    dims: ['int64', 1, 'repeated'],
    dataType: ['int32', 2],
    segment: ['bytes', 3],
    floatData: ['float', 4, 'repeated'],
    int32Data: ['int32', 5, 'repeated'],
    stringData: ['bytes', 6, 'repeated'],
    int64Data: ['int64', 7, 'repeated'],
    name: ['string', 8],
    rawData: ['bytes', 9],
    doubleData: ['double', 10, 'repeated'],
    uint64Data: ['uint64', 11, 'repeated'],
    externalData: ['StringStringEntryProto', 13, 'repeated'],
    dataLocation: ['int32', 14],
  },
  ValueInfoProto: { name: ['string', 1], type: ['TypeProto', 2] },
  TypeProto: {
    tensorType: ['TensorTypeProto', 1],
    sequenceType: ['bytes', 4],
    mapType: ['bytes', 5],
    optionalType: ['bytes', 9],
    sparseTensorType: ['bytes', 8],
  },
  TensorTypeProto: { elemType: ['int32', 1], shape: ['TensorShapeProto', 2] },
  TensorShapeProto: { dim: ['DimensionProto', 1, 'repeated'] },
  DimensionProto: { dimValue: ['int64', 1], dimParam: ['string', 2] },
  FunctionProto: {
    name: ['string', 1],
    input: ['string', 4, 'repeated'],
    output: ['string', 5, 'repeated'],
    attribute: ['string', 6, 'repeated'],
    node: ['NodeProto', 7, 'repeated'],
    opsetImport: ['OperatorSetIdProto', 9, 'repeated'],
    domain: ['string', 10],
    attributeProto: ['AttributeProto', 11, 'repeated'],
    overload: ['string', 13],
  },
};

function buildRoot(): protobuf.Root {
  const nested = Object.entries(messages).map(([name, fields]) => {
    const entries = Object.entries(fields).map(([field, [type, id, rule]]) => [
      field,
      rule === undefined ? { type, id } : { type, id, rule },
    ]);
    return [name, { fields: Object.fromEntries(entries) as Record<string, protobuf.IField> }];
  });
  return protobuf.Root.fromJSON({
    edition: 'proto3',
    nested: { onnx: { nested: Object.fromEntries(nested) as Record<string, protobuf.AnyNestedObject> } },
  } as protobuf.INamespace);
}

const root = buildRoot();

/** A 64-bit integer as protobufjs gives it. */
export type Int64 = number | { toNumber(): number };

export interface RawEntry {
  readonly key?: string;
  readonly value?: string;
}
export interface RawOpset {
  readonly domain?: string;
  readonly version?: Int64;
}
export interface RawTensor {
  readonly dims?: readonly Int64[];
  readonly dataType?: number;
  readonly segment?: Uint8Array;
  readonly floatData?: readonly number[];
  readonly int32Data?: readonly number[];
  readonly stringData?: readonly Uint8Array[];
  readonly int64Data?: readonly Int64[];
  readonly name?: string;
  readonly rawData?: Uint8Array;
  readonly doubleData?: readonly number[];
  readonly uint64Data?: readonly Int64[];
  readonly externalData?: readonly RawEntry[];
  readonly dataLocation?: number;
}
export interface RawAttribute {
  readonly name?: string;
  readonly f?: number;
  readonly i?: Int64;
  readonly s?: Uint8Array;
  readonly t?: RawTensor;
  readonly g?: RawGraph;
  readonly floats?: readonly number[];
  readonly ints?: readonly Int64[];
  readonly strings?: readonly Uint8Array[];
  readonly type?: number;
  readonly refAttrName?: string;
  readonly sparseTensor?: Uint8Array;
}
export interface RawNode {
  readonly input?: readonly string[];
  readonly output?: readonly string[];
  readonly name?: string;
  readonly opType?: string;
  readonly attribute?: readonly RawAttribute[];
  readonly domain?: string;
  readonly overload?: string;
}
export interface RawValueInfo {
  readonly name?: string;
  readonly type?: {
    readonly tensorType?: {
      readonly elemType?: number;
      readonly shape?: { readonly dim?: readonly { readonly dimValue?: Int64; readonly dimParam?: string }[] };
    };
  };
}
export interface RawGraph {
  readonly node?: readonly RawNode[];
  readonly name?: string;
  readonly initializer?: readonly RawTensor[];
  readonly input?: readonly RawValueInfo[];
  readonly output?: readonly RawValueInfo[];
  readonly sparseInitializer?: readonly Uint8Array[];
}
export interface RawFunction {
  readonly name?: string;
  readonly input?: readonly string[];
  readonly output?: readonly string[];
  readonly attribute?: readonly string[];
  readonly node?: readonly RawNode[];
  readonly opsetImport?: readonly RawOpset[];
  readonly domain?: string;
  readonly attributeProto?: readonly RawAttribute[];
  readonly overload?: string;
}
export interface RawModel {
  readonly irVersion?: Int64;
  readonly producerName?: string;
  readonly producerVersion?: string;
  readonly graph?: RawGraph;
  readonly opsetImport?: readonly RawOpset[];
  readonly metadataProps?: readonly RawEntry[];
  readonly functions?: readonly RawFunction[];
}

/** Decodes a message. Throws what protobufjs throws for damaged bytes. */
export function decodeMessage(type: 'ModelProto', bytes: Uint8Array): RawModel;
export function decodeMessage(type: 'TensorProto', bytes: Uint8Array): RawTensor;
export function decodeMessage(type: 'ModelProto' | 'TensorProto', bytes: Uint8Array): RawModel | RawTensor {
  return root.lookupType(`onnx.${type}`).decode(bytes) as unknown as RawModel | RawTensor;
}

/** Encodes a model. */
export function encodeModel(model: RawModel): Uint8Array {
  return root.lookupType('onnx.ModelProto').encode(model).finish();
}
