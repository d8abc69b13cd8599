import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { addModel, describeModel, positionTable } from '../../src/nn/definition.js';
import { stateDictDifferences } from '../../src/nn/model.js';
import { modelDefinition, modelNames, torchvisionNames } from '../../src/nn/zoo/index.js';
import { Graph } from '../../src/graph/graph.js';
import { parseRules } from '../../src/rules/parse.js';
import { selectPositions } from '../../src/rules/select.js';
import { loadGoldenJson } from '../support/golden.js';
import { loadTensors } from '../support/tensors.js';
import { pending } from '../support/pending.js';

interface Keys {
  readonly input: number[];
  readonly tensors: Readonly<Record<string, [number[], string]>>;
}

/** Learnable numbers: linbp.md 7, torchvision's model pages, and the files of data/models. */
const parameterCounts: Readonly<Record<string, number>> = {
  mlp: 415_310,
  lenet5: 61_706,
  vgg16_bn: 134_309_962,
  vgg19_bn_nips: 20_040_522,
  resnet18: 11_173_962,
  resnet34: 21_282_122,
  resnet50: 23_520_842,
  resnet18_imagenet: 11_689_512,
  resnet34_imagenet: 21_797_672,
  resnet50_imagenet: 25_557_032,
  resnet20: 269_722,
  resnet32: 464_154,
  resnet44: 658_586,
  resnet56: 853_018,
  densenet121: 6_956_426,
  densenet161: 26_482_570,
  mobilenet_v2: 2_236_682,
  mobilenet_v2_official: 2_236_682,
  mobilenet_v2_imagenet: 3_504_872,
  'mobilenet_v2_1.0_224': 3_487_816,
  squeezenet: 734_986,
  squeezenet1_1: 1_235_496,
  squeezenet1_1_imagenet: 1_235_496,
  wrn28_10: 36_479_194,
  'resnet8-mlperf-tiny': 78_666 - 480,
  'convnetjs-cnn': 22_466,
  'lenet5-clntrained': 648_226,
  'lenet5-advtrained': 648_226,
  'mlp-300-100': 266_610,
};

/** What `linbp` linearizes, of how many activations: linbp.md 2. */
const presetCounts: Readonly<Record<string, readonly [number, number]>> = {
  mlp: [2, 3],
  lenet5: [2, 4],
  vgg16_bn: [5, 15],
  vgg19_bn_nips: [9, 16],
  resnet18: [4, 17],
  resnet34: [6, 33],
  resnet50: [9, 49],
  resnet50_imagenet: [16, 49],
  densenet121: [34, 121],
  densenet161: [50, 161],
  mobilenet_v2: [3, 35],
  mobilenet_v2_official: [3, 35],
  mobilenet_v2_imagenet: [3, 35],
  wrn28_10: [1, 25],
};

const selected = (model: string, rule: string): number =>
  selectPositions(parseRules(rule)[0]!, positionTable(modelDefinition(model))).length;

