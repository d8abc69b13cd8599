import { expect } from 'chai';
import type { ActivationKind } from '../../src/graph/functions.js';
import { stageAndBlock } from '../../src/onnx/recognize/names.js';
import { publishedPreset } from '../../src/onnx/recognize/presets.js';

const positions = (activation: ActivationKind, names: readonly string[]) =>
  names.map((name, index) => ({ name, index, kind: 'branch' as const, activation }));

describe('names of imported networks', () => {
  it('stages and blocks of torchvision and timm', () => {
    const cases: [string, string | undefined, number | undefined][] = [
      ['layer3.0.relu', 'layer3', 0],
      ['features.denseblock2.denselayer3.relu1', 'denseblock2', 3],
      ['features.3.1.block.4', 'features.3', 1],
      ['stages.3.blocks.2.mlp.act', 'stages.3', 2],
      ['layers.1.blocks.0.mlp.act', 'layers.1', 0],
      ['features.0.2', undefined, undefined],
      ['classifier.1', undefined, undefined],
      ['relu', undefined, undefined],
    ];
    for (const [path, stage, block] of cases) {
      const found = stageAndBlock(path);
      expect([found.stage, found.block], path).to.deep.equal([stage, block]);
    }
  });

  it('published starts: everything from the first activation of the stage on', () => {
    const convnext = positions('gelu', [
      'features.1.0.block.4',
      'features.5.8.block.4',
      'features.7.0.block.4',
      'features.7.1.block.4',
    ]);
    expect(publishedPreset(convnext)).to.deep.equal(['features.7.0.block.4', 'features.7.1.block.4']);
    const vit = positions(
      'gelu',
      [9, 10, 11].map((i) => `encoder.layers.encoder_layer_${i}.mlp.1`),
    );
    expect(publishedPreset(vit)).to.have.length(2);
    const swin = positions('gelu', ['features.5.5.mlp.1', 'features.7.0.mlp.1', 'features.7.1.mlp.1']);
    expect(publishedPreset(swin)).to.have.length(2);
    const efficient = positions('silu', [
      'features.0.2',
      'features.5.0.block.0.2',
      'features.6.0.block.0.2',
      'features.8.2',
    ]);
    expect(publishedPreset(efficient)).to.deep.equal(['features.6.0.block.0.2', 'features.8.2']);
    expect(publishedPreset(positions('relu', ['layer4.0.relu', 'features.7.0.block.4']))).to.equal(undefined);
  });
});
