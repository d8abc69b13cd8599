import { activationKinds } from '../graph/functions.js';
import type { ActivationKind } from '../graph/functions.js';
import type { ActivationPosition, BranchPlace, PositionKind, PositionTable } from '../rules/positions.js';

/*
 * What a graph of operators does not say about a network: the names, stages and kinds of its activations, and its
 * presets. `exportOnnx` writes it as one entry of the file's metadata; it never changes what is computed.
 */

/** The key of the entry. */
export const metadataKey = 'linbp';

/** What an exported file says about its network. */
export interface StoredDescription {
  readonly positions: readonly ActivationPosition[];
  /** Names of residual branches, which are found by the activations inside. */
  readonly branches: readonly BranchPlace[];
  readonly presets: Readonly<Record<string, readonly string[]>>;
  readonly presetNote?: string;
  readonly normalization?: string;
}

/** The entry's text. */
export function storedDescription(table: PositionTable, normalization: string | undefined): string {
  const { positions, branches = [], presets, presetNote } = table;
  return JSON.stringify({ positions, branches, presets, presetNote, normalization });
}

const kinds: ReadonlySet<string> = new Set<PositionKind>(['stem', 'branch', 'post-addition', 'classifier', 'conv']);
/** Bounds against files that ask for too much. */
const longestText = 2 ** 24;
const longestName = 500;

type Json = Readonly<Record<string, unknown>>;
const isRecord = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isName = (value: unknown): value is string => typeof value === 'string' && value.length <= longestName;
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

function readPosition(value: unknown): ActivationPosition | undefined {
  if (!isRecord(value)) return undefined;
  const { name, index, stage, block, kind, activation } = value;
  const known = isName(activation) && (activationKinds.includes(activation) || activation === 'relu6Official');
  if (!isName(name) || !isCount(index) || !isName(kind) || !kinds.has(kind) || !known) return undefined;
  if ((stage !== undefined && !isName(stage)) || (block !== undefined && !isCount(block))) return undefined;
  return {
    name,
    index,
    ...(stage !== undefined && { stage }),
    ...(block !== undefined && { block }),
    kind: kind as PositionKind,
    activation: activation as ActivationKind,
  };
}

/** Reads the entry; undefined where there is none or something about it is wrong. */
export function readDescription(text: string | undefined): StoredDescription | undefined {
  if (text === undefined || text.length > longestText) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isRecord(value) || !Array.isArray(value['positions']) || !isRecord(value['presets'])) return undefined;
  const positions = value['positions'].map(readPosition);
  if (!positions.every((position) => position !== undefined)) return undefined;
  const names = new Set(positions.map(({ name }) => name));
  if (names.size !== positions.length) return undefined;
  const presets = Object.entries(value['presets']);
  const valid = presets.every(
    ([key, list]) => isName(key) && Array.isArray(list) && list.every((name) => names.has(name as string)),
  );
  if (!valid) return undefined;
  const { branches = [], presetNote, normalization } = value;
  const isBranch = (branch: unknown): branch is BranchPlace =>
    isRecord(branch) &&
    isName(branch['name']) &&
    Array.isArray(branch['activations']) &&
    branch['activations'].every((name) => names.has(name as string));
  if (!Array.isArray(branches) || !branches.every(isBranch)) return undefined;
  return {
    positions,
    branches,
    presets: Object.fromEntries(presets) as Record<string, string[]>,
    ...(isName(presetNote) && { presetNote }),
    ...(isName(normalization) && { normalization }),
  };
}
