import { check } from '../errors.js';
import { elementCount } from '../graph/types.js';
import type { Tensor } from '../graph/types.js';
import { expectInput, f32 } from './definition.js';
import type { OpDefinition } from './definition.js';

export const scaleShift: OpDefinition<'scaleShift'> = {
  infer(inputs) {
    const x = expectInput(inputs, 0, 'input', 'f32');
    expectInput(inputs, 1, 'scale', 'f32', [x.shape[1]!]);
    if (inputs.length > 2) expectInput(inputs, 2, 'shift', 'f32', [x.shape[1]!]);
    return [f32(x.shape)];
  },
  flops: (node) => 2 * elementCount(node.outputs[0]!.shape),
  backward(ctx, node, gradient) {
    const { graph } = ctx;
    const [x, scale] = node.inputs as [Tensor, Tensor];
    const dx = ctx.needs(0)
      ? graph.scope({ direction: 'inputGradient' }, () => graph.one('scaleShift', [gradient, scale], {}))
      : undefined;
    if (!ctx.needs(1) && !ctx.needs(2)) return [dx];
    return [dx, ...graph.scope({ direction: 'weightGradient' }, () => graph.add('channelSums', [gradient, x], {}))];
  },
};

export const add: OpDefinition<'add'> = {
  infer(inputs) {
    const a = expectInput(inputs, 0, 'a', 'f32');
    expectInput(inputs, 1, 'b', 'f32', a.shape);
    return [f32(a.shape)];
  },
  flops: (node) => elementCount(node.outputs[0]!.shape),
  backward: (_ctx, _node, gradient) => [gradient, gradient],
};

export const reshape: OpDefinition<'reshape'> = {
  infer(inputs, attrs) {
    const x = inputs[0];
    check(x !== undefined, 'bad-shape', 'input is missing', 'input');
    const fits = elementCount(x.shape) === elementCount(attrs.shape);
    check(fits, 'bad-shape', `[${x.shape.join(', ')}] cannot be seen as [${attrs.shape.join(', ')}]`, 'shape');
    return [{ shape: attrs.shape, dtype: x.dtype }];
  },
  flops: () => 0,
  backward: (ctx, node, gradient) => [ctx.graph.one('reshape', [gradient], { shape: node.inputs[0]!.shape })],
};

export const map: OpDefinition<'map'> = {
  infer(inputs, attrs) {
    const { fn, scalars, targets } = attrs;
    check(
      inputs.length === fn.inputs.length,
      'bad-argument',
      `${fn.name} takes ${fn.inputs.length} tensors, got ${inputs.length}`,
      fn.name,
    );
    check(
      scalars.length === fn.scalars.length,
      'bad-argument',
      `${fn.name} takes ${fn.scalars.length} scalars, got ${scalars.length}`,
      fn.name,
    );
    check(
      targets.length === fn.results.length,
      'bad-argument',
      `${fn.name} has ${fn.results.length} results, got ${targets.length} targets`,
      fn.name,
    );
    const names = [...fn.inputs, ...fn.scalars];
    const bad = names.find((name, index) => !/^[A-Za-z]\w*$/.test(name) || names.indexOf(name) < index);
    check(
      bad === undefined,
      'bad-argument',
      `${fn.name}: inputs and scalars must have names of their own, letters and digits, got ${JSON.stringify(bad)}`,
      fn.name,
    );
    const first = expectInput(inputs, 0, fn.inputs[0] ?? 'input', 'f32');
    for (const [index, input] of inputs.entries()) {
      // Labels and other words are taken by their value.
      if (input.dtype !== 'u32') expectInput(inputs, index, fn.inputs[index]!, 'f32');
      const count = elementCount(input.shape);
      const fits =
        count === elementCount(first.shape) ||
        (input.shape.length === 1 && (input.shape[0] === first.shape[0] || count === 1));
      check(
        fits,
        'bad-shape',
        `${fn.inputs[index]} [${input.shape.join(', ')}] does not broadcast to [${first.shape.join(', ')}]`,
        fn.inputs[index]!,
      );
    }
    for (const target of targets) {
      if (target === 'new') continue;
      const fits = inputs[target] !== undefined && elementCount(inputs[target].shape) === elementCount(first.shape);
      check(fits, 'bad-argument', `${fn.name} can only overwrite an input of full size, not input ${target}`, fn.name);
      expectInput(inputs, target, fn.inputs[target]!, 'f32');
    }
    return targets.filter((target) => target === 'new').map(() => f32(first.shape));
  },
  flops: (node) => node.attrs.fn.results.length * elementCount(node.inputs[0]!.shape),
  backward({ graph, needs }, node, gradient) {
    const { fn, scalars } = node.attrs;
    return node.inputs.map((input, index) => {
      if (!needs(index)) return undefined;
      const derivative = fn.derivatives?.[index];
      const full = elementCount(input.shape) === elementCount(node.inputs[0]!.shape);
      check(
        derivative !== undefined && full,
        'bad-argument',
        `${fn.name} has no derivative by ${fn.inputs[index]}`,
        fn.name,
      );
      return graph.one(
        'map',
        [gradient, ...node.inputs],
        { fn: derivative, scalars, targets: ['new'] },
        derivative.name,
      );
    });
  },
  mutates: (attrs) => attrs.targets.filter((target): target is number => target !== 'new'),
};

export const assign: OpDefinition<'assign'> = {
  infer(inputs) {
    const value = inputs[0];
    const state = inputs[1];
    const fits =
      value !== undefined &&
      state !== undefined &&
      value.dtype === state.dtype &&
      elementCount(value.shape) === elementCount(state.shape);
    check(fits, 'bad-shape', 'the value and the state must have the same size and dtype', 'state');
    return [];
  },
  flops: () => 0,
  mutates: () => [1],
};

export const sampleNorm: OpDefinition<'sampleNorm'> = {
  infer: (inputs) => [f32([expectInput(inputs, 0, 'input', 'f32').shape[0]!])],
  flops: (node) => 2 * elementCount(node.inputs[0]!.shape),
};

export const sampleRoot: OpDefinition<'sampleRoot'> = {
  infer(inputs, { fn }) {
    const first = expectInput(inputs, 0, fn.inputs[0] ?? 'input', 'f32');
    const pixels = inputs.length - 2;
    const takes = fn.inputs.length === pixels + 1 && pixels >= 1 && pixels <= 2;
    check(
      takes,
      'bad-argument',
      `${fn.name} takes one or two tensors of pixels and t, got ${inputs.length - 2}`,
      fn.name,
    );
    for (let index = 1; index < pixels; index++) expectInput(inputs, index, fn.inputs[index]!, 'f32', first.shape);
    const samples = [first.shape[0]!];
    expectInput(inputs, pixels, 'most', 'f32', samples);
    expectInput(inputs, pixels + 1, 'goal', 'f32', samples);
    return [f32(samples), f32(samples), f32(samples), f32(samples)];
  },
  flops: (node) => 4 * 64 * elementCount(node.inputs[0]!.shape),
};

export const overflow: OpDefinition<'overflow'> = {
  infer(inputs) {
    expectInput(inputs, 0, 'input', 'f32');
    return [f32([1])];
  },
  flops: (node) => elementCount(node.inputs[0]!.shape),
};
