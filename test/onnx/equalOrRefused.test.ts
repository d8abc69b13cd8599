import { expect } from 'chai';
import type { LinbpErrorCode } from '../../src/errors.js';
import { describeModel } from '../../src/nn/definition.js';
import { referenceLogits } from '../../src/nn/predict.js';
import { importOnnx, runOnnx } from '../../src/onnx/index.js';
import type { OnnxTensor } from '../../src/onnx/index.js';
import { encodeModel } from '../../src/onnx/schema.js';
import type { RawAttribute, RawNode, RawTensor } from '../../src/onnx/schema.js';
import type { Device } from '../../src/runtime/device.js';
import { sharedDevice } from '../support/device.js';
import { refusal } from '../truth/support.js';

const elements = { float32: 1, uint8: 2, int8: 3, int32: 6, int64: 7, bool: 9, uint32: 12 } as const;
type Elements = keyof typeof elements;

interface Made {
  readonly inputs: Readonly<Record<string, readonly [Elements, readonly (number | string)[]]>>;
  readonly nodes: readonly RawNode[];
  readonly constants?: readonly RawTensor[];
  readonly output?: Elements;
  readonly opset?: number;
}

const node = (opType: string, input: string[], output: string[], attribute: RawAttribute[] = []): RawNode => ({
  ...{ opType, input, output, attribute },
});
const floats = (name: string, ...floatData: number[]): RawTensor => ({
  ...{ name, dims: floatData.length === 1 ? [] : [floatData.length], dataType: 1, floatData },
});
const longs = (name: string, ...int64Data: number[]): RawTensor => ({
  ...{ name, dims: [int64Data.length], dataType: 7, int64Data },
});

/** A file with one output, `y`. */
function file({ inputs, nodes, constants = [], output = 'float32', opset = 17 }: Made): Uint8Array {
  const dim = (size: number | string) => (typeof size === 'number' ? { dimValue: size } : { dimParam: size });
  return encodeModel({
    irVersion: 8,
    opsetImport: [{ version: opset }],
    graph: {
      node: [...nodes],
      initializer: [...constants],
      input: Object.entries(inputs).map(([name, [type, shape]]) => ({
        name,
        type: { tensorType: { elemType: elements[type], shape: { dim: shape.map(dim) } } },
      })),
      output: [{ name: 'y', type: { tensorType: { elemType: elements[output] } } }],
    },
  });
}

const tensor = (type: Elements, data: readonly number[], shape: readonly number[] = [data.length]): OnnxTensor => ({
  ...{ type, shape, data },
});

async function results(made: Made, given: Readonly<Record<string, OnnxTensor>>): Promise<number[][]> {
  const places: (Device | 'reference')[] = ['reference', await sharedDevice()];
  const found: number[][] = [];
  for (const device of places) {
    const { outputs } = await runOnnx(file(made), given, { device });
    found.push([...outputs.get('y')!.data]);
  }
  return found;
}

/** A classifier of 2 x 2 images whose pixels go through `nodes`, from `x` to `z`, before a linear layer. */
const classifier = (nodes: readonly RawNode[], constants: readonly RawTensor[] = []): Uint8Array =>
  file({
    opset: 20,
    inputs: { x: ['float32', ['N', 1, 2, 2]] },
    nodes: [...nodes, node('Flatten', ['z'], ['f']), node('Gemm', ['f', 'w'], ['y'])],
    constants: [
      ...constants,
      { name: 'w', dims: [4, 3], dataType: 1, floatData: Array.from({ length: 12 }, (_, i) => i) },
    ],
  });

