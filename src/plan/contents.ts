import type { Graph } from '../graph/graph.js';
import { resolveView } from '../graph/graph.js';
import { elementCount, pixelCount } from '../graph/types.js';
import type { Node, Tensor } from '../graph/types.js';

/** A stretch of each image of a tensor: `length` elements that are those of the tensor `leaf` from `from` on. */
interface Piece {
  readonly leaf: number;
  readonly from: number;
  readonly length: number;
}

/** A stretch of each image of some memory. */
interface Held extends Piece {
  readonly start: number;
}

/** Elements of an image of a tensor. */
const perImage = (tensor: Tensor): number => elementCount(tensor.shape.slice(1));

/** The elements [first, first + length) of a list of pieces. */
function cut(pieces: readonly Piece[], first: number, length: number): Piece[] {
  const found: Piece[] = [];
  let at = 0;
  for (const piece of pieces) {
    const begin = Math.max(first, at);
    const end = Math.min(first + length, at + piece.length);
    if (begin < end) found.push({ leaf: piece.leaf, from: piece.from + begin - at, length: end - begin });
    at += piece.length;
  }
  return found;
}

/** Joins neighbors that continue each other, so that equal contents are equal lists. */
function joined(pieces: readonly Piece[]): Piece[] {
  const found: Piece[] = [];
  for (const piece of pieces) {
    const last = found.at(-1);
    if (last?.leaf === piece.leaf && last.from + last.length === piece.from)
      found[found.length - 1] = { ...last, length: last.length + piece.length };
    else found.push(piece);
  }
  return found;
}

/**
 * What the tensors of a graph consist of, by its concatenations and slices of channels: what may share memory means
 * the same elements.
 */
export class Meaning {
  private readonly tensors: readonly Tensor[];
  private readonly known = new Map<number, readonly Piece[]>();

  constructor(graph: Graph) {
    this.tensors = graph.tensors;
  }

  /** Pieces of each image of a tensor of the graph, in whatever place. */
  of(tensor: Tensor): readonly Piece[] {
    const original = this.tensors[tensor.id];
    if (original === undefined) return [{ leaf: tensor.id, from: 0, length: perImage(tensor) }];
    let pieces = this.known.get(original.id);
    if (pieces === undefined) this.known.set(original.id, (pieces = joined(this.derive(original))));
    return pieces;
  }

  private derive(tensor: Tensor): readonly Piece[] {
    const node = tensor.producer;
    if (node?.op === 'concat' && ((node as Node<'concat'>).attrs.axis ?? 1) === 1)
      return node.inputs.flatMap((part) => this.of(part));
    if (node?.op === 'reshape' && perImage(node.inputs[0]!) === perImage(tensor)) return this.of(node.inputs[0]!);
    if (node?.op === 'channelSlice') {
      const { first, stride } = (node as Node<'channelSlice'>).attrs;
      if (stride.every((step) => step === 1))
        return cut(this.of(node.inputs[0]!), first * pixelCount(tensor.shape), perImage(tensor));
    }
    return [{ leaf: tensor.id, from: 0, length: perImage(tensor) }];
  }
}

/** What each image of a value's memory holds, where several tensors live in it side by side. */
export class Contents {
  private readonly meaning: Meaning;
  private held: Held[] = [];

  constructor(meaning: Meaning) {
    this.meaning = meaning;
  }

  /** Forgets everything, as when other values have overwritten the memory. */
  clear(): void {
    this.held = [];
  }

  write(tensor: Tensor): void {
    const { start, end } = Contents.range(tensor);
    const kept = this.held.flatMap((stretch) => [
      ...Contents.between(stretch, stretch.start, Math.min(stretch.start + stretch.length, start)),
      ...Contents.between(stretch, Math.max(stretch.start, end), stretch.start + stretch.length),
    ]);
    let at = start;
    for (const piece of this.meaning.of(tensor)) {
      kept.push({ ...piece, start: at });
      at += piece.length;
    }
    this.held = kept.sort((left, right) => left.start - right.start);
  }

  /** Whether the memory in the place of `tensor` holds its elements. */
  has(tensor: Tensor): boolean {
    const { start, end } = Contents.range(tensor);
    const found = joined(
      this.held.flatMap((stretch) =>
        Contents.between(stretch, Math.max(stretch.start, start), Math.min(stretch.start + stretch.length, end)),
      ),
    );
    const expected = this.meaning.of(tensor);
    return found.length === expected.length && found.every((piece, index) => Contents.same(piece, expected[index]!));
  }

  private static same(left: Piece, right: Piece): boolean {
    return left.leaf === right.leaf && left.from === right.from && left.length === right.length;
  }

  private static between(stretch: Held, start: number, end: number): Held[] {
    return start < end
      ? [{ leaf: stretch.leaf, from: stretch.from + start - stretch.start, length: end - start, start }]
      : [];
  }

  /** The elements that a tensor takes up in each image of its memory. */
  private static range(tensor: Tensor): { start: number; end: number } {
    const { root, offset } = resolveView(tensor);
    const start = offset % perImage(root);
    return { start, end: start + perImage(tensor) };
  }
}
