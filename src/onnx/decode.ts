import { dirname } from 'node:path';
import { LinbpError, check } from '../errors.js';
import { readRange, withRegularFile } from '../io/read.js';
import { quoted, quotedPath, quotedValue } from '../quote.js';
import { readExternal } from './external.js';
import type { ExternalTensors } from './external.js';
import { inlineFunctions } from './functions.js';
import { decodeMessage } from './schema.js';
import type { Int64, RawAttribute, RawGraph, RawModel, RawNode, RawOpset, RawValueInfo } from './schema.js';
import { readTensor } from './tensors.js';
import type { TensorPlace } from './tensors.js';
import { elementTypes } from './types.js';
import type { AttributeValue, OnnxDimension, OnnxFile, OnnxGraph, OnnxNode, OnnxValueInfo } from './types.js';

/** Oldest and newest operator set of ONNX that is understood. */
export const opsetRange = { oldest: 1, newest: 25 } as const;
/** Bytes of the largest file that is read; protobuf itself ends at 2 GiB. */
const largestFile = 2 ** 31 - 1;

export const integer = (value: Int64 | undefined): number =>
  value === undefined ? 0 : typeof value === 'number' ? value : value.toNumber();

/** Throws `bad-file` where the bytes are plainly something else. */
function checkForeign(bytes: Uint8Array, source: string): void {
  check(bytes.length > 0, 'bad-file', `${source} is empty`, 'model');
  const head = new TextDecoder('latin1').decode(bytes.subarray(0, 64));
  check(
    !head.startsWith('version https://git-lfs'),
    'bad-file',
    `${source} is a Git LFS pointer instead of the file; "git lfs pull" fetches the file`,
    'model',
  );
  check(
    !/^\s*(<!doctype|<html|<\?xml)/i.test(head),
    'bad-file',
    `${source} is a web page instead of an ONNX file: a failed download`,
    'model',
  );
  check(!head.startsWith('PK'), 'bad-file', `${source} is a zip archive and no ONNX file`, 'model');
}

/** Reads a file into memory. Throws `missing-file`, `bad-file` or `limit-exceeded`. */
export function readModelBytes(path: string): Promise<Uint8Array> {
  return withRegularFile(path, ({ handle, size }) => {
    const message = `${quotedPath(path)} has ${size} bytes; ONNX files end at 2 GiB`;
    check(size <= largestFile, 'limit-exceeded', message, 'model');
    return readRange(handle, 0, size, path);
  });
}

/** What nodes are read with. */
interface ReadContext {
  readonly place: TensorPlace;
  readonly opsets: ReadonlyMap<string, number>;
}

function readAttribute(raw: RawAttribute, context: ReadContext): AttributeValue {
  if (raw.refAttrName !== undefined && raw.refAttrName !== '') return { kind: 'reference', value: raw.refAttrName };
  const text = (bytes: Uint8Array | undefined): string => new TextDecoder().decode(Uint8Array.from(bytes ?? []));
  switch (raw.type) {
    case 1:
      return { kind: 'float', value: raw.f ?? 0 };
    case 2:
      return { kind: 'int', value: integer(raw.i) };
    case 3:
      return { kind: 'string', value: text(raw.s) };
    case 4: {
      const tensor = raw.t ?? {};
      return { kind: 'tensor', value: () => readTensor(tensor, context.place) };
    }
    case 5:
      return { kind: 'graph', value: readGraph(raw.g ?? {}, context) };
    case 6:
      return { kind: 'floats', value: [...(raw.floats ?? [])] };
    case 7:
      return { kind: 'ints', value: (raw.ints ?? []).map(integer) };
    case 8:
      return { kind: 'strings', value: (raw.strings ?? []).map(text) };
    default:
      return { kind: 'other', value: raw.type ?? 0 };
  }
}

const ownDomain = (domain: string | undefined): string => (domain === 'ai.onnx' ? '' : (domain ?? ''));

export function readNode(raw: RawNode, context: ReadContext): OnnxNode {
  const op = raw.opType ?? '';
  const outputs = [...(raw.output ?? [])];
  const name = raw.name === undefined || raw.name === '' ? `${op} -> ${outputs[0] ?? '?'}` : raw.name;
  const domain = ownDomain(raw.domain);
  return {
    name,
    op,
    domain,
    opset: context.opsets.get(domain) ?? 0,
    inputs: [...(raw.input ?? [])],
    outputs,
    attributes: new Map((raw.attribute ?? []).map((each) => [each.name ?? '', readAttribute(each, context)])),
  };
}

function readValueInfo(raw: RawValueInfo): OnnxValueInfo {
  const tensor = raw.type?.tensorType ?? undefined;
  const dimension = (dim: { readonly dimValue?: Int64; readonly dimParam?: string }): OnnxDimension => {
    if (dim.dimParam !== undefined && dim.dimParam !== '') return dim.dimParam;
    const size = integer(dim.dimValue);
    return size > 0 ? size : undefined;
  };
  return {
    name: raw.name ?? '',
    type: tensor === undefined ? undefined : elementTypes[(tensor.elemType ?? 0) as keyof typeof elementTypes],
    shape:
      tensor === undefined || (tensor.shape ?? undefined) === undefined
        ? undefined
        : (tensor.shape?.dim ?? []).map(dimension),
  };
}

