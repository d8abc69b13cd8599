import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gradients } from '../../src/autodiff/gradients.js';
import { Graph } from '../../src/graph/graph.js';
import { tensorAsFloat32, tensorAsInt32 } from '../../src/io/safetensors.js';
import { addModel, positionTable } from '../../src/nn/definition.js';
import type { ModelDefinition } from '../../src/nn/definition.js';
import { Model } from '../../src/nn/model.js';
import { importOnnx } from '../../src/onnx/index.js';
import { Program } from '../../src/program/program.js';
import { ReferenceRun } from '../../src/reference/run.js';
import { parseRules } from '../../src/rules/parse.js';
import { resolveRules } from '../../src/rules/resolve.js';
import type { Device } from '../../src/runtime/device.js';
import { loadTensors } from '../support/tensors.js';

export const fixtures = join('test', 'fixtures', 'onnx');
/** All test data, where a checkout has it. */
export const sharedFolder = process.env['LINBP_SHARED'] ?? join('..', 'shared');
export const sharedOnnx = existsSync(join(sharedFolder, 'onnx')) ? join(sharedFolder, 'onnx') : undefined;

/** One line of the index of networks. */
export interface NetworkEntry {
  readonly name: string;
  readonly outcome: 'load' | 'refuse' | 'either';
  readonly relu_count: number;
  readonly relu6_count: number;
}

export const readIndex = (folder: string): NetworkEntry[] =>
  JSON.parse(readFileSync(join(folder, 'index.json'), 'utf8')) as NetworkEntry[];

/** What a network gives for the images beside it. */
export interface NetworkResult {
  readonly definition: ModelDefinition;
  readonly logits: ArrayLike<number>;
  readonly gradient: ArrayLike<number>;
}

/** Logits and input gradient of a network under a rule, on a device or in float64. */
export async function runNetwork(path: string, rule: string, device?: Device): Promise<NetworkResult> {
  const file = loadTensors(path.replace(/\.onnx$/, '.safetensors'));
  const input = file.tensors.get('input')!;
  const definition = await importOnnx(path, { size: [input.shape[2]!, input.shape[3]!] });
  const graph = new Graph();
  const images = graph.input('images', input.shape);
  const labels = graph.input('labels', [input.shape[0]!], 'u32');
  const network = addModel(graph, definition, images);
  const loss = graph.one('loss', [network.logits, labels], { kind: 'crossEntropy' });
  const rules = resolveRules(parseRules(rule), positionTable(definition));
  const gradient = gradients(graph, { loss, scale: 1, targets: [images], rules }).get(images)!;
  graph.output('logits', network.logits);
  graph.output('gradient', gradient);
  const [pixels, classes] = [tensorAsFloat32(input), tensorAsInt32(file.tensors.get('labels')!)];
  if (device === undefined) {
    const run = new ReferenceRun(graph);
    for (const [name, tensor] of network.tensors) run.set(tensor, definition.weights!.get(name)!.data);
    run.set(images, pixels);
    run.set(labels, classes);
    run.run();
    return { definition, logits: run.get(network.logits), gradient: run.get(gradient) };
  }
  using model = Model.create(definition, { device });
  using program = await Program.compile(graph, { device, bindings: model.bindings(network) });
  program.write(images, pixels);
  program.write(labels, Uint32Array.from(classes));
  await program.run([{ segment: 'main' }]);
  return { definition, logits: await program.read('logits'), gradient: await program.read('gradient') };
}

export const stored = (path: string, name: string): Float32Array | undefined => {
  const tensor = loadTensors(path.replace(/\.onnx$/, '.safetensors')).tensors.get(name);
  return tensor === undefined ? undefined : tensorAsFloat32(tensor);
};
