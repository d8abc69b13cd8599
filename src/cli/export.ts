import { ensureWritableFile, writeFileAtomic } from '../io/atomic.js';
import { exportOnnx } from '../onnx/index.js';
import { positionTable } from '../nn/definition.js';
import { chosenModel, chosenWeights, modelOptions, noAdapter } from './common.js';
import { integer, text } from './options.js';
import { defineVerb } from './verb.js';

/** `linbp export`: a network with its weights as an ONNX file. */
export const exportVerb = defineVerb({
  name: 'export',
  summary: 'writes a network with its weights as an ONNX file (opset 17)',
  examples: [
    'linbp export --model lenet5 --weights runs/bp/lenet5.safetensors --out model.onnx',
    'linbp export --model resnet20 --json -',
  ],
  options: {
    ...modelOptions,
    out: text({ help: 'the file to write [NAME.onnx]', placeholder: 'FILE' }),
    seed: integer({ help: 'seed of random weights', byDefault: 0, min: 0, max: 2 ** 32 - 1 }),
  },
  notes: ['', 'The input is "input" [N, C, H, W] in [0, 1], the output "logits" [N, K]; the batch is open.'],
  async run(options, { print, progress }) {
    const definition = await chosenModel(options);
    const out = options.out ?? `${definition.name}.onnx`;
    await ensureWritableFile(out);
    const weights = await chosenWeights(definition, options, progress);
    const bytes = exportOnnx(definition, { weights });
    await writeFileAtomic(out, bytes);
    const { positions } = positionTable(definition);
    print(`${definition.name}: ${weights.size} tensors, ${positions.length} activations`);
    print(`wrote ${bytes.length} bytes to ${out}`);
    return { adapter: noAdapter, fields: { model: definition.name, out, bytes: bytes.length, opset: 17 } };
  },
});
