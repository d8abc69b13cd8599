import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { Graph } from '../../src/graph/graph.js';
import { linkAlone } from '../../src/wgsl/link.js';
import { initialState } from '../../src/nn/model.js';
import { modelDefinition } from '../../src/nn/zoo/index.js';
import { describeShader, kernelsOf } from '../../src/profile/shader.js';
import { constantsOf, shaderSizes, wholeNumber } from '../../src/profile/shaderSizes.js';
import { createWorkload } from '../../src/profile/workloads.js';
import { Program } from '../../src/program/program.js';
import { root } from '../cli/support.js';
import { sharedDevice } from '../support/device.js';

const lines = (...text: string[]): string => text.join('\n');
const numbersOf = (variables: readonly { name: string; bytes: number }[]): Record<string, number> =>
  Object.fromEntries(variables.map(({ name, bytes }) => [name, bytes]));

describe('sizes in shaders', () => {
  it('evaluates constants as WGSL does', () => {
    const constants = constantsOf(
      lines(
        'const TM = 16u;',
        'const SG = 8u;',
        'const SHARE: u32 = TM / SG; // each',
        'const MASK = 0xffu;',
        'const F = 0.5;',
      ),
    );
    const cases: [string, number][] = [
      ['TM', 16],
      ['7', 7],
      ['-3i', -3],
      ['TM / SG', 2],
      ['7 / 2', 3],
      ['7u % 4u', 3],
      ['2u + 3u * 4u', 14],
      ['(2u + 3u) * 4u', 20],
      ['TM - SG - 1u', 7],
      ['SHARE * (TM + 1u)', 34],
      ['MASK', 255],
    ];
    for (const [expression, value] of cases) expect(wholeNumber(expression, constants), expression).to.equal(value);
    for (const other of ['F', '2.5', 'true', 'select(1, 2, true)', 'OTHER', '(1', ''])
      expect(wholeNumber(other, constants), other).to.be.NaN;
  });

  it('lays variables out as WGSL does', () => {
    const { workgroup, shared, arrays } = shaderSizes(
      lines(
        'const A = 4u;',
        'const SUBGROUP = 32u;',
        'alias Element = f16;',
        'alias Sums = array<array<f32, A>, A + 1u>;',
        'struct Top { value: vec3f, index: vec3u }',
        'var<workgroup> tops: array<Top, 2>;',
        'var<workgroup> triples: array<vec3<f32>, A>;',
        'var<workgroup> elements: array<Element, A * 3u>;',
        'var<workgroup> flag: atomic<u32>;',
        '@compute @workgroup_size(A * 2u, 2)',
        'fn main() {',
        '  var sums: Sums;',
        '  var made = array<vec4f, A>();',
        '  var tile: subgroup_matrix_result<f32, 16, 8>;',
        '  var plain = 3u;',
        '  var single: f32;',
        '}',
      ),
    );
    expect(workgroup).to.deep.equal([8, 2, 1]);
    expect(numbersOf(shared)).to.deep.equal({ tops: 64, triples: 64, elements: 24, flag: 4 });
    expect(numbersOf(arrays)).to.deep.equal({ sums: 80, made: 64, tile: 16 });
    expect(shaderSizes('  var odd: array<mat2x2f, 2>;').arrays[0]!.bytes).to.be.NaN;
  });

  it('reads every shader of the package', () => {
    const files = readdirSync(join(root, 'shaders'), { recursive: true, encoding: 'utf8' }).filter((name) =>
      name.endsWith('.wgsl'),
    );
    expect(files.length).to.be.greaterThan(50);
    for (const file of files) {
      const { workgroup, shared, arrays } = shaderSizes(linkAlone(file.replaceAll('\\', '/').replace('.wgsl', '')));
      const numbers = [...workgroup, ...shared.map(({ bytes }) => bytes), ...arrays.map(({ bytes }) => bytes)];
      expect(
        numbers.every((number) => Number.isFinite(number) && number > 0),
        file,
      ).to.equal(true);
    }
    expect(numbersOf(shaderSizes(linkAlone('gemm/conv')).arrays)).to.include({ acc: 256, left: 8 });
    expect(numbersOf(shaderSizes(linkAlone('gemm/convTiled')).shared)).to.deep.equal({
      leftTile: 8448,
      rightTile: 4352,
    });
  });

  it('shows every kernel of a program in numbers @slow', async function () {
    this.timeout(120_000);
    const device = await sharedDevice();
    const shown = (program: Program): void => {
      for (const name of kernelsOf(program).keys()) {
        const text = describeShader(program, name);
        const figures = text
          .split('\n')
          .filter((line) => /^(constants|registers|workgroup size|shared memory) /.test(line));
        expect(figures.length, name).to.be.greaterThan(3);
        for (const line of figures) expect(line, name).to.not.match(/NaN|unknown|undefined|array</);
        expect(text, name).to.match(/^registers +\d+ words/m);
        expect(text, name).to.match(/^workgroup size +\d+ x \d+ x \d+, \d+ of at most \d+ invocations$/m);
        expect(text, name).to.match(/^shared memory +\d+ of at most \d+ bytes/m);
        expect(/^constants .*$/m.exec(text)![0], name).to.not.match(/\d[iu]\b/);
      }
    };
    for (const name of ['lenet5', 'resnet8-mlperf-tiny'] as const) {
      const definition = modelDefinition(name);
      const workload = await createWorkload('train', {
        device,
        definition,
        weights: initialState(definition, 1),
        rule: 'bp',
        batch: 2,
      });
      try {
        shown(workload.program);
      } finally {
        workload.destroy();
      }
    }
    // A kernel with workgroup memory.
    const graph = new Graph();
    graph.output('norm', graph.one('sampleNorm', [graph.input('x', [2, 300])], { norm: 'l2' }));
    using program = await Program.compile(graph, { device });
    shown(program);
    expect(describeShader(program, 'reduce/sampleNorm')).to.match(
      /^shared memory +[1-9]\d* of at most \d+ bytes: treeValues [1-9]\d*, treeWidth 4$/m,
    );
  });
});
