import { expectFields } from '../arguments.js';
import type { FieldNames } from '../arguments.js';
import { basename } from 'node:path';
import { LinbpError, check } from '../errors.js';
import { quotedValue } from '../quote.js';
import type { ModelDefinition } from '../nn/definition.js';
import { describeModel } from '../nn/definition.js';
import type { StateDict } from '../nn/model.js';
import { Analysis, describeNode, throwReasons } from './analyze.js';
import type { Reason } from './analyze.js';
import { decodeModel } from './decode.js';
import { metadataKey, readDescription } from './description.js';
import type { StoredDescription } from './description.js';
import { buildFrom } from './model.js';
import { liveSteps } from './lower/simplify.js';
import type { DataValue, Step, Value } from './lower/steps.js';
import { isStep } from './lower/steps.js';
import { findBranches } from './recognize/branches.js';
import { recognizeFunctions } from './recognize/functions.js';
import { recognizeLayerNorms } from './recognize/normalization.js';
import { publishedPreset } from './recognize/presets.js';
import { recognizePreprocessing } from './recognize/preprocessing.js';
import type { FoundPreprocessing } from './recognize/preprocessing.js';
import { producersOf } from './recognize/rewrite.js';
import { recognizeShortcuts } from './recognize/shortcuts.js';
import { isFloat } from './types.js';
import type { OnnxDimension, OnnxFile } from './types.js';

/** Oldest operator set whose models are imported. */
const oldestOpset = 7;

/** Options of {@link importOnnx}. */
export interface ImportOptions {
  /** The model's name; the file's unless given. */
  readonly name?: string;
  /** Height and width of images, for files that leave them open; 224 each unless given. */
  readonly size?: readonly [number, number];
}

/** What a file holds and what was recognized in it. */
export interface OnnxSummary {
  readonly opset: number;
  readonly producer: string;
  readonly inputName: string;
  readonly outputName: string;
  /** How the file has its images; the model takes [N, C, H, W] always. */
  readonly layout: 'NCHW' | 'NHWC';
  /** The batch that the file fixes; undefined where it is open. The model takes any. */
  readonly fixedBatch: number | undefined;
  readonly preprocessing: FoundPreprocessing | undefined;
  /** Such as `gelu`, `layer norm` or `softmax at the end`. */
  readonly recognized: readonly string[];
  /** Number of steps by kind. */
  readonly steps: Readonly<Record<string, number>>;
}

/** A model from an ONNX file, with its weights. */
export interface ImportedModel extends ModelDefinition {
  readonly weights: StateDict;
  readonly onnx: OnnxSummary;
}

interface ImageInput {
  readonly name: string;
  readonly layout: 'NCHW' | 'NHWC';
  readonly image: readonly [number, number, number];
  readonly batch: number | undefined;
}

function refuse(file: OnnxFile, why: string, code: 'unsupported' | 'bad-argument' = 'unsupported'): never {
  throw new LinbpError(code, `${file.source} cannot be imported: ${why}`, { field: 'model' });
}

/** The one input of a classifier. */
function imageInput(file: OnnxFile, size: readonly [number, number] | undefined): ImageInput {
  const { inputs } = file.graph;
  if (inputs.length !== 1)
    refuse(
      file,
      `it has ${inputs.length} inputs (${inputs.map(({ name }) => name).join(', ')}); a classifier takes images alone`,
    );
  const { name, type, shape } = inputs[0]!;
  if (type === undefined || !isFloat(type))
    refuse(file, `its input ${name} is ${type ?? 'no tensor'}; ${castOf(file, name)}images must be of a float type`);
  if (shape?.length !== 4)
    refuse(
      file,
      `its input ${name} has ${shape?.length ?? 'unknown'} axes; images have 4: [N, C, H, W]${convOf(file, name)}`,
    );
  const few = (dimension: OnnxDimension): boolean => typeof dimension === 'number' && dimension <= 4;
  const layout = few(shape[3]) && !few(shape[1]) ? 'NHWC' : 'NCHW';
  const [c, h, w] = layout === 'NHWC' ? [shape[3], shape[1], shape[2]] : [shape[1], shape[2], shape[3]];
  const fixed = (dimension: OnnxDimension, open: number): number => (typeof dimension === 'number' ? dimension : open);
  const [high, wide] = size ?? [224, 224];
  return {
    name,
    layout,
    image: [fixed(c, 3), fixed(h, high), fixed(w, wide)],
    batch: typeof shape[0] === 'number' ? shape[0] : undefined,
  };
}

/** The node that reads the input, where naming it helps. */
function readers(file: OnnxFile, name: string, ops: readonly string[]): string {
  const node = file.graph.nodes.find((each) => ops.includes(each.op) && each.inputs.includes(name));
  return node === undefined ? '' : `${node.name} (${node.op}, opset ${node.opset})`;
}
const castOf = (file: OnnxFile, name: string): string => {
  const node = readers(file, name, ['Cast']);
  return node === '' ? '' : `there is no gradient through ${node}; `;
};
const convOf = (file: OnnxFile, name: string): string => {
  const node = readers(file, name, ['Conv', 'MaxPool', 'AveragePool']);
  return node === '' ? '' : `, and ${node} would need windows over more axes`;
};