describe('an ONNX operator means what the standard says, or is refused', () => {
  it('sums and extremes of several constants and a tensor take all of them', async () => {
    for (const [op, expected] of [
      ['Sum', [34, 35]],
      ['Max', [20, 20]],
      ['Min', [4, 5]],
      ['Mean', [34 / 3, 35 / 3]],
    ] as const) {
      const made: Made = {
        inputs: { x: ['float32', [2]] },
        nodes: [node(op, ['a', 'b', 'x'], ['y'])],
        constants: [floats('a', 20), floats('b', 10)],
      };
      for (const found of await results(made, { x: tensor('float32', [4, 5]) }))
        found.forEach((value, i) => expect(value, op).to.be.closeTo(expected[i]!, 1e-5));
    }
  });

  it('integers keep the lowest bits of what does not fit', async () => {
    const cases: readonly (readonly [string, Elements, number[], number[], number[]])[] = [
      ['Add', 'uint8', [200, 5], [100, 5], [44, 10]],
      ['Sub', 'uint8', [1, 5], [2, 5], [255, 0]],
      ['Mul', 'int8', [100, -3], [2, 4], [-56, -12]],
      ['Add', 'int32', [2 ** 31 - 1, 1], [1, 1], [-(2 ** 31), 2]],
      ['Mul', 'int32', [123456789, 3], [987654321, 3], [-67153019, 9]],
      ['Sum', 'uint8', [200, 1], [100, 1], [44, 2]],
    ];
    for (const [op, type, a, b, expected] of cases) {
      const made: Made = {
        inputs: { a: [type, [2]], b: [type, [2]] },
        nodes: [node(op, ['a', 'b'], ['y'])],
        output: type,
      };
      const { outputs } = await runOnnx(
        file(made),
        { a: tensor(type, a), b: tensor(type, b) },
        { device: 'reference' },
      );
      expect([...outputs.get('y')!.data], `${op} of ${type}`).to.deep.equal(expected);
    }
  });

  it('sums and means of integers are integers of their type', async () => {
    for (const [op, expected] of [
      ['ReduceSum', -(2 ** 31)],
      ['ReduceMean', -1073741824],
    ] as const) {
      const made: Made = { inputs: { x: ['int32', [2]] }, nodes: [node(op, ['x'], ['y'])], output: 'int32' };
      const { outputs } = await runOnnx(
        file(made),
        { x: tensor('int32', op === 'ReduceSum' ? [2 ** 31 - 1, 1] : [-(2 ** 31), -1]) },
        { device: 'reference' },
      );
      expect(outputs.get('y')!.data[0], op).to.equal(expected);
    }
  });

  it('negative numbers have powers for whole exponents, also where these differ', async () => {
    const made: Made = {
      inputs: { x: ['float32', [3]] },
      nodes: [node('Pow', ['x', 'e'], ['y'])],
      constants: [floats('e', 2, 3, 0)],
    };
    for (const found of await results(made, { x: tensor('float32', [-2, -2, 0]) }))
      expect(found).to.deep.equal([4, -8, 1]);
    const error = await refusal(
      () =>
        importOnnx(
          classifier(
            [node('Pow', ['x', 'e'], ['z'])],
            [{ name: 'e', dims: [1, 1, 2, 2], dataType: 1, floatData: [1, 2, 3, 4] }],
          ),
        ),
      'unsupported',
    );
    expect(error.message).to.match(/Pow.*several exponents/);
  });

  it('infinity passes the open side of a clip, and NaN a threshold', async () => {
    const given = { x: tensor('float32', [Infinity, -Infinity, NaN, 0.5]) };
    const inputs = { x: ['float32', [4]] } as const;
    const clipped: Made = { inputs, nodes: [node('Clip', ['x', 'low'], ['y'])], constants: [floats('low', 0)] };
    for (const found of await results(clipped, given)) expect(found).to.deep.equal([Infinity, 0, NaN, 0.5]);
    const under: Made = { inputs, nodes: [node('Clip', ['x', '', 'high'], ['y'])], constants: [floats('high', 0)] };
    for (const found of await results(under, given)) expect(found).to.deep.equal([0, -Infinity, NaN, 0]);
    const both: Made = {
      inputs,
      nodes: [node('Clip', ['x', 'low', 'high'], ['y'])],
      constants: [floats('low', 0), floats('high', 6)],
    };
    for (const found of await results(both, given)) expect(found).to.deep.equal([6, 0, NaN, 0.5]);
    const alpha = { name: 'alpha', type: 1, f: 1 };
    const threshold: Made = { inputs, nodes: [node('ThresholdedRelu', ['x'], ['y'], [alpha])] };
    for (const found of await results(threshold, given)) expect(found).to.deep.equal([Infinity, 0, NaN, 0]);
  });

  it('cumulative sums may leave out an element and begin at the end', async () => {
    const sums = async (attributes: Readonly<Record<string, number>>): Promise<number[]> => {
      const list = Object.entries(attributes).map(([name, i]): RawAttribute => ({ name, type: 2, i }));
      const made: Made = {
        inputs: {},
        nodes: [node('CumSum', ['x', 'axis'], ['y'], list)],
        constants: [
          { name: 'x', dims: [2, 3], dataType: 1, floatData: [1, 2, 3, 4, 5, 6] },
          { name: 'axis', dims: [], dataType: 7, int64Data: [1] },
        ],
      };
      return (await results(made, {}))[0]!;
    };
    expect(await sums({})).to.deep.equal([1, 3, 6, 4, 9, 15]);
    expect(await sums({ exclusive: 1 })).to.deep.equal([0, 1, 3, 0, 4, 9]);
    expect(await sums({ reverse: 1 })).to.deep.equal([6, 5, 3, 15, 11, 6]);
    expect(await sums({ exclusive: 1, reverse: 1 })).to.deep.equal([5, 3, 0, 11, 6, 0]);
  });

  it('the logarithm of a sum of exponentials beyond all numbers is a number', async () => {
    const made: Made = {
      inputs: {},
      nodes: [node('ReduceLogSumExp', ['x'], ['y'])],
      constants: [floats('x', 1000, 1000, -Infinity, 999)],
    };
    for (const [found] of await results(made, {})) expect(found).to.be.closeTo(1000 + Math.log(2 + Math.exp(-1)), 1e-4);
  });

  it('extremes pass over infinities of the other sign, as of masks', async () => {
    for (const [op, sign] of [
      ['ReduceMax', 1],
      ['ReduceMin', -1],
    ] as const) {
      const made: Made = { inputs: { x: ['float32', [3]] }, nodes: [node(op, ['x'], ['y'])] };
      const given = { x: tensor('float32', [-Infinity * sign, 2 * sign, sign]) };
      for (const found of await results(made, given)) expect(found, op).to.deep.equal([2 * sign]);
    }
  });

  it('what is no model, and sizes that images cannot have, are refused', async () => {
    const model = classifier([node('Relu', ['x'], ['z'])]);
    for (const [code, given, options] of [
      ['bad-argument', undefined, {}],
      ['bad-argument', null, {}],
      ['bad-argument', 5, {}],
      ['bad-range', model, { size: 224 }],
      ['bad-range', model, { size: [0, 224] }],
      ['bad-range', model, { size: [224] }],
    ] as const)
      await refusal(() => importOnnx(given as never, options as never), code);
  });

  it('a function that is cut off far from zero is not taken for the whole one', async () => {
    const pixels = Float32Array.of(1, 0.5, 0.25, 0);
    const twenty = node('Mul', ['x', 'twenty'], ['a']);
    const clip = (from: string): RawNode => node('Clip', [from, '', 'ten'], ['z']);
    const constants = [floats('twenty', 20), floats('ten', 10)];
    const silu = [node('Sigmoid', ['a'], ['s']), node('Mul', ['a', 's'], ['g'])];
    for (const [nodes, kind] of [
      [[twenty, node('Gelu', ['a'], ['g']), clip('g')], 'gelu'],
      [[twenty, ...silu, clip('g')], 'silu'],
      [[twenty, node('Clip', ['a', '', 'ten'], ['c']), node('Gelu', ['c'], ['z'])], 'gelu'],
    ] as const) {
      const model = await importOnnx(classifier(nodes, constants));
      expect(model.onnx.steps).to.include({ [kind]: 1, clip: 1 });
      const logits = await referenceLogits({ definition: model, weights: model.weights })(pixels);
      const values = pixels.map((x) => Math.min(20 * x * (kind === 'silu' ? 1 / (1 + Math.exp(-20 * x)) : 1), 10));
      const wanted = [0, 1, 2].map((k) => values.reduce((sum, value, i) => sum + value * (3 * i + k), 0));
      wanted.forEach((each, k) => expect(logits[k], kind).to.be.closeTo(each, 1e-3));
    }
    const whole = await importOnnx(classifier([twenty, ...silu, node('Identity', ['g'], ['z'])], constants));
    expect(whole.onnx.steps).to.include({ silu: 1 });
  });

  it('a dropout in training mode is refused, one that drops nothing is not', async () => {
    const dropout = (ratio: number): Uint8Array =>
      classifier(
        [node('Dropout', ['x', 'ratio', 'training'], ['z'])],
        [floats('ratio', ratio), { name: 'training', dims: [], dataType: 9, int32Data: [1] }],
      );
    const error = await refusal(() => importOnnx(dropout(0.5)), 'unsupported');
    expect(error.message).to.match(/Dropout.*training mode/);
    expect((await importOnnx(dropout(0))).classes).to.equal(3);
  });

  it('a number that follows from how many images there are is refused, a shape is not', async () => {
    const shape = (last: RawNode[]): Uint8Array =>
      classifier([node('Shape', ['x'], ['s']), ...last], [longs('first', 0), longs('rest', -1)]);
    const divided = shape([
      node('Gather', ['s', 'first'], ['n']),
      node('Cast', ['n'], ['count'], [{ name: 'to', type: 2, i: 1 }]),
      node('Div', ['x', 'count'], ['z']),
    ]);
    const error = await refusal(() => importOnnx(divided), 'unsupported');
    expect(error.message).to.match(/Div.*how many images/);
    const reshaped = shape([
      node('Gather', ['s', 'first'], ['n']),
      node('Concat', ['n', 'rest'], ['target'], [{ name: 'axis', type: 2, i: 0 }]),
      node('Reshape', ['x', 'target'], ['z']),
    ]);
    expect(describeModel(await importOnnx(reshaped)).parameterCount).to.equal(12);
  });

  it('two tensors of one name are refused', async () => {
    const relu = node('Relu', ['x'], ['z']);
    for (const bytes of [
      classifier([relu, node('Neg', ['x'], ['z'])]),
      classifier([relu], [floats('z', 1)]),
      classifier([relu], [floats('w', 1)]),
    ]) {
      const error = await refusal(() => importOnnx(bytes), 'bad-file');
      expect(error.message).to.match(/two tensors are called/);
    }
  });
});

