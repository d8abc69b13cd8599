import { check } from '../errors.js';
import { byteLength, elementCount } from '../graph/types.js';
import type { Tensor } from '../graph/types.js';
import { opTable } from '../ops/table.js';
import {
  bases,
  elementwiseWidth,
  foldGrid,
  maxWorkgroups,
  operandBytes,
  reads,
  sliceOperand,
  slices,
  stepParameter,
  words,
  writes,
} from './grid.js';
import { link } from '../wgsl/link.js';
import { bindingBase } from './types.js';
import type { Dispatch, Lowering, Operand } from './types.js';

/** Invocations of a workgroup: WX of the source shaders. */
const width = 64;

/** Philox blocks of 4 elements; the same numbers as src/random/philox.ts. */
export const lowerRandom: Lowering<'random'> = (node, _group, context) => {
  const { shape, distribution, stream } = node.attrs;
  const batch = shape[0]!;
  const sampleSize = elementCount(shape) / batch;
  const blocks = Math.ceil(sampleSize / 4);
  const seed = stepParameter(node.attrs.seed, context, 'seed');
  const step = stepParameter(node.attrs.step, context, 'step');
  const operands: Operand[] = [reads('ids', node.inputs[0]!), writes('result', node.outputs[0]!)];
  return [
    {
      kernel: 'source/random',
      variant: distribution,
      code: link('source/random', {
        constants: { NORMAL: distribution === 'normal', SEED_PER_STEP: seed.perStep, STEP_PER_STEP: step.perStep },
      }),
      operands,
      parameters: [
        ...words({ batch, sampleSize, blocks, stream, seed: seed.value, step: step.value }),
        ...bases(operands),
      ],
      workgroups: foldGrid(Math.ceil((batch * blocks) / width)),
      flops: opTable.random.flops(node),
      bytes: operandBytes(operands),
    },
  ];
};

/**
 * What an invocation of source/gatherImages copies at a time, as the region "word", and how many elements of the data
 * that is.
 */
interface GatheredWord {
  readonly region: string;
  readonly data: number;
}

// the product with the rounded 1/255 is the same on every device and gives 1 for 255; a quotient need not
const packedFour: GatheredWord = {
  region: `alias Word = u32;
alias Result = vec4f;
fn store(at: u32, word: Word) {
  result[at] = vec4f((vec4u(word) >> vec4u(0u, 8u, 16u, 24u)) & vec4u(255u)) * (1.0 / 255.0);
}
`,
  data: 1,
};

const floatFour: GatheredWord = {
  region: `alias Word = vec4u;
alias Result = vec4f;
fn store(at: u32, word: Word) { result[at] = bitcast<vec4f>(word); }
`,
  data: 4,
};

/** Words of a sample that a workgroup copies, at most. */
const gatheredWords = 256;

/** One dispatch, or one per slice of a data set that is larger than a binding. */
export const lowerGatherImages: Lowering<'gatherImages'> = (node, _group, context) => {
  const { count, sampleShape, packed } = node.attrs;
  const [data, indices] = node.inputs as [Tensor, Tensor];
  const sampleWords = elementCount(sampleShape) / (packed ? 4 : 1);
  const rows = Math.floor(elementCount(data.shape) / sampleWords);
  const start = stepParameter(node.attrs.start, context, 'start');
  const result = node.outputs[0]!;
  // the result is a tensor of its own, never part of a wider one
  check(bindingBase(result) === 0, 'internal', 'samples are copied to where a binding begins', 'gatherImages');
  const floats = sampleWords % 4 === 0 && bindingBase(data) % 4 === 0 ? floatFour : undefined;
  const word = packed ? packedFour : floats;
  const wordsEach = sampleWords / (word?.data ?? 1);
  // a GPU gets an invocation for each word
  const { WX, RUN } = context.device.software ? elementwiseWidth(gatheredWords, context.device) : { WX: width, RUN: 1 };
  const code = link('source/gatherImages', {
    constants: { WX, RUN, START_PER_STEP: start.perStep },
    regions: word === undefined ? {} : { word: word.region },
  });
  return slices(rows, sampleWords, context.device).map((slice, index, all): Dispatch => {
    const operands: Operand[] = [
      sliceOperand(reads('data', data), slice, sampleWords),
      reads('indices', indices),
      // later slices must leave what the earlier ones wrote
      { name: 'result', tensor: result, access: index === 0 ? 'write' : 'readWrite' },
    ];
    const { first, count: sliceRows } = slice;
    const lastIndex = elementCount(indices.shape) - 1;
    return {
      kernel: 'source/gatherImages',
      variant: packed ? 'packed' : 'f32',
      code,
      operands,
      parameters: [
        ...words({
          batch: count,
          words: wordsEach,
          lastIndex,
          lastRow: rows - 1,
          sliceFirst: first,
          sliceRows,
          start: start.value,
          dataBase: bindingBase(data) / (word?.data ?? 1),
          indicesBase: bindingBase(indices),
        }),
      ],
      workgroups: [Math.ceil(wordsEach / (WX * RUN)), Math.min(count, maxWorkgroups), Math.ceil(count / maxWorkgroups)],
      flops: opTable.gatherImages.flops(node) / all.length,
      bytes: (4 * count * sampleWords + byteLength(result)) / all.length,
    };
  });
};

