import type { Tensor } from '../graph/types.js';

/** What a custom objective returns. */
export interface ObjectiveTensors {
  /** Loss per sample, f32 [N]; what is reported. */
  readonly loss: Tensor;
  /**
   * Gradient of `scale` times the sum of the losses with respect to the logits, f32 [N, classes]. Not needed where
   * `loss` is the output of a `loss` node.
   */
  readonly gradient?: Tensor;
}