describe('a refusal', () => {
  const square: Made['inputs'] = { x: ['float32', [1, 2, 2, 2]] };
  const attribute = (name: string, value: number | string): RawAttribute =>
    typeof value === 'number' ? { name, type: 2, i: value } : { name, type: 3, s: Buffer.from(value) };
  const why = async (made: Made, code: LinbpErrorCode): Promise<string> => {
    const x = tensor('float32', [1, 2, 3, 4, 5, 6, 7, 8], [1, 2, 2, 2]);
    return (await refusal(() => runOnnx(file(made), made.inputs['x'] ? { x } : {}, { device: 'reference' }), code))
      .message;
  };
  const of = (op: string, attributes: RawAttribute[], constants: RawTensor[] = [], inputs = ['x']): Made => ({
    ...{ inputs: square, nodes: [node(op, inputs, ['y'], attributes)], constants },
  });
  const einsum = (equation: string, operands = 1): Made =>
    of('Einsum', [attribute('equation', equation)], [], Array<string>(operands).fill('x'));

  const cases: readonly (readonly [Made, LinbpErrorCode, string])[] = [
    [of('Flatten', [attribute('axis', 5)]), 'bad-file', 'there is no axis 5: the tensor has 4 dimensions'],
    [of('Softmax', [attribute('axis', 4)]), 'bad-file', 'there is no axis 4: the tensor has 4 dimensions'],
    [of('DepthToSpace', [attribute('blocksize', 0)]), 'bad-file', 'blocksize must be a whole number above 0, got 0'],
    [of('DepthToSpace', [attribute('blocksize', 2)]), 'bad-file', '2 channels do not divide by 4, the square'],
    [of('SpaceToDepth', [attribute('blocksize', 3)]), 'bad-file', 'height and width 2x2 do not divide by blocksize 3'],
    [einsum('ab,bc->ac'), 'bad-file', 'the equation "ab,bc->ac" is of 2 operands, the node has 1'],
    [einsum('abc->a'), 'bad-file', 'a letter for each dimension; operand 0 has 4, its term is "abc"'],
    [einsum('abcd->ae'), 'bad-file', 'the equation "abcd->ae" has "e" in its result and in no operand'],
    [
      of('Resize', [], [floats('s', 1, 1, 1, 0.1)], ['x', '', 's']),
      'bad-file',
      'axis 3 of size 2 would be resized to 0; sizes must be above 0',
    ],
    [
      of('Resize', [], [floats('s', 1, 1, 1)], ['x', '', 's']),
      'bad-file',
      'there is neither a scale nor a size for axis 3',
    ],
    [
      {
        inputs: {},
        nodes: [node('Range', ['a', 'b', 'c'], ['y'])],
        constants: [floats('a', 0), floats('b', 10), floats('c', 0)],
      },
      'bad-file',
      'delta is 0, so that a range from 0 to 10 has no end',
    ],
  ];
  for (const [made, code, text] of cases)
    it(`says ${text}`, async () => expect(await why(made, code)).to.include(text));

  it('of an Einsum that has no gradient here says why', async () => {
    for (const [equation, operands, text] of [
      ['aacd->a', 1, 'takes a diagonal, since an operand has a letter twice'],
      ['abcd,abcd,abcd->a', 3, 'has 3 operands; products of two are supported'],
      ['abcd,abce->ab', 2, 'sums over a letter that only one of its operands has'],
    ] as const) {
      const inputs = Array<string>(operands).fill('x');
      const model = classifier([node('Einsum', inputs, ['z'], [attribute('equation', equation)])]);
      expect((await refusal(() => importOnnx(model), 'unsupported')).message).to.include(text);
    }
  });

  it('with several reasons has the code of a fault of the file, else of the first', async () => {
    const odd = node('Flatten', ['x'], ['a'], [attribute('axis', 9)]);
    const unknown = node('Unheard', ['x'], ['b']);
    const joined = node('Add', ['a', 'b'], ['y']);
    for (const nodes of [
      [odd, unknown, joined],
      [unknown, odd, joined],
    ])
      expect(await why({ inputs: square, nodes }, 'bad-file'))
        .to.match(/no axis 9/)
        .and.match(/Unheard/);
  });
});

