import { check } from '../errors.js';
import { elementCount } from '../graph/types.js';
import { withoutComments } from '../wgsl/isolate.js';
import { quotedValue } from '../quote.js';
import { expectInput, f32 } from './definition.js';
import type { OpDefinition } from './definition.js';
import { sameShape } from './elementwise.js';

const isName = (text: string): boolean => /^[A-Za-z][A-Za-z0-9_]*$/.test(text);

export const custom: OpDefinition<'custom'> = {
  infer(inputs, { kernel }) {
    const { name, inputs: names, wgsl } = kernel;
    const expect = (fits: boolean, what: string): void => check(fits, 'bad-argument', `kernel ${name}: ${what}`, name);
    check(isName(name), 'bad-argument', `a kernel's name must be letters, digits and "_", got ${name}`, 'name');
    expect(names.length > 0 && names.every(isName), `inputs must have names, got ${quotedValue(names)}`);
    expect(new Set([...names, 'result']).size === names.length + 1, 'inputs must have names of their own');
    expect(inputs.length === names.length, `it takes ${names.length} tensors, got ${inputs.length}`);
    const text = withoutComments(wgsl);
    expect(/\bfn\s+element\s*\(/.test(text), 'the WGSL text must define fn element(index: u32) -> f32');
    const foreign = /@(compute|group|binding|workgroup_size)|var\s*<\s*(storage|uniform|workgroup)/.exec(text)?.[0];
    expect(foreign === undefined, `the WGSL text must hold functions and constants only, found "${foreign}"`);
    names.forEach((each, index) => expectInput(inputs, index, each, 'f32'));
    const shape = kernel.shape(...inputs.map((input) => input.shape));
    const valid = Array.isArray(shape) && shape.every((size) => Number.isSafeInteger(size) && size > 0);
    expect(valid, `its shape must be positive whole numbers, got ${quotedValue(shape)}`);
    return [f32(shape)];
  },
  flops: (node) => (node.attrs.kernel.flopsPerElement ?? 1) * elementCount(node.outputs[0]!.shape),
  backward({ graph, needs }, node, gradient) {
    const { kernel } = node.attrs;
    return node.inputs.map((input, index) => {
      if (!needs(index)) return undefined;
      const backward = kernel.backward?.[index];
      check(
        backward !== undefined,
        'bad-argument',
        `kernel ${kernel.name} has no backward by ${kernel.inputs[index]}, which training and attacks need`,
        kernel.name,
      );
      const direction = input.kind === 'parameter' ? 'weightGradient' : 'inputGradient';
      const result = graph.scope({ direction }, () =>
        graph.one('custom', [gradient, ...node.inputs], { kernel: backward }),
      );
      check(
        sameShape(result.shape, input.shape),
        'bad-shape',
        `kernel ${backward.name} must give [${input.shape.join(', ')}], got [${result.shape.join(', ')}]`,
        backward.name,
      );
      return result;
    });
  },
};