interface Analyzed {
  readonly batch: number;
  readonly x: DataValue;
  readonly steps: readonly Step[];
  readonly output: DataValue | undefined;
  readonly reasons: readonly Reason[];
}

/** Walks the graph for one batch size. */
function analyze(file: OnnxFile, input: ImageInput, batch: number): Analyzed {
  const [c, h, w] = input.image;
  const x: DataValue = { kind: 'data', name: input.name, shape: [batch, c, h, w], type: 'float32', batch: 0 };
  const analysis = new Analysis(batch);
  analysis.build.at({
    name: 'layout',
    op: 'Transpose',
    domain: '',
    opset: file.opset,
    inputs: [],
    outputs: [`${input.name}.layout`],
    attributes: new Map(),
  });
  const given = input.layout === 'NHWC' ? analysis.build.transpose(x, [0, 2, 3, 1]) : x;
  const first = { ...file.graph, outputs: file.graph.outputs.slice(0, 1) };
  const [result] = analysis.run(first, new Map<string, Value>([[input.name, given]]));
  if (result?.kind === 'constant')
    analysis.reasons.push({ code: 'unsupported', text: 'the output does not depend on the input', field: 'model' });
  const output = result?.kind === 'data' ? result : undefined;
  return { batch, x, steps: analysis.build.steps, output, reasons: analysis.reasons };
}

/**
 * The logits [N, K]: the output without a softmax at the end, unless it is said to be logits, and without axes of size
 * 1.
 */
function logitsOf(
  file: OnnxFile,
  analyzed: Analyzed,
  output: DataValue,
  asItIs: boolean,
): { value: DataValue; removed: string[] } {
  const producers = producersOf(analyzed.steps);
  const removed: string[] = [];
  let value = output;
  for (let step = producers.get(value); step !== undefined && !asItIs; step = producers.get(value)) {
    const input = step.inputs[0] as DataValue;
    const flat = input.shape.filter((size, axis) => size !== 1 || axis === input.batch).length === 2;
    if (isStep(step, 'softmax') && flat && input.shape[step.attributes.axis] !== 1) {
      removed.push(step.attributes.log ? 'log-softmax at the end' : 'softmax at the end');
      value = input;
    } else if (step.op === 'reshape' && removed.length === 0 && endsInSoftmax(input, producers)) value = input;
    else break;
  }
  const classes = value.shape.filter((_, axis) => axis !== value.batch);
  const k = Math.max(...classes, 1);
  const vector =
    value.batch === 0 && value.shape[0] === analyzed.batch && classes.reduce((p, size) => p * size, 1) === k;
  if (!vector || k < 2)
    refuse(
      file,
      `its output ${file.graph.outputs[0]!.name} ` +
        `[${['N', ...classes].join(', ')}] is not one vector of logits an image` +
        (classes.length > 1 && k > 1 ? ' but a map; models of classes alone can be attacked and trained' : ''),
    );
  return { value, removed };
}

const endsInSoftmax = (value: DataValue, producers: ReadonlyMap<DataValue, Step>): boolean => {
  const step = producers.get(value);
  return step?.op === 'softmax' || (step?.op === 'reshape' && endsInSoftmax(step.inputs[0] as DataValue, producers));
};

/** The constant numbers of a step: of its function, and its operands that do not depend on the pixels. */
const numbersOf = (step: Step): readonly ArrayLike<number>[] => [
  ...(isStep(step, 'unary') ? [step.attributes.values] : []),
  ...step.inputs.flatMap((input) => (input.kind === 'constant' ? [input.tensor.data] : [])),
];

/**
 * Throws `unsupported` where a number follows from how many images there are, such as a division by the first size of
 * the shape: it would be that of the batch which was analyzed. `other` is the analysis of another batch.
 */
function expectAnyBatch(file: OnnxFile, two: Analyzed, other: () => Analyzed): void {
  if (!file.graph.nodes.some(({ op }) => op === 'Shape' || op === 'Size')) return;
  const three = other();
  if (three.reasons.length > 0 || three.steps.length !== two.steps.length) return;
  for (const [index, step] of two.steps.entries()) {
    const theirs = numbersOf(three.steps[index]!);
    const same = numbersOf(step).every((mine, at) => {
      const their = theirs[at];
      if (their === undefined || their === mine || their.length !== mine.length) return true;
      for (let i = 0; i < mine.length; i++) if (!Object.is(mine[i], their[i])) return false;
      return true;
    });
    if (!same) refuse(file, `${describeNode(step.node)}: a number that depends on how many images there are`);
  }
}