describe('runOnnx asks what it is given', () => {
  const made = (type: Elements): Uint8Array =>
    file({ inputs: { x: [type, [2]] }, nodes: [node('Identity', ['x'], ['y'])], output: type });
  const cases: readonly (readonly [Elements, unknown, LinbpErrorCode])[] = [
    ['uint8', { type: 'uint8', shape: [2], data: [0, 256] }, 'bad-range'],
    ['int8', { type: 'int8', shape: [2], data: [0, -129] }, 'bad-range'],
    ['int64', { type: 'int64', shape: [2], data: [0, 0.5] }, 'bad-range'],
    ['int64', { type: 'int64', shape: [2], data: [0, NaN] }, 'bad-range'],
    ['bool', { type: 'bool', shape: [2], data: [0, 2] }, 'bad-range'],
    ['int64', { type: 'int64', shape: [2], data: BigInt64Array.of(1n, 2n) }, 'bad-dtype'],
    ['float32', { type: 'float32', shape: [2], data: ['1', '2'] }, 'bad-dtype'],
    ['float32', { type: 'float32', shape: [2], data: 'ab' }, 'bad-dtype'],
    ['float32', { type: 'float32', shape: 2, data: [1, 2] }, 'bad-argument'],
    ['float32', null, 'bad-argument'],
    ['float32', { type: 'float32', shape: [3], data: [1, 2, 3] }, 'bad-shape'],
  ];
  for (const [type, value, code] of cases)
    it(`${type}: ${code} for ${typeof value === 'object' && value !== null ? 'such a tensor' : 'null'}`, async () => {
      const given = { x: value as OnnxTensor };
      const error = await refusal(() => runOnnx(made(type), given, { device: 'reference' }), code);
      expect(error.field).to.equal('x');
    });

  it('and refuses inputs that the graph does not have', async () => {
    const x = tensor('float32', [1, 2]);
    await refusal(() => runOnnx(made('float32'), { x, y: x }, { device: 'reference' }), 'bad-argument');
    await refusal(
      () => runOnnx(made('float32'), null as unknown as Record<string, OnnxTensor>, { device: 'reference' }),
      'bad-argument',
    );
  });
});