describe('networks', () => {
  it('all have a parameter count of the literature', () => {
    const counts = Object.fromEntries(
      modelNames.map((name) => [name, describeModel(modelDefinition(name)).parameterCount]),
    );
    expect(counts).to.deep.equal(parameterCounts);
  });

  for (const name of [
    'mlp',
    'lenet5',
    'resnet18',
    'resnet50',
    'vgg16_bn',
    'densenet121',
    'densenet161',
    'mobilenet_v2',
    'squeezenet',
    'wrn28_10',
  ]) {
    it(`${name} has PyTorch's keys, shapes and kinds`, () => {
      const keys = loadGoldenJson<Keys>(`keys/${name}.keys`);
      const definition = modelDefinition(name);
      expect(definition.input).to.deep.equal(keys.input);
      const found = Object.fromEntries(
        describeModel(definition).layout.specs.map(({ name: key, shape, kind }) => [key, [[...shape], kind]]),
      );
      expect(found).to.deep.equal(keys.tensors);
    });
  }

  for (const [name, [count, all]] of Object.entries(presetCounts)) {
    it(`${name}: the preset linearizes ${count} of ${all} activations`, () => {
      expect(positionTable(modelDefinition(name)).positions.length).to.equal(all);
      expect(selected(name, 'linbp')).to.equal(count);
    });
  }

  it("further networks of torchvision have its parameter counts, and its maps' sides", () => {
    const expected = {
      alexnet: 61_100_840,
      vgg11_imagenet: 132_863_336,
      vgg11_bn_imagenet: 132_868_840,
      vgg13_imagenet: 133_047_848,
      vgg13_bn_imagenet: 133_053_736,
      vgg16_imagenet: 138_357_544,
      vgg16_bn_imagenet: 138_365_992,
      vgg19_imagenet: 143_667_240,
      vgg19_bn_imagenet: 143_678_248,
      densenet121_imagenet: 7_978_856,
      densenet161_imagenet: 28_681_000,
      densenet169_imagenet: 14_149_480,
      densenet201_imagenet: 20_013_928,
    };
    const count = (name: string): number => describeModel(modelDefinition(name)).parameterCount;
    expect(Object.fromEntries(torchvisionNames.map((name) => [name, count(name)]))).to.deep.equal(expected);
    const keys = (name: string): string[] =>
      describeModel(modelDefinition(name))
        .layout.specs.map((spec) => spec.name)
        .filter((key) => key.endsWith('.weight'));
    expect(keys('alexnet')).to.deep.equal(
      [
        'features.0',
        'features.3',
        'features.6',
        'features.8',
        'features.10',
        'classifier.1',
        'classifier.4',
        'classifier.6',
      ].map((path) => `${path}.weight`),
    );
    expect(keys('vgg16_bn_imagenet').slice(-5)).to.deep.equal(
      ['features.40', 'features.41', 'classifier.0', 'classifier.3', 'classifier.6'].map((path) => `${path}.weight`),
    );
  });

  it('positions follow the papers', () => {
    expect(selected('densenet161', 'linbp:preset=training')).to.equal(49);
    expect(selected('densenet161', 'linbp:from=transition3')).to.equal(50);
    expect(selected('vgg19_bn_nips', 'linbp:from=23')).to.equal(9);
    expect(selected('resnet50_imagenet', 'linbp:from=3_1')).to.equal(16);
    expect(selected('resnet50', 'linbp:from=layer4')).to.equal(9);
    // TA-Bench: the first two ReLUs of every block from the third stage on; the last two of VGG-19's features.
    expect(selected('resnet50_imagenet', 'linbp:from=3_0,match=activation,scope=batch')).to.equal(18);
    expect(selected('vgg19_bn_nips', 'linbp:from=46,match=activation,scope=batch')).to.equal(2);
    expect(selected('wrn28_10', 'linbp:from=all')).to.equal(25);
    expect(selected('squeezenet', 'linbp:from=all')).to.equal(17);
    expect(selected('resnet20', 'linbp:from=layer2')).to.equal(12);
    expect(selected('resnet20', 'linbp:from=2_1')).to.equal(5);
    expect(selected('resnet20', 'linbp:from=2_1,post=true')).to.equal(10);
    expect(selected('mobilenet_v2', 'linbp:from=features.17')).to.equal(3);
    const names = positionTable(modelDefinition('vgg16_bn')).positions.map(({ name, index }) => `${name} ${index}`);
    expect(names.slice(-5)).to.deep.equal([
      'features.36 36',
      'features.39 39',
      'features.42 42',
      'classifier.1 45',
      'classifier.4 48',
    ]);
    expect(positionTable(modelDefinition('resnet50')).positions.slice(0, 4)).to.deep.equal([
      { name: 'relu', index: 0, kind: 'stem', activation: 'relu' },
      { name: 'layer1.0.relu1', index: 1, stage: 'layer1', block: 0, kind: 'branch', activation: 'relu' },
      { name: 'layer1.0.relu2', index: 2, stage: 'layer1', block: 0, kind: 'branch', activation: 'relu' },
      { name: 'layer1.0.relu3', index: 3, stage: 'layer1', block: 0, kind: 'post-addition', activation: 'relu' },
    ]);
  });

  it('have the maps that their tables state', () => {
    const maps: Readonly<Record<string, Readonly<Record<string, number>>>> = {
      resnet18: { conv1: 32, maxpool: 16, layer1: 16, layer2: 8, layer3: 4, layer4: 2 },
      resnet50: { conv1: 32, maxpool: 16, layer1: 16, layer2: 8, layer3: 4, layer4: 2 },
      densenet121: {
        'features.pool0': 16,
        'features.denseblock1': 16,
        'features.denseblock2': 8,
        'features.denseblock3': 4,
        'features.denseblock4': 2,
      },
      mobilenet_v2: {
        'features.0': 32,
        'features.3': 32,
        'features.4': 16,
        'features.7': 8,
        'features.14': 4,
        'features.18': 4,
      },
      wrn28_10: { block1: 32, block2: 16, block3: 8 },
      vgg16_bn: { 'features.42': 2, 'features.43': 1, avgpool: 7 },
      vgg19_bn_nips: { 'features.51': 2, 'features.52': 1 },
      squeezenet: { conv: 16, Fire4: 16, Fire8: 8, Fire9: 4, conv2: 4 },
      resnet56: { layer1: 32, layer2: 16, layer3: 8 },
      'resnet8-mlperf-tiny': { stage1: 32, stage2: 16, stage3: 8 },
      resnet50_imagenet: { conv1: 112, maxpool: 56, layer1: 56, layer2: 28, layer3: 14, layer4: 7 },
      mobilenet_v2_imagenet: { 'features.0': 112, 'features.18': 7 },
      'mobilenet_v2_1.0_224': { stem: 112, head: 7 },
      // Windows that reach over the edge count: 111 -> 55 -> 27 -> 13, and 113 -> 56 -> 28 -> 14 for 227 pixels.
      squeezenet1_1_imagenet: {
        'features.0': 111,
        pool1: 55,
        pool3: 27,
        pool5: 13,
        'features.12': 13,
        'classifier.1': 13,
      },
      squeezenet1_1: { conv1: 113, pool1: 56, pool3: 28, pool5: 14, fire9: 14, conv10: 16 },
    };
    for (const [name, sides] of Object.entries(maps)) {
      const graph = new Graph();
      const definition = modelDefinition(name);
      addModel(graph, definition, graph.input('images', [1, ...definition.input]));
      for (const [layer, side] of Object.entries(sides)) {
        const last = graph.nodes.filter((node) => node.layer === layer || node.layer.startsWith(`${layer}.`)).at(-1);
        expect(last?.outputs[0]?.shape.slice(2), `${name} ${layer}`).to.deep.equal([side, side]);
      }
    }
  });

  it('without a preset say so and list their positions', () => {
    for (const name of ['resnet20', 'resnet8-mlperf-tiny', 'mlp-300-100', 'lenet5-advtrained']) {
      expect(() => selected(name, 'linbp'), name).to.throw(/no preset.*relu1/);
    }
    expect(() => selected('squeezenet', 'linbp')).to.throw(/linearizes nothing/);
  });

  it('mark their residual branches, one input and one output each', () => {
    const blocks = {
      resnet18: 8,
      resnet50: 16,
      resnet56: 27,
      mobilenet_v2: 10,
      wrn28_10: 12,
      'resnet8-mlperf-tiny': 3,
      densenet121: 58,
    };
    for (const [name, count] of Object.entries(blocks)) {
      const graph = new Graph();
      const definition = modelDefinition(name);
      const { branches } = addModel(graph, definition, graph.input('images', [1, ...definition.input]));
      expect(branches.length, name).to.equal(count);
      for (const { input, output } of branches) expect(input).to.not.equal(output);
    }
  });

  it('take the files of data/models without a mapping', function () {
    const data = process.env['LINBP_DATA'];
    if (data === undefined) return pending(this, 'LINBP_DATA');
    for (const name of modelNames) {
      const path = ['cifar10', 'mnist', 'imagenet']
        .map((folder) => join(data, 'models', folder, `${name}.safetensors`))
        .find(existsSync);
      if (path === undefined) continue;
      expect(stateDictDifferences(describeModel(modelDefinition(name)), loadTensors(path).tensors), name).to.deep.equal(
        [],
      );
    }
  });
});
