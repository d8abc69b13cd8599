import { expectFields, expectMembers } from '../arguments.js';
import type { FieldNames } from '../arguments.js';
import { check } from '../errors.js';
import { randomStreams } from '../random/philox.js';
import type { InputStage } from './step.js';

/**
 * Several stages one after the other, each seeing the images of the one before: crops, then an attack on the cropped
 * images.
 */
export function inOrder(...stages: readonly InputStage[]): InputStage {
  for (const stage of stages) expectMembers(stage, 'stage', { name: 'text', emit: 'function' });
  return {
    name: stages.map(({ name }) => name).join(', then '),
    emit: (context) => stages.reduce((images, stage) => stage.emit({ ...context, images }), context.images),
  };
}

/** What {@link cropAndFlip} does to each image. */
export interface CropFlipOptions {
  /** Pixels of zeros around the image before it is cut to its size again at a random place, 0..127; 4 unless given. */
  readonly padding?: number;
  /** Mirror left to right in half of the cases; true unless given. */
  readonly flip?: boolean;
}

/**
 * Random crops and mirrors of the training images (as in K. He et al., CVPR 2016, section 4.2, and PyTorch's
 * `RandomCrop(size, padding)` then `RandomHorizontalFlip`), drawn on the device inside the training step: anew for
 * each image in each step, from the trainer's seed. Padding is black, that is zero before any normalization.
 * Evaluation sees the plain images.
 *
 * @throws LinbpError `bad-range`
 */
export function cropAndFlip(options: CropFlipOptions = {}): InputStage {
  expectFields(options, { padding: true, flip: 'flag' } satisfies FieldNames<CropFlipOptions>);
  const { padding = 4, flip = true } = options;
  check(
    Number.isInteger(padding) && padding >= 0 && padding <= 127,
    'bad-range',
    `padding must be 0 to 127 pixels, got ${padding}`,
    'padding',
  );
  return {
    name: `crop padding=${padding} flip=${flip}`,
    emit: ({ graph, images, sampleIds, step, seed }) =>
      graph.one('randomCropFlip', [images, sampleIds], {
        padding,
        flip,
        stream: randomStreams.augmentation,
        seed,
        step,
      }),
  };
}
