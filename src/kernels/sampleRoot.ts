import { elementCount } from '../graph/types.js';
import { renameNames } from '../wgsl/isolate.js';
import type { Tensor } from '../graph/types.js';
import { opTable } from '../ops/table.js';
import { bases, foldGrid, operandBytes, reads, words, writes } from './grid.js';
import { link } from '../wgsl/link.js';
import type { Lowering } from './types.js';

const results = ['near', 'far', 'nearSum', 'farSum'] as const;

/**
 * Lanes of a workgroup, and with them the order of the sums: they depend on the size of a sample and the kind of device
 * only. Software adapters run barriers by switching between lanes, and have no more than a vector of them.
 */
const lanesFor = (sampleSize: number, software: boolean): number => {
  if (software) return 8;
  return sampleSize >= 16384 ? 256 : 64;
};

/** One workgroup per sample. */
export const lowerSampleRoot: Lowering<'sampleRoot'> = (node, _group, { device }) => {
  const { fn, rising } = node.attrs;
  const pixels = node.inputs.slice(0, -2);
  const [most, goal] = node.inputs.slice(-2) as [Tensor, Tensor];
  const batch = pixels[0]!.shape[0]!;
  const sampleSize = elementCount(pixels[0]!.shape) / batch;
  const lanes = lanesFor(sampleSize, device.software);
  const operands = [
    ...pixels.map((tensor, index) => reads(`in${index}`, tensor)),
    ...[reads('most', most), reads('goal', goal)],
    ...results.map((name, index) => writes(name, node.outputs[index]!)),
  ];
  const names = fn.inputs.slice(0, pixels.length);
  const own = new Map([...names, 't'].map((name) => [name, `arg_${name}`]));
  const regions = {
    params: `${operands.map(({ name }) => `  ${name}Base: u32,`).join('\n')}\n`,
    bindings: operands
      .map(({ name, access }, index) => {
        const mode = access === 'read' ? 'read' : 'read_write';
        return `@group(1) @binding(${index + 1}) var<storage, ${mode}> ${name}: array<f32>;\n`;
      })
      .join(''),
    term: [
      `fn term(${[...own.values()].map((name) => `${name}: f32`).join(', ')}) -> f32 {`,
      ...(fn.prelude === undefined ? [] : [renameNames(fn.prelude, own)]),
      `  return ${renameNames(fn.results[0]!, own)};`,
      '}',
      'fn termAt(i: u32, t: f32) -> f32 { return ' +
        `term(${names.map((_, k) => `in${k}[p.in${k}Base + i]`).join(', ')}, t); }`,
      '',
    ].join('\n'),
  };
  return [
    {
      kernel: 'reduce/sampleRoot',
      variant: `${fn.name} ${lanes}`,
      code: link('reduce/sampleRoot', { constants: { LANES: lanes, RISING: rising }, regions }),
      operands,
      parameters: [...words({ batch, sampleSize }), ...bases(operands)],
      workgroups: foldGrid(batch),
      flops: opTable.sampleRoot.flops(node),
      bytes: operandBytes(operands),
    },
  ];
};
