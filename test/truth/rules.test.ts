import { expect } from 'chai';
import { Graph } from '../../src/graph/graph.js';
import { isolate, renameNames } from '../../src/wgsl/isolate.js';
import { Program } from '../../src/program/program.js';
import { ReferenceRun } from '../../src/reference/run.js';
import { jsRule, useRule, wgslRule } from '../../src/rules/user.js';
import { sharedDevice } from '../support/device.js';
import { refusal } from './support.js';

type Rule = (g: number, d: number, z: number, ...p: number[]) => number;

const zs = [-3.5, -2, -0.5, 0.25, 0.5, 1.5, 2.5, 7];

/** Rules that must give on the device what JavaScript gives. */
const exact: Record<string, Rule> = {
  'counting up and down': (g, _d, z) => {
    let s = 0;
    for (let i = 0; i < 5; i++) s += i * z;
    for (let i = 5; i > 0; i--) s -= i / 2;
    return s * g;
  },
  'more than a thousand rounds': (g, _d, z) => {
    let s = 0;
    while (s < 1500) s += 1;
    let t = 0;
    for (let i = 0; i < 2000; i += 2) t += 1;
    return (s + t + z) * g;
  },
  'rounds up to a value': (g, _d, z) => {
    let s = 0;
    for (let i = 0; i < z * 400; i++) s += 1;
    return s * g;
  },
  'compound assignments': (g, _d, z) => {
    let a = z;
    a++;
    a *= 2;
    a -= 0.5;
    a /= 4;
    a **= 2;
    a--;
    return a * g;
  },
  'break, nested loops, integer halves': (g, _d, z) => {
    let s = 0;
    for (let i = 0; i < 9; i++) {
      if (i > 3) break;
      for (let j = 0; j < 3; j++) s += (i * j) / 4 + (i % 2);
    }
    return s * g + z;
  },
  'rounding, signs and powers': (g, _d, z) =>
    Math.round(z) + Math.sign(z) * Math.trunc(z) + Math.pow(z, 3) + g * Math.floor(z),
  'max and min': (g, _d, z) => Math.max(z, 1) * Math.min(g, z),
  'remainders of large numbers': (g, _d, z) => ((z * 1048576 + 1) % 3) * g + ((16777215 * 512) % (z * z)),
  'remainders of remainders, and of both signs': (g, _d, z) => {
    let a = z * 8192;
    a %= 7;
    return (((a * 5) % 3) % 2) + (z % 0.375) + (-z % (g * 3)) + (2 % z);
  },
  'switches and conditions in loops': (g, d, z) => {
    let s = 0;
    for (let i = 0; i < 3; i++) {
      switch (d) {
        case 0:
          s += 1;
          break;
        default:
          s += (z > 0 ? 1 : 2) / 4;
      }
    }
    return s * g;
  },
};

