import { convGeneral } from './conv.js';
import type { ConvProblem } from './convProblem.js';
import { convRows } from './convRows.js';
import { convSplit } from './convSplit.js';
import { convTiled } from './convTiled.js';
import type { KernelDevice } from './device.js';
import { convHalfMatrix, convMatrix } from './matrices.js';
import type { ProductKernel } from './problem.js';
import { convImages } from './software/convImages.js';
import { convPacked } from './software/convPacked.js';
import { weightGradientImages } from './software/weightGradientImages.js';
import { weightGradientLinear } from './software/weightGradientLinear.js';
import { weightGradientRows } from './software/weightGradientRows.js';
import type { KernelTraits, ProductStrategy } from './strategy.js';
import { weightGradientGeneral } from './weightGradientGeneral.js';
import { weightGradientTiled } from './weightGradientTiled.js';
import type { WeightProduct } from './weightStrategy.js';
import { winogradF2, winogradF4 } from './winograd.js';

/** All kernels of a kind of product, the preferred first. */
interface Registry<P> {
  /** On software adapters these come before the others. */
  readonly software: readonly ProductStrategy<P>[];
  readonly all: readonly ProductStrategy<P>[];
}

/** Convolutions, linear layers and matrix products, forward and input gradient. */
export const convProducts: Registry<ConvProblem> = {
  software: [convRows, convImages, convPacked],
  // Lanes of gemm/convRows load as far apart as an invocation has outputs, which a GPU does not coalesce.
  all: [convTiled, convGeneral, convRows, convSplit, convMatrix, convHalfMatrix, winogradF4, winogradF2],
};

/** Weight gradients of convolutions and linear layers. */
export const weightProducts: Registry<WeightProduct> = {
  software: [weightGradientRows, weightGradientImages, weightGradientLinear],
  all: [weightGradientTiled, weightGradientGeneral],
};

/** Strategies of a kind in the order in which a device prefers them. */
export const strategies = <P>({ software, all }: Registry<P>, device: KernelDevice): ProductStrategy<P>[] => [
  ...new Set(device.software ? [...software, ...all] : all),
];

const traits: ReadonlyMap<string, KernelTraits> = new Map(
  [convProducts, weightProducts].flatMap(({ software, all }) =>
    [...software, ...all].map((strategy) => [strategy.name, strategy] as [string, KernelTraits]),
  ),
);

/** What is known of a kernel; undefined for a name that is none, as a file may hold. */
export const kernelTraits = (kernel: ProductKernel): KernelTraits | undefined => traits.get(kernel);