function readGraph(raw: RawGraph, context: ReadContext): OnnxGraph {
  const initializers = new Map(
    (raw.initializer ?? []).map((tensor) => {
      let read: ReturnType<typeof readTensor> | undefined;
      return [tensor.name ?? '', () => (read ??= readTensor(tensor, context.place))] as const;
    }),
  );
  check(
    (raw.sparseInitializer ?? []).length === 0,
    'unsupported',
    `${context.place.source}: sparse initializers are not supported`,
    'model',
  );
  const nodes = (raw.node ?? []).map((node) => readNode(node, context));
  const inputs = (raw.input ?? []).filter(({ name }) => !initializers.has(name ?? '')).map(readValueInfo);
  // One name for two tensors, and what reads it would depend on the reader.
  const made = [...initializers.keys(), ...inputs.map(({ name }) => name), ...nodes.flatMap(({ outputs }) => outputs)];
  const seen = new Set<string>();
  const twice = made.find((name) => name !== '' && (seen.has(name) || !seen.add(name)));
  check(
    twice === undefined && (raw.initializer ?? []).length === initializers.size,
    'bad-file',
    `${context.place.source}: two tensors are called ${quoted(twice ?? 'the same')}`,
    'model',
  );
  return {
    name: raw.name ?? '',
    nodes,
    initializers,
    inputs,
    outputs: (raw.output ?? []).map(readValueInfo),
  };
}

export function opsetsOf(imports: readonly RawOpset[] | undefined): Map<string, number> {
  return new Map((imports ?? []).map(({ domain, version }) => [ownDomain(domain), integer(version)]));
}

function decodeRaw(bytes: Uint8Array, source: string): RawModel {
  checkForeign(bytes, source);
  try {
    return decodeMessage('ModelProto', bytes);
  } catch (error) {
    const why = error instanceof RangeError ? 'it ends early or is damaged' : 'it is no protobuf message of a model';
    throw new LinbpError('bad-file', `${source} is not a readable ONNX file: ${why}`, { field: 'model', cause: error });
  }
}

/**
 * Decodes an ONNX file with its local functions inlined. Nothing is executed; tensors are decoded when asked for. Those
 * in other files are not there before `loadTensors`.
 *
 * @param model a path, or the bytes of a file; only a path gives access to external data, inside its own folder
 * @throws LinbpError `bad-argument`, `missing-file`, `bad-file`, `unsupported` or `limit-exceeded`
 */
export async function decodeModel(model: string | Uint8Array): Promise<OnnxFile> {
  const known = typeof model === 'string' || (model as unknown) instanceof Uint8Array;
  check(known, 'bad-argument', `the model must be a path or bytes, got ${quotedValue(model)}`, 'model');
  if (typeof model !== 'string') {
    const source = 'the ONNX model';
    return fileOf(decodeRaw(model, source), { source, external: undefined }, () => Promise.resolve());
  }
  const raw = decodeRaw(await readModelBytes(model), model);
  const external: ExternalTensors = new Map();
  return fileOf(raw, { source: model, external }, () =>
    readExternal(raw, { source: model, folder: dirname(model) }, external),
  );
}

function fileOf(raw: RawModel, place: TensorPlace, loadTensors: () => Promise<void>): OnnxFile {
  const { source } = place;
  const graph = raw.graph ?? undefined;
  check(
    graph !== undefined && (graph.output ?? []).length > 0,
    'bad-file',
    `${source} is not an ONNX model: it holds no graph with outputs${graph === undefined ? '' : ' (or it ends early)'}`,
    'model',
  );
  const opsets = opsetsOf(raw.opsetImport);
  const opset = opsets.get('') ?? 0;
  check(
    opset >= opsetRange.oldest && opset <= opsetRange.newest,
    'unsupported',
    opset === 0
      ? `${source} does not say which operator set it uses`
      : `${source} uses opset ${opset}; opsets ${opsetRange.oldest} to ${opsetRange.newest} are supported`,
    'model',
  );
  const context = { place, opsets };
  const read = readGraph(graph, context);
  const functions = (raw.functions ?? []).map((each) => ({
    name: each.name ?? '',
    domain: ownDomain(each.domain),
    inputs: [...(each.input ?? [])],
    outputs: [...(each.output ?? [])],
    defaults: new Map((each.attributeProto ?? []).map((value) => [value.name ?? '', readAttribute(value, context)])),
    nodes: (each.node ?? []).map((node) =>
      readNode(node, { place, opsets: new Map([...opsets, ...opsetsOf(each.opsetImport)]) }),
    ),
  }));
  return {
    source,
    irVersion: integer(raw.irVersion),
    opset,
    producer: [raw.producerName, raw.producerVersion].filter((part) => part !== undefined && part !== '').join(' '),
    metadata: new Map((raw.metadataProps ?? []).map(({ key = '', value = '' }) => [key, value])),
    loadTensors,
    graph: functions.length === 0 ? read : inlineFunctions(read, functions, source),
  };
}