/** Analysis with the batch of the file, or with 2, which differs from axes of size 1, and else 1. */
function bestAnalysis(file: OnnxFile, input: ImageInput): Analyzed {
  if (input.batch !== undefined) return analyze(file, input, input.batch);
  const two = analyze(file, input, 2);
  if (two.reasons.length === 0) {
    expectAnyBatch(file, two, () => analyze(file, input, 3));
    return two;
  }
  const one = analyze(file, input, 1);
  return one.reasons.length < two.reasons.length ? one : two;
}

/** The presets that a file of ours comes with, where they name positions that are there. */
function storedPresets(
  description: StoredDescription | undefined,
  positions: ReadonlySet<string>,
): Pick<ModelDefinition, 'presets' | 'presetNote' | 'normalization'> {
  const fits = description?.positions.every(({ name }) => positions.has(name));
  if (fits !== true) return { presetNote: 'an imported network' };
  const { presets, presetNote, normalization } = description!;
  return {
    presets,
    ...(presetNote !== undefined && { presetNote }),
    ...(normalization !== undefined && { normalization }),
  };
}

const isSide = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) > 0;

/**
 * Imports a classifier from an ONNX file: a definition like those of the zoo, together with its weights. The batch is
 * free, images are [N, C, H, W], a softmax at the end is taken off, and the graph is made of the engine's own ops, so
 * that every backward rule, the profiler, f16 and the float64 reference work on it.
 *
 * @param model a path, or the bytes of a file
 * @throws LinbpError `bad-argument`, `bad-range`, `missing-file`, `bad-file`, `limit-exceeded`, or `unsupported` with
 *   every reason at once: node, operator, opset, and what stands in the way
 */
// eslint-disable-next-line max-lines-per-function -- the importer's passes in their order
export async function importOnnx(model: string | Uint8Array, options: ImportOptions = {}): Promise<ImportedModel> {
  expectFields(options, { name: true, size: true } satisfies FieldNames<ImportOptions>);
  const { size } = options;
  const sized = size === undefined || (Array.isArray(size) && size.length === 2 && size.every(isSide));
  check(sized, 'bad-range', `size must be [height, width] in whole pixels, got ${quotedValue(size)}`, 'size');
  const file = await decodeModel(model);
  if (file.opset < oldestOpset)
    refuse(
      file,
      `it uses opset ${file.opset}; models of opset ` +
        `${oldestOpset} on are imported (convert it with onnx's version converter)`,
    );
  const input = imageInput(file, size);
  await file.loadTensors();
  const analyzed = bestAnalysis(file, input);
  throwReasons(analyzed.reasons, file.source);
  check(analyzed.output !== undefined, 'internal', `${file.source}: no output`, 'model');
  const description = readDescription(file.metadata.get(metadataKey));
  const logits = logitsOf(file, analyzed, analyzed.output, description !== undefined);
  const pre = recognizePreprocessing(liveSteps(analyzed.steps, [logits.value]), analyzed.x, [logits.value]);
  const norms = recognizeLayerNorms(pre.steps, pre.results);
  const shortcuts = recognizeShortcuts(norms.steps, norms.results);
  const functions = recognizeFunctions(shortcuts.steps, shortcuts.results);
  const result = functions.results[0]!;
  const classes = result.shape.slice(1).reduce((product, size) => product * size, 1);
  const branches = findBranches(functions.steps, analyzed.x);
  const steps: Record<string, number> = {};
  for (const step of functions.steps) {
    const kind = isStep(step, 'unary') ? step.attributes.fn : step.op;
    steps[kind] = (steps[kind] ?? 0) + 1;
  }
  const { build, weights, found } = buildFrom({
    steps: functions.steps,
    x: analyzed.x,
    logits: result,
    batch: analyzed.batch,
    branches,
    classes,
    ...(description !== undefined && { described: description }),
  });
  const definition: ImportedModel = {
    name: options.name ?? (typeof model === 'string' ? basename(model).replace(/\.onnx$/i, '') : 'onnx'),
    input: input.image,
    classes,
    build,
    weights,
    ...storedPresets(description, found),
    onnx: {
      opset: file.opset,
      producer: file.producer,
      inputName: input.name,
      outputName: file.graph.outputs[0]!.name,
      layout: input.layout,
      fixedBatch: input.batch,
      preprocessing: pre.found,
      recognized: [
        ...logits.removed,
        ...functions.found,
        ...(norms.count > 0 ? [`layer norm (${norms.count})`] : []),
        ...(branches.length > 0 ? [`residual branches (${branches.length})`] : []),
      ],
      steps,
    },
  };
  // Whatever the engine itself refuses shows here and not in the middle of an attack.
  try {
    const preset = description === undefined ? publishedPreset(describeModel(definition).activations) : undefined;
    if (preset !== undefined) return { ...definition, presets: { default: preset } };
    describeModel(definition);
  } catch (error) {
    if (!(error instanceof LinbpError)) throw error;
    throw new LinbpError(error.code, `${file.source} cannot be imported: ${error.message}`, {
      field: error.field ?? 'model',
      cause: error,
    });
  }
  return definition;
}
