import { realpath } from 'node:fs/promises';
import { isAbsolute, join, relative, sep } from 'node:path';
import { LinbpError, check } from '../errors.js';
import { readRange, withRegularFile } from '../io/read.js';
import type { RawGraph, RawModel, RawNode, RawTensor } from './schema.js';
import { claimOf, fromBytes, isExternal, mostElements } from './tensors.js';
import type { HostTensor } from './types.js';

/** Where external data are looked for. */
interface ExternalPlace {
  readonly source: string;
  /** The folder of the model. */
  readonly folder: string;
}

/** Bytes of a tensor outside the model's file, of which none but those that were claimed are read. */
async function externalBytes(
  raw: RawTensor,
  { source, folder }: ExternalPlace,
  what: string,
  wanted: number,
): Promise<Uint8Array> {
  const entries = new Map((raw.externalData ?? []).map(({ key = '', value = '' }) => [key, value]));
  const location = entries.get('location') ?? '';
  const outside = (): never => {
    throw new LinbpError('bad-file', `${source}: ${what} lies outside the model's folder (${location}); not opened`, {
      field: what,
    });
  };
  if (location === '' || isAbsolute(location) || /^[a-z]:|\\|\0/i.test(location)) outside();
  if (location.split(/[/\\]/).includes('..')) outside();
  let file: string;
  try {
    file = await realpath(join(folder, location));
  } catch (error) {
    throw new LinbpError('missing-file', `${source}: the file ${location} with ${what} is not there`, {
      field: what,
      cause: error,
    });
  }
  // A symbolic link could lead out of the folder.
  const inner = relative(await realpath(folder), file);
  if (inner === '..' || inner.startsWith(`..${sep}`) || isAbsolute(inner)) outside();
  const offset = Number(entries.get('offset') ?? 0);
  const length = Number(entries.get('length') ?? wanted);
  return withRegularFile(file, ({ handle, size }) => {
    const fits = Number.isSafeInteger(offset) && offset >= 0 && length === wanted && offset + length <= size;
    check(
      fits,
      'bad-file',
      `${source}: ${what} needs ${wanted} bytes, ${location} has ${length} at ${offset} of ${size}`,
      what,
    );
    return readRange(handle, offset, length, file);
  });
}

async function readOne(raw: RawTensor, place: ExternalPlace): Promise<() => HostTensor> {
  try {
    const { what, type, size, shape, count, claim } = claimOf(raw, place.source);
    check(count <= mostElements, 'limit-exceeded', `${claim}, more than is read`, what);
    const data = fromBytes(await externalBytes(raw, place, what, count * size), type, count);
    const tensor = { type, shape, data, origin: raw.name ?? '' };
    return () => tensor;
  } catch (error) {
    // Not every tensor of a file is asked for.
    return () => {
      throw error;
    };
  }
}

const graphsIn = (node: RawNode): RawGraph[] =>
  (node.attribute ?? []).flatMap(({ type, g }) => (type === 5 && g ? [g] : []));

/** All nodes of a model: those of its graph, of graphs inside it, and of functions. */
function nodesOf({ graph, functions = [] }: RawModel): RawNode[] {
  const nodes = [...(graph?.node ?? []), ...functions.flatMap(({ node }) => node ?? [])];
  // The list grows while it is walked.
  for (const node of nodes) for (const inner of graphsIn(node)) for (const each of inner.node ?? []) nodes.push(each);
  return nodes;
}

/** The tensors that somebody may ask for: initializers that a node takes or a graph returns, and attributes. */
function askedFor(model: RawModel): RawTensor[] {
  const nodes = nodesOf(model);
  const graphs = [model.graph ?? {}, ...nodes.flatMap(graphsIn)];
  const names = new Set([
    ...nodes.flatMap(({ input }) => input ?? []),
    ...graphs.flatMap(({ output }) => (output ?? []).map(({ name }) => name ?? '')),
  ]);
  const defaults = (model.functions ?? []).flatMap(({ attributeProto }) => attributeProto ?? []);
  const attributes = [...nodes.flatMap(({ attribute }) => attribute ?? []), ...defaults];
  return [
    ...graphs.flatMap(({ initializer }) => (initializer ?? []).filter(({ name }) => names.has(name ?? ''))),
    ...attributes.flatMap(({ type, t }) => (type === 4 && t ? [t] : [])),
  ];
}

/** What was read of tensors in other files: the tensor, or a function that throws why it cannot be read. */
export type ExternalTensors = Map<RawTensor, () => HostTensor>;

/**
 * Reads the tensors of a model that lie in other files, one after another, into `found`. One that cannot be read throws
 * `bad-file`, `missing-file`, `unsupported` or `limit-exceeded` when it is asked for.
 */
export async function readExternal(model: RawModel, place: ExternalPlace, found: ExternalTensors): Promise<void> {
  for (const tensor of askedFor(model)) if (isExternal(tensor)) found.set(tensor, await readOne(tensor, place));
}
