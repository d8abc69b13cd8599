import { Graph } from '../graph/graph.js';
import { addModel, describeModel, positionTable } from '../nn/definition.js';
import type { ModelDefinition } from '../nn/definition.js';
import { importOnnx } from '../onnx/index.js';
import { opTable } from '../ops/table.js';
import type { OpDefinition } from '../ops/definition.js';
import type { Node, OpName } from '../graph/types.js';
import { noAdapter } from './common.js';
import { integer, text } from './options.js';
import { check } from '../errors.js';
import { defineVerb } from './verb.js';

/** Floating-point operations of one image's forward pass. */
function flopsOf(definition: ModelDefinition): number {
  const graph = new Graph();
  addModel(graph, definition, graph.input('images', [1, ...definition.input]));
  return graph.nodes.reduce(
    (sum, node) => sum + (opTable[node.op] as OpDefinition<OpName>).flops(node as Node<OpName>),
    0,
  );
}

/** `linbp info`: what an ONNX file holds and what was recognized in it. */
export const infoVerb = defineVerb({
  name: 'info',
  summary: 'shows what an ONNX file holds: input, output, preprocessing, parameters, what was recognized',
  examples: ['linbp info model.onnx', 'linbp info model.onnx --json -'],
  options: {
    file: text({ help: 'the ONNX file', placeholder: 'FILE' }),
    size: integer({ help: 'height and width of images, where the file leaves them open [224]', min: 1 }),
  },
  subject: 'file',
  async run({ file, size }, { print }) {
    check(file !== undefined, 'bad-argument', 'an ONNX file is needed, as in linbp info model.onnx', 'file');
    const model = await importOnnx(file, size === undefined ? {} : { size: [size, size] });
    const [, height, width] = model.input;
    const asked = size === undefined || (height === size && width === size);
    const fixed = `--size is for files that leave height and width open; ${file} has ${height} x ${width}`;
    check(asked, 'bad-argument', fixed, 'size');
    const { onnx } = model;
    const { parameterCount } = describeModel(model);
    const { positions, branches = [] } = positionTable(model);
    const flops = flopsOf(model);
    print(`${file}: opset ${onnx.opset}${onnx.producer === '' ? '' : `, ${onnx.producer}`}`);
    print(
      `input ${onnx.inputName} ${onnx.layout}, batch ${onnx.fixedBatch ?? 'open'}; images [${model.input.join(', ')}]`,
    );
    print(`output ${onnx.outputName}: ${model.classes} classes`);
    const found = onnx.preprocessing;
    if (found === undefined) print('preprocessing: none in the file');
    else
      print(
        `preprocessing: channels ${found.order.join(', ')} times ` +
          `${found.scale.map((x) => x.toPrecision(5)).join(', ')} ` +
          `plus ${found.shift.map((x) => x.toPrecision(5)).join(', ')}`,
      );
    print(
      `parameters: ${parameterCount}; ${(flops / 1e6).toFixed(1)} Mflop an image; activations: ${positions.length}`,
    );
    print(
      `ops: ${Object.entries(onnx.steps)
        .map(([op, count]) => `${op} ${count}`)
        .join(', ')}`,
    );
    print(`recognized: ${onnx.recognized.join(', ') || 'nothing'}`);
    return {
      adapter: noAdapter,
      fields: {
        file,
        opset: onnx.opset,
        producer: onnx.producer,
        input: { name: onnx.inputName, layout: onnx.layout, batch: onnx.fixedBatch ?? null, image: model.input },
        output: { name: onnx.outputName, classes: model.classes },
        preprocessing: found ?? null,
        parameters: parameterCount,
        flops,
        ops: onnx.steps,
        relus: positions.length,
        branches: branches.map(({ name }) => name),
        recognized: onnx.recognized,
      },
    };
  },
});
