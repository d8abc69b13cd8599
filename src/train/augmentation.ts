import { expectFields, expectMembers } from '../arguments.js';
import type { FieldNames } from '../arguments.js';
import { check } from '../errors.js';
import { randomStreams } from '../random/philox.js';
import type { InputStage } from './step.js';

/**
 * One input stage made of several, run in the order given: each gets the images [N, C, H, W] that the one before
 * returns. For instance crops, then an attack on the cropped images. Without stages the images stay as they are.
 *
 * @throws LinbpError `bad-argument` for what is no input stage
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
  /** Pixels of zeros added on each side before a random crop of the original size, an integer 0..127; default 4. */
  readonly padding?: number;
  /** Flip left to right with probability 1/2; default true. */
  readonly flip?: boolean;
}

/**
 * Random crops and horizontal flips of the training images, as in K. He et al., "Deep residual learning for image
 * recognition", CVPR 2016, section 4.2, and PyTorch's `RandomCrop(size, padding)` then `RandomHorizontalFlip`. They are
 * drawn on the device inside the training step, again for each image in each step, from the trainer's seed. Images keep
 * their shape [N, C, H, W]; padding is black, that is zero before any normalization. Evaluation sees the plain images.
 *
 * @returns an input stage for `Trainer.create({ inputs })`
 * @throws LinbpError `bad-range` for the padding; `unknown-option`; `bad-argument` for a `flip` that is no boolean
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
