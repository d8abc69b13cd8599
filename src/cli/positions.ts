import { positionTable, describeModel } from '../nn/definition.js';
import { modelNames } from '../nn/zoo/index.js';
import { noAdapter } from './common.js';
import { openModel } from './modelSource.js';
import { text } from './options.js';
import { defineVerb } from './verb.js';

/** `linbp positions`: the ReLUs of a model and the presets. */
export const positionsVerb = defineVerb({
  name: 'positions',
  summary: 'lists the activations of a model, for rules such as linbp:from=layer3, and its presets',
  options: { model: text({ help: 'the network', placeholder: 'NAME', byDefault: 'lenet5' }) },
  notes: ['', 'Models:', ...wrap(modelNames)],
  async run({ model }, { print }) {
    const definition = await openModel(model);
    const { positions, presets, presetNote } = positionTable(definition);
    const rows = positions.map((position) => ({
      index: position.index,
      name: position.name,
      stage: position.stage ?? null,
      block: position.block ?? null,
      kind: position.kind,
      activation: position.activation,
      presets: Object.keys(presets).filter((preset) => presets[preset]!.includes(position.name)),
    }));
    const head = ['index', 'name', 'stage', 'block', 'kind', 'activation', 'presets'] as const;
    const cells = [[...head], ...rows.map((row) => head.map((column) => [row[column] ?? '-'].flat().join(',') || '-'))];
    const widths = head.map((_, column) => Math.max(...cells.map((row) => row[column]!.length)));
    for (const row of cells)
      print(
        row
          .map((cell, column) => cell.padEnd(widths[column]!))
          .join('  ')
          .trimEnd(),
      );
    print(
      `${definition.name}: ${positions.length} activations, ${describeModel(definition).parameterCount} parameters`,
    );
    for (const [preset, names] of Object.entries(presets)) print(`preset ${preset}: ${names.length} ReLUs`);
    if (presetNote !== undefined) print(presetNote);
    const counts = Object.fromEntries(Object.entries(presets).map(([preset, names]) => [preset, names.length]));
    return {
      adapter: noAdapter,
      fields: {
        model: definition.name,
        input: definition.input,
        classes: definition.classes,
        parameters: describeModel(definition).parameterCount,
        positions: rows,
        presets: counts,
        presetNote: presetNote ?? null,
      },
    };
  },
});

/** Names in lines of at most 100 characters. */
function wrap(names: readonly string[]): string[] {
  const lines = [' '];
  for (const name of names) {
    if (lines.at(-1)!.length + name.length > 100) lines.push(' ');
    lines[lines.length - 1] += ` ${name}`;
  }
  return lines;
}
