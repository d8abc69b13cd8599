import type { DataValue, Step, Value } from '../lower/steps.js';
import { isStep } from '../lower/steps.js';
import { producersOf, substitute } from './rewrite.js';

/*
 * What stands in front of a network: scaling, means and deviations, the order of the channels, the layout. Whatever is
 * a line per channel of the input becomes one step.
 */

interface Channel {
  readonly from: number;
  readonly scale: number;
  readonly shift: number;
}

/** A tensor each of whose channels is a line of a channel of the input. */
interface ImageLine {
  /** Axis i of the tensor is axis `layout[i]` of [N, C, H, W]. */
  readonly layout: readonly number[];
  readonly channels: readonly Channel[];
}

/** What a constant operand is for each channel; undefined where it varies within a channel. */
function perChannel(value: Value, { layout, channels }: ImageLine): number[] | undefined {
  if (value.kind !== 'constant') return undefined;
  const { shape, data } = value.tensor;
  const own = layout.indexOf(1) - layout.length + shape.length;
  if (shape.length > layout.length || shape.some((size, axis) => size !== 1 && axis !== own)) return undefined;
  if (data.length !== 1 && data.length !== channels.length) return undefined;
  return channels.map((_, c) => data[data.length === 1 ? 0 : c]!);
}

const mapped = (line: ImageLine, change: (channel: Channel, c: number) => Channel): ImageLine => ({
  ...line,
  channels: line.channels.map(change),
});

function afterBinary(step: Step<'binary'>, line: ImageLine, at: number): ImageLine | undefined {
  const values = perChannel(step.inputs[1 - at]!, line);
  if (values === undefined) return undefined;
  switch (step.attributes.kind) {
    case 'add':
      return mapped(line, (each, c) => ({ ...each, shift: each.shift + values[c]! }));
    case 'sub':
      return mapped(line, ({ from, scale, shift }, c) =>
        at === 0 ? { from, scale, shift: shift - values[c]! } : { from, scale: -scale, shift: values[c]! - shift },
      );
    case 'mul':
      return mapped(line, ({ from, scale, shift }, c) => ({
        from,
        scale: scale * values[c]!,
        shift: shift * values[c]!,
      }));
    case 'div':
      if (at !== 0) return undefined;
      return mapped(line, ({ from, scale, shift }, c) => ({
        from,
        scale: scale / values[c]!,
        shift: shift / values[c]!,
      }));
    default:
      return undefined;
  }
}

/** What a step makes of lines; undefined where the result is none. */
function after(step: Step, lines: ReadonlyMap<DataValue, ImageLine>): ImageLine | undefined {
  const at = step.inputs.findIndex((input) => input.kind === 'data');
  const line = lines.get(step.inputs[at] as DataValue);
  if (line === undefined) return undefined;
  const axis = line.layout.indexOf(1);
  if (isStep(step, 'unary') && step.attributes.fn === 'affine') {
    const [factor = 1, offset = 0] = step.attributes.values;
    return mapped(line, ({ from, scale, shift }) => ({ from, scale: scale * factor, shift: shift * factor + offset }));
  }
  if (isStep(step, 'binary')) return afterBinary(step, line, at);
  if (isStep(step, 'transpose')) return { ...line, layout: step.attributes.perm.map((each) => line.layout[each]!) };
  if (isStep(step, 'gather') && step.attributes.axis === axis)
    return { ...line, channels: step.attributes.indices.map((index) => line.channels[index]!) };
  if (isStep(step, 'slice')) {
    const { cut } = step.attributes;
    const others = cut.every(
      ({ start, step: by, size }, i) =>
        i === axis ||
        (start === 0 && by === 1 && size === step.output.shape[i] && size === (step.inputs[0] as DataValue).shape[i]),
    );
    const part = cut[axis]!;
    if (!others) return undefined;
    return {
      ...line,
      channels: Array.from({ length: part.size }, (_, i) => line.channels[part.start + i * part.step]!),
    };
  }
  if (isStep(step, 'concat') && step.attributes.axis === axis) {
    const parts = step.inputs.map((input) => (input.kind === 'data' ? lines.get(input) : undefined));
    if (parts.some((part) => part?.layout.join() !== line.layout.join())) return undefined;
    return { ...line, channels: parts.flatMap((part) => part!.channels) };
  }
  return undefined;
}

/** What was found in front of a network. */
export interface FoundPreprocessing {
  readonly order: readonly number[];
  readonly scale: readonly number[];
  readonly shift: readonly number[];
}

/**
 * Replaces what is a line per channel of the input `x` [N, C, H, W] by one step where another step reads it.
 * Transpositions to the layout in which it is read stay.
 */
export function recognizePreprocessing(
  steps: readonly Step[],
  x: DataValue,
  results: readonly DataValue[],
): { steps: Step[]; results: DataValue[]; found: FoundPreprocessing | undefined } {
  const channels = x.shape[1]!;
  const identity = Array.from({ length: channels }, (_, from) => ({ from, scale: 1, shift: 0 }));
  const lines = new Map<DataValue, ImageLine>([[x, { layout: [0, 1, 2, 3], channels: identity }]]);
  for (const step of steps) {
    const line = after(step, lines);
    if (line !== undefined) lines.set(step.output, line);
  }
  const producers = producersOf(steps);
  const made = new Map<string, DataValue>();
  const replaced = new Map<DataValue, DataValue>();
  const added: Step[] = [];
  let found: FoundPreprocessing | undefined;
  const materialize = (value: DataValue, line: ImageLine): void => {
    const node = producers.get(value)!.node;
    const order = line.channels.map(({ from }) => from);
    const key = JSON.stringify(line.channels);
    let base = made.get(key);
    if (base === undefined) {
      const plain = line.channels.every(({ from, scale, shift }, c) => from === c && scale === 1 && shift === 0);
      if (plain) base = x;
      else {
        const attributes = {
          order,
          scale: line.channels.map(({ scale }) => scale),
          shift: line.channels.map(({ shift }) => shift),
        };
        found ??= attributes;
        base = { ...x, name: `${value.name}.pixels` };
        added.push({ op: 'preprocess', attributes, inputs: [x], output: base, node });
      }
      made.set(key, base);
    }
    let result = base;
    if (line.layout.join() !== '0,1,2,3') {
      const shape = line.layout.map((axis) => x.shape[axis]!);
      result = { ...x, name: `${value.name}.layout`, shape, batch: line.layout.indexOf(0) };
      added.push({ op: 'transpose', attributes: { perm: line.layout }, inputs: [base], output: result, node });
    }
    replaced.set(value, result);
  };
  const seen = new Set<DataValue>();
  for (const step of steps) {
    if (lines.has(step.output)) continue;
    for (const input of step.inputs) {
      if (input.kind !== 'data' || input === x || seen.has(input)) continue;
      const line = lines.get(input);
      if (line === undefined || line.channels.length !== channels) continue;
      seen.add(input);
      materialize(input, line);
    }
  }
  return { ...substitute([...added, ...steps], replaced, results), found };
}
