import { LinbpError } from '../../errors.js';
import type { HostTensor, OnnxNode } from '../types.js';
import { Attributes } from './attributes.js';
import { elementwiseKernels } from './elementwise.js';
import type { HostInputs, HostKernel } from './kernel.js';
import { layerKernels } from './layers.js';
import { structureKernels } from './structure.js';

/** Every ONNX operator that can be computed on the CPU, in float64. */
export const hostKernels: Readonly<Record<string, HostKernel>> = {
  ...elementwiseKernels,
  ...structureKernels,
  ...layerKernels,
};

export const hasHostKernel = (node: OnnxNode): boolean => node.domain === '' && Object.hasOwn(hostKernels, node.op);

/** Computes one node. Throws a LinbpError about the node's inputs, or `unsupported` for an unknown operator. */
export function computeOnHost(node: OnnxNode, inputs: HostInputs): HostTensor[] {
  if (!hasHostKernel(node)) throw new LinbpError('unsupported', `operator ${node.op} is not supported`);
  return hostKernels[node.op]!(inputs, { node, attributes: new Attributes(node) });
}
