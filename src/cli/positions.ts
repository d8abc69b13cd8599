import { textTable } from '../profile/textTable.js';
import { positionTable, describeModel } from '../nn/definition.js';
import { modelNames, robustbenchNames, torchvisionNames } from '../nn/zoo/index.js';
import { noAdapter } from './common.js';
import { openModel } from './modelSource.js';
import { text } from './options.js';
import { defineVerb } from './verb.js';

/** `linbp positions`: the ReLUs of a model and the presets. */
export const positionsVerb = defineVerb({
  name: 'positions',
  summary: 'lists the activations of a model, for rules such as linbp:from=layer3, and its presets',
  examples: ['linbp positions --model resnet50', 'linbp positions --model lenet5 --json -'],
  options: {
    model: text({
      help: 'the network: a name from the list below, an ONNX file, or a module such as ./net.js',
      placeholder: 'NAME|FILE',
      byDefault: 'lenet5',
    }),
  },
  notes: [
    '',
    'Models',
    `  ${[...modelNames, ...torchvisionNames].join(' ')}`,
    '',
    'RobustBench (CIFAR-10)',
    `  ${robustbenchNames.join(' ')}`,
  ],
  async run({ model }, { print, width }) {
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
    print(
      textTable(
        (['index', 'name', 'stage', 'block', 'kind', 'activation', 'presets'] as const).map((column) => ({
          title: column,
          value: (row: (typeof rows)[number]) => [row[column] ?? '-'].flat().join(',') || '-',
          drop: { activation: 2, kind: 1 }[column as string] ?? 0,
        })),
        rows,
        width,
      ),
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
