import type { WinogradKernel } from './problem.js';

export type { WinogradKernel };

const tiles: Readonly<Record<WinogradKernel, number>> = { 'gemm/winogradF2': 2, 'gemm/winogradF4': 4 };

export const winogradKernels = ['gemm/winogradF4', 'gemm/winogradF2'] as const satisfies readonly WinogradKernel[];

export const isWinogradKernel = (kernel: string): kernel is WinogradKernel => Object.hasOwn(tiles, kernel);

/** Outputs of a tile along each axis. */
export const tileOutputs = (kernel: WinogradKernel): number => tiles[kernel];