/** Each is refused when the rule is made, naming what it is about. */
const refused: Record<string, [Rule, RegExp]> = {
  'a division of numbers by zero': [(g) => Math.max(g, 1 / 0), /Infinity from numbers alone/],
  'a product of numbers that float32 cannot represent': [(g) => g * (1e38 * 10), /1e\+39 from numbers alone/],
  'a root of a negative number': [(g) => g + Math.sqrt(-1), /NaN from numbers alone/],
  'a remainder by a number that float32 rounds': [(g, _d, z) => (z % 0.1) * g, /% with 0\.1, which float32 rounds/],
  'equality with a number that float32 rounds': [(g, _d, z) => (z === 0.3 ? 0 : g), /=== with 0\.3/],
  'a counter beyond the whole numbers of float32': [
    (g) => {
      let s = 0;
      for (let i = 0; i < 20000000; i++) s += 1;
      return s * g;
    },
    /counts to 20000000/,
  ],
  bits: [(g, _d, z) => (z | 0) * g, /\|/],
  'the value of an increment': [
    (g, _d, z) => {
      let a = z;
      const b = a++;
      return a * b * g;
    },
    /\+\+/,
  ],
  'an assignment inside an expression': [
    (g, _d, z) => {
      let a = 1;
      const b = (a = z);
      return a * b * g;
    },
    /assignment/,
  ],
  shadowing: [
    (g, _d, z) => {
      const a = 1;
      if (z > 0) {
        const a = 2;
        return a * g;
      }
      return a * g;
    },
    /declares a twice/,
  ],
  'an argument that is redeclared': [
    (g, d, z) => {
      if (z > 0) {
        const d = 2;
        return d * g;
      }
      return d;
    },
    /argument d/,
  ],
  'comparison with itself': [(g, _d, z) => (z !== z ? 0 : g), /itself/],
  Infinity: [(g) => g * Infinity, /Infinity/],
  'a number that float32 cannot represent': [(g) => g * 1e39, /1e\+39/],
  'a counter that float32 rounds': [
    (g) => {
      let s = 0;
      for (let x = 0; x < 1; x += 0.1) s += 1;
      return s * g;
    },
    /0\.1/,
  ],
  'continue in a loop without a known end': [
    (g, _d, z) => {
      let s = 0;
      for (let i = 0; i < z; i++) {
        if (i === 1) continue;
        s += 1;
      }
      return s * g;
    },
    /continue/,
  ],
  'a case that goes on': [
    (g, d) => {
      let s = 0;
      switch (d) {
        // @ts-expect-error falling through is the point
        case 1:
          s = 1;
        default:
          s += 2;
      }
      return s * g;
    },
    /switch/,
  ],
};