/** Four elements an invocation; the same numbers as src/random/cropFlip.ts. */
export const lowerRandomCropFlip: Lowering<'randomCropFlip'> = (node, _group, context) => {
  const { padding, flip, stream } = node.attrs;
  const [x, ids] = node.inputs as [Tensor, Tensor];
  const [batch, channels, height, columns] = x.shape as [number, number, number, number];
  const sampleSize = channels * height * columns;
  const blocks = Math.ceil(sampleSize / 4);
  const seed = stepParameter(node.attrs.seed, context, 'seed');
  const step = stepParameter(node.attrs.step, context, 'step');
  const operands: Operand[] = [reads('x', x), reads('ids', ids), writes('result', node.outputs[0]!)];
  return [
    {
      kernel: 'source/cropFlip',
      variant: flip ? 'flip' : '',
      code: link('source/cropFlip', {
        constants: { FLIP: flip, SEED_PER_STEP: seed.perStep, STEP_PER_STEP: step.perStep },
      }),
      operands,
      parameters: [
        ...words({
          batch,
          height,
          width: columns,
          sampleSize,
          blocks,
          padding,
          stream,
          seed: seed.value,
          step: step.value,
        }),
        ...bases(operands),
      ],
      workgroups: foldGrid(Math.ceil((batch * blocks) / width)),
      flops: 0,
      bytes: operandBytes(operands),
    },
  ];
};

/** One element an invocation; the same numbers as src/random/resizePad.ts. */
export const lowerRandomResizePad: Lowering<'randomResizePad'> = (node, _group, context) => {
  const { largest, probability, transposed, stream } = node.attrs;
  const [x, ids] = node.inputs as [Tensor, Tensor];
  const [, channels, height, width] = x.shape as [number, number, number, number];
  const [frameHeight, frameWidth] = largest;
  const elements = elementCount(x.shape);
  const seed = stepParameter(node.attrs.seed, context, 'seed');
  const step = stepParameter(node.attrs.step, context, 'step');
  const operands: Operand[] = [reads('x', x), reads('ids', ids), writes('result', node.outputs[0]!)];
  return [
    {
      kernel: 'source/resizePad',
      variant: transposed ? 'transposed' : '',
      code: link('source/resizePad', {
        constants: { TRANSPOSED: transposed, SEED_PER_STEP: seed.perStep, STEP_PER_STEP: step.perStep },
      }),
      operands,
      parameters: [
        ...words({ elements, channels, height, width, frameHeight, frameWidth }),
        ...words({ stream, seed: seed.value, step: step.value }),
        ...bases(operands),
        ...words({ probability }, 'f32'),
      ],
      workgroups: foldGrid(Math.ceil(elements / width)),
      flops: 0,
      bytes: operandBytes(operands),
    },
  ];
};

export const lowerGatherLabels: Lowering<'gatherLabels'> = (node, _group, context) => {
  const [labels, indices] = node.inputs as [Tensor, Tensor];
  const start = stepParameter(node.attrs.start, context, 'start');
  const batch = node.attrs.count;
  const lastIndex = elementCount(indices.shape) - 1;
  const lastRow = elementCount(labels.shape) - 1;
  const operands: Operand[] = [reads('labels', labels), reads('indices', indices), writes('result', node.outputs[0]!)];
  return [
    {
      kernel: 'source/gatherLabels',
      variant: '',
      code: link('source/gatherLabels', { constants: { START_PER_STEP: start.perStep } }),
      operands,
      parameters: [...words({ batch, lastIndex, lastRow, start: start.value }), ...bases(operands)],
      workgroups: [Math.ceil(batch / width), 1, 1],
      flops: 0,
      bytes: 12 * batch,
    },
  ];
};
