import { LinbpError } from '../errors.js';
import type { ElementwiseFunction } from '../graph/types.js';
import { attacks } from './builtin.js';
import type { AttackDefinition, StageContext } from './stages.js';

const away: ElementwiseFunction = {
  name: 'awayFromClean',
  inputs: ['direction', 'made', 'clean'],
  scalars: ['sign'],
  // The first input is overwritten, and must appear, or its binding would be dropped.
  results: ['select(sign * (made - clean), direction, false)'],
  reference: (_direction, made, clean, sign) => [sign! * (made! - clean!)],
};

const memory = (stage: StageContext, shape: readonly number[]) => stage.memory('intermediate direction', shape);

/**
 * The second stage of an intermediate level attack (Q. Huang et al., "Enhancing adversarial example transferability
 * with an intermediate level attack", 2019). With F the output of `layer`, x the clean images and x1 those that a
 * first attack made of them (the run's `start`), it begins at x again and climbs <F(x') - F(x), F(x1) - F(x)> by sign
 * steps; the LinBP papers take 100 of 1/255 with the true gradient. Losses and success stay those of the attack's loss.
 *
 * @param layer module path such as `layer3.0` or `features.23`; of a module of several layers the output of its last
 * @returns the attack; compiling it throws `unknown-layer` where the network has no such layer, `bad-argument` for a
 * random start
 */
export function intermediateLevel(layer: string): AttackDefinition {
  return {
    ...attacks.ifgsm,
    name: `ila:${layer}`,
    start: {
      random: () => {
        throw new LinbpError('bad-argument', 'an intermediate level attack begins at the clean images, not at random', {
          field: 'randomStart',
        });
      },
      fixed: (stage) => {
        const [made, clean] = [stage.feature(stage.origin, layer), stage.feature(stage.clean, layer)];
        // Targeted attacks step down; the feature is to go on in its direction all the same.
        stage.graph.add('map', [memory(stage, made.shape), made, clean], {
          fn: away,
          scalars: [stage.direction],
          targets: [0],
        });
        return stage.clean;
      },
    },
    pull: (stage, outputOf) => {
      const at = outputOf(layer);
      return { at, gradient: memory(stage, at.shape) };
    },
  };
}
