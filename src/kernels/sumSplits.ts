import type { Tensor } from '../graph/types.js';
import { link } from '../wgsl/link.js';
import { words } from './grid.js';
import { bindingBase } from './types.js';
import type { Dispatch } from './types.js';

/** Adds partial sums [splits, rows, columns (+ 1 where there is a bias)] in order. */
export function sumSplits(partial: Tensor, weight: Tensor, bias: Tensor | undefined, columns: number): Dispatch {
  const [splits, rows, width] = partial.shape as [number, number, number];
  const total = rows * width;
  const workgroups = Math.ceil(total / 64);
  const wide = Math.min(workgroups, 32768);
  return {
    kernel: 'gemm/sumSplits',
    variant: bias === undefined ? '' : 'bias',
    code: link('gemm/sumSplits', {
      regions: bias === undefined ? { bindings: '', store: '  c[p.cBase + row * p.columns + column] = sum;\n' } : {},
    }),
    operands: [
      { name: 'partial', tensor: partial, access: 'read' },
      { name: 'c', tensor: weight, access: 'write' },
      ...(bias === undefined ? [] : [{ name: 'biasGradient', tensor: bias, access: 'write' as const }]),
    ],
    parameters: words({
      rows,
      columns,
      bias: bias === undefined ? 0 : 1,
      splits,
      cBase: bindingBase(weight),
      biasBase: bias === undefined ? 0 : bindingBase(bias),
      stride: wide * 64,
      width,
    }),
    workgroups: [wide, Math.ceil(workgroups / wide), 1],
    flops: splits * total,
    bytes: 4 * (splits + 1) * total,
  };
}
