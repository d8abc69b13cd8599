import { expect } from 'chai';
import { LinbpError } from '../../src/errors.js';
import type { LinbpErrorCode } from '../../src/errors.js';
import type { ModelDefinition } from '../../src/nn/definition.js';
import { initialState } from '../../src/nn/model.js';
import type { StateDict } from '../../src/nn/model.js';

/** Expects a rejection with a code, and returns the error. */
export async function refusal(work: () => unknown, ...codes: LinbpErrorCode[]): Promise<LinbpError> {
  let result: unknown;
  try {
    result = await work();
  } catch (error) {
    expect(error, String(error)).to.be.instanceOf(LinbpError);
    expect(codes, (error as LinbpError).message).to.include((error as LinbpError).code);
    return error as LinbpError;
  }
  throw new Error(`nothing was refused; the result is ${JSON.stringify(result)?.slice(0, 200)}`);
}

/** Convolution, batch norm, pooling and two linear layers on small images: every place where NaN could hide. */
export const smallNetwork: ModelDefinition = {
  name: 'small',
  input: [1, 6, 6],
  classes: 4,
  build(net, x) {
    const pooled = net.maxPool(
      'pool',
      net.relu('relu1', net.batchNorm('bn', net.conv('conv', x, 4, 3, { padding: 1 }))),
      2,
    );
    return net.linear('fc2', net.relu('relu2', net.linear('fc1', net.flatten(pooled), 8)), 4);
  },
};

/** Initial weights with some values replaced. */
export function spoiled(definition: ModelDefinition, name: string, value: number, index = 0): StateDict {
  return new Map(
    [...initialState(definition, 1)].map(([key, { shape, data }]) => {
      const copy = data.slice();
      if (key === name) copy[index] = value;
      return [key, { shape, data: copy }];
    }),
  );
}
