import type { PositionTable } from '../../rules/positions.js';
import { positionTable } from '../definition.js';
import type { ModelDefinition } from '../definition.js';

type Presets = Readonly<Record<string, readonly string[]>>;
type Place = PositionTable['positions'][number];

/** The definition with presets that are stated as conditions on its activations instead of a list of names. */
export function withPresets(
  definition: ModelDefinition,
  conditions: Readonly<Record<string, (place: Place) => boolean>>,
): ModelDefinition {
  let presets: Presets | undefined;
  return {
    ...definition,
    get presets(): Presets {
      // Only when asked for: it takes a build of the network on paper.
      presets ??= Object.fromEntries(
        Object.entries(conditions).map(([name, holds]) => [
          name,
          positionTable(definition)
            .positions.filter(holds)
            .map((place) => place.name),
        ]),
      );
      return presets;
    },
  };
}
