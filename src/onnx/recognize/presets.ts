import type { ActivationPosition } from '../../rules/positions.js';

/** The numbers that torchvision gives the stages between its downsamplings: 1, 3, 5, 7. */
const everySecond = (number: number): number => (number - 1) / 2;
const asItIs = (number: number): number => number;

/**
 * Where published attacks begin to linearize architectures without ReLUs, by the names of torchvision and timm, stages
 * counted from 0: ConvNeXt from stage 3, ViT from block 10, Swin from layer 3, EfficientNet from block 5 on.
 */
const starts: readonly {
  readonly path: RegExp;
  readonly activation: readonly string[];
  readonly number: (found: number) => number;
  readonly from: number;
}[] = [
  { path: /^features\.([1357])\.\d+\.block\.\d+$/, activation: ['gelu'], number: everySecond, from: 3 },
  { path: /^stages\.(\d+)\.blocks\.\d+\.mlp\./, activation: ['gelu'], number: asItIs, from: 3 },
  { path: /^features\.([1357])\.\d+\.mlp\./, activation: ['gelu'], number: everySecond, from: 3 },
  { path: /^layers\.(\d+)\.blocks\.\d+\.mlp\./, activation: ['gelu'], number: asItIs, from: 3 },
  { path: /(?:^|\.)encoder_layer_(\d+)\.mlp\./, activation: ['gelu'], number: asItIs, from: 10 },
  { path: /^blocks\.(\d+)\.mlp\./, activation: ['gelu', 'geluTanh'], number: asItIs, from: 10 },
  { path: /^features\.(\d+)\.\d+\.block\./, activation: ['silu'], number: (found) => found - 1, from: 5 },
  { path: /^blocks\.(\d+)\.\d+\./, activation: ['silu'], number: asItIs, from: 5 },
];

/** Names of the activations from the published start on; undefined for other architectures. */
export function publishedPreset(positions: readonly ActivationPosition[]): readonly string[] | undefined {
  for (const { path, activation, number, from } of starts) {
    const first = positions.findIndex(({ name, activation: kind }) => {
      const found = path.exec(name);
      return found !== null && activation.includes(kind) && number(Number(found[1])) >= from;
    });
    if (first >= 0) return positions.slice(first).map(({ name }) => name);
  }
  return undefined;
}