describe('what users bring', () => {
  const run = async (rule: Awaited<ReturnType<typeof jsRule>>): Promise<number[]> => {
    const graph = new Graph();
    const [z, g] = [graph.input('z', [1, zs.length]), graph.input('g', [1, zs.length])];
    graph.output('dz', graph.one('activationBackward', [g, z], { kind: 'relu', rule: useRule(rule) }));
    using program = await Program.compile(graph, { device: await sharedDevice() });
    program.write(z, Float32Array.from(zs));
    program.write(g, new Float32Array(zs.length).fill(1.25));
    await program.run([{ segment: 'main' }]);
    return [...(await program.read('dz'))];
  };

  for (const [name, rule] of Object.entries(exact)) {
    it(`a JavaScript rule with ${name} gives what JavaScript gives`, async () => {
      const found = await run(await jsRule({ name: 'u', saves: 'input', rule }));
      zs.forEach((z, i) => {
        const expected = rule(1.25, z > 0 ? 1 : 0, z);
        expect(found[i], `z ${z}`).to.be.closeTo(expected, 1e-4 * Math.max(1, Math.abs(expected)));
      });
    });
  }

  for (const [name, [rule, pattern]] of Object.entries(refused)) {
    it(`a JavaScript rule with ${name} is refused when it is made`, async () => {
      expect((await refusal(() => jsRule({ name: 'u', saves: 'input', rule }), 'bad-argument')).message).to.match(
        pattern,
      );
    });
  }

  it('rules with helpers called alike, and like those of linbp, stand side by side in one kernel', async () => {
    const text = (factor: string): string => `
      // const p = 1; in a comment
      struct Pair { p: f32, finish: f32 }
      const FACTOR = ${factor};
      var<private> count: f32;
      fn finish(value: f32) -> f32 { return Pair(value, FACTOR).finish * value; }
      fn blockOf(v: f32) -> f32 { count = finish(v); return count; }
      fn rule(g: f32, d: f32, z: f32, q: RuleParams) -> f32 { let at = blockOf(g); return at + q.x; }`;
    const make = (name: string, factor: string) =>
      wgslRule({
        name,
        saves: 'nothing',
        parameters: ['add'],
        wgsl: text(factor),
        reference: (g, _d, _z, [add]) => g * Number(factor) + add!,
      });
    const graph = new Graph();
    const g = graph.input('g', [2, 32]);
    let v = graph.one('activationBackward', [g], { kind: 'relu', rule: useRule(make('a', '2.0'), { add: 1 }) });
    v = graph.one('activationBackward', [v], { kind: 'relu', rule: useRule(make('b', '3.0'), { add: 5 }) });
    v = graph.one('activationBackward', [v], { kind: 'relu', rule: useRule(make('a', '2.0'), { add: 0.5 }) });
    graph.output('v', v);
    for (const fuse of [true, false]) {
      using program = await Program.compile(graph, { device: await sharedDevice(), fuse });
      program.write(
        g,
        Float32Array.from({ length: 64 }, (_, i) => i / 4),
      );
      await program.run([{ segment: 'main' }]);
      expect([...(await program.read('v'))]).to.deep.equal(
        Array.from({ length: 64 }, (_, i) => 2 * (3 * (2 * (i / 4) + 1) + 5) + 0.5),
      );
    }
  });

  it('names in maps may be words of WGSL or of the kernel, and words count by their value', async () => {
    const graph = new Graph();
    const x = graph.input('x', [3, 2]);
    const labels = graph.input('labels', [3], 'u32');
    const fn = {
      name: 'odd',
      inputs: ['loop', 'p'],
      scalars: ['max'],
      prelude: 'let element = loop * max;',
      results: ['element + p'],
      reference: (a: number, b: number, c: number) => [a * c + b],
    };
    const y = graph.one('map', [x, labels], { fn: fn as never, scalars: [10], targets: ['new'] });
    const again = graph.one('map', [x, graph.input('more', [3, 2], 'u32')], {
      fn: fn as never,
      scalars: [2],
      targets: ['new'],
    });
    graph.output('y', y);
    graph.output('again', again);
    const values = [
      [x, Float32Array.of(1, 2, 3, 4, 5, 6)],
      [labels, Uint32Array.of(7, 8, 9)],
      [again.producer!.inputs[1]!, Uint32Array.of(1, 2, 3, 4, 5, 6)],
    ] as const;
    using program = await Program.compile(graph, { device: await sharedDevice() });
    const reference = new ReferenceRun(graph);
    for (const [tensor, data] of values) {
      program.write(tensor, data);
      reference.set(tensor, data);
    }
    reference.run();
    await program.run([{ segment: 'main' }]);
    expect([...(await program.read('y'))]).to.deep.equal([17, 27, 38, 48, 59, 69]);
    expect([...reference.get(y)]).to.deep.equal([17, 27, 38, 48, 59, 69]);
    expect([...(await program.read('again'))]).to.deep.equal([3, 6, 9, 12, 15, 18]);
    const twice = { ...fn, inputs: ['a', 'a'] };
    await refusal(
      () => graph.one('map', [x, x], { fn: twice as never, scalars: [1], targets: ['new'] }),
      'bad-argument',
    );
  });

  it('renaming leaves members, numbers and undeclared names alone', () => {
    expect(isolate('const e = 1e5; fn f(x: f32) -> f32 { return x.e + e + max(f(x), 0x1p4); }', '_1')).to.equal(
      'const e_1 = 1e5; fn f_1(x: f32) -> f32 { return x.e + e_1 + max(f_1(x), 0x1p4); }',
    );
    expect(renameNames('a.b + b * 1e3 /* b */', new Map([['b', 'c']]))).to.equal('a.b + c * 1e3  ');
  });

  it('max-pool windows that a byte cannot number are refused where the graph is built', async () => {
    const graph = new Graph();
    const attrs = { kernel: [17, 17], stride: [17, 17], padding: [0, 0, 0, 0], ceilMode: false } as const;
    await refusal(() => graph.add('maxPool2d', [graph.input('x', [1, 1, 17, 17])], attrs), 'limit-exceeded');
  });
});
