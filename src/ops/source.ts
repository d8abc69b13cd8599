import { check } from '../errors.js';
import { elementCount } from '../graph/types.js';
import { expectInput, f32, u32 } from './definition.js';
import type { OpDefinition } from './definition.js';

export const random: OpDefinition<'random'> = {
  infer(inputs, attrs) {
    expectInput(inputs, 0, 'sampleIds', 'u32', [attrs.shape[0]!]);
    return [f32(attrs.shape)];
  },
  flops: (node) => 20 * elementCount(node.outputs[0]!.shape),
};

export const gatherImages: OpDefinition<'gatherImages'> = {
  infer(inputs, attrs) {
    expectInput(inputs, 0, 'data', attrs.packed ? 'u32' : 'f32');
    expectInput(inputs, 1, 'indices', 'u32', 1);
    const size = elementCount(attrs.sampleShape);
    check(
      !attrs.packed || size % 4 === 0,
      'bad-shape',
      `packed samples must have a multiple of 4 elements, got ${size}`,
      'data',
    );
    return [f32([attrs.count, ...attrs.sampleShape])];
  },
  flops: (node) => elementCount(node.outputs[0]!.shape),
};

export const randomCropFlip: OpDefinition<'randomCropFlip'> = {
  infer(inputs, { padding }) {
    const x = expectInput(inputs, 0, 'input', 'f32', 4);
    expectInput(inputs, 1, 'sampleIds', 'u32', [x.shape[0]!]);
    check(
      Number.isInteger(padding) && padding >= 0 && padding <= 127,
      'bad-range',
      `padding must be 0 to 127 pixels, got ${padding}`,
      'padding',
    );
    return [f32(x.shape)];
  },
  flops: () => 0,
};

export const randomResizePad: OpDefinition<'randomResizePad'> = {
  infer(inputs, { largest, probability }) {
    const x = expectInput(inputs, 0, 'input', 'f32', 4);
    expectInput(inputs, 1, 'sampleIds', 'u32', [x.shape[0]!]);
    for (const [axis, most] of largest.entries()) {
      const side = x.shape[2 + axis]!;
      const valid = Number.isInteger(most) && most >= side && most <= side + 254;
      check(valid, 'bad-range', `the largest side must be ${side} to ${side + 254}, got ${most}`, 'largest');
    }
    check(
      probability >= 0 && probability <= 1,
      'bad-range',
      `the probability must be from 0 to 1, got ${probability}`,
      'probability',
    );
    return [f32(x.shape)];
  },
  flops: () => 0,
  backward: ({ graph, needs }, node, gradient) =>
    needs(0)
      ? [
          graph.one('randomResizePad', [gradient, node.inputs[1]!], {
            ...node.attrs,
            transposed: !node.attrs.transposed,
          }),
        ]
      : [],
};

export const gatherLabels: OpDefinition<'gatherLabels'> = {
  infer(inputs, attrs) {
    expectInput(inputs, 0, 'labels', 'u32', 1);
    expectInput(inputs, 1, 'indices', 'u32', 1);
    return [u32([attrs.count])];
  },
  flops: () => 0,
};
