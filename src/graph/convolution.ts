import type { ConvAttrs } from './types.js';

/** Neighboring outputs that an invocation computes of a depthwise convolution: TN of its shaders. */
export const stripLength = 4;
/** Most taps of a window, because its kernels unroll them. */
const mostTaps = 25;

/** Whether every channel is convolved with a window of its own, small enough for the kernels that do that. */
export function isDepthwise({ groups, stride }: ConvAttrs, channels: number, weightShape: readonly number[]): boolean {
  const [outputs, inner, kh, kw] = weightShape as [number, number, number, number];
  return (
    groups > 1 &&
    groups === channels &&
    outputs === channels &&
    inner === 1 &&
    kh * kw <= mostTaps &&
    stripLength % stride[1] === 0
  );
}
