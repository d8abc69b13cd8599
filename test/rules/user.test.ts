import { expect } from 'chai';
import { LinbpError } from '../../src/errors.js';
import { jsRule, useRule, wgslRule } from '../../src/rules/user.js';
import { errorOf } from '../reference/support.js';

const outside = 3;

async function refusal(rule: (g: number, d: number, z: number, ...p: number[]) => number): Promise<string> {
  try {
    await jsRule({ name: 'mine', saves: 'input', rule });
  } catch (error) {
    expect(error).to.be.instanceOf(LinbpError);
    expect((error as LinbpError).code).to.equal('bad-argument');
    return (error as LinbpError).message;
  }
  throw new Error(`accepted ${rule.toString()}`);
}

describe('rules in JavaScript', () => {
  it('become WGSL and run unchanged in the reference', async () => {
    const rule = await jsRule({
      name: 'gated',
      saves: 'input',
      parameters: ['beta', 'floor'],
      rule: (g, d, z, beta, floor) => {
        const s = 1 / (1 + Math.exp(-beta! * z));
        if (d > 0.5) {
          return g * s;
        }
        return g * Math.max(s, floor!);
      },
    });
    expect(rule.wgsl).to.match(
      /fn fn_rule\(user_g : f32, user_d : f32, user_z : f32, user_beta : f32, user_floor : f32\) -> f32/,
    );
    expect(rule.wgsl).to.match(
      /fn rule\(g: f32, d: f32, z: f32, p: vec4<f32>\) -> f32 \{\s+return fn_rule\(g, d, z, p\.x, p\.y\);/,
    );
    expect(rule.wgsl.match(/fn rule\(/g)).to.have.length(1);
    expect(rule.reference(2, 1, 0, [1, 0.75])).to.equal(1);
    expect(rule.reference(2, 0, 0, [1, 0.75])).to.equal(1.5);
    expect(rule.identity).to.equal(false);
  });

  it('may be arrows, functions or methods, and need not name what they do not use', async () => {
    const forms = {
      method(g: number, d: number) {
        return g * d;
      },
    };
    function named(g: number, d: number): number {
      return g * d; // the true derivative
    }
    for (const rule of [(g: number, d: number) => g * d, named, forms.method, (g: number) => g]) {
      const { wgsl } = await jsRule({ name: 'mine', saves: 'mask', rule });
      expect(wgsl).to.contain('return fn_rule(g');
    }
  });

  it('may loop, branch and use Math', async () => {
    const { wgsl } = await jsRule({
      name: 'series',
      saves: 'input',
      rule: (g, d, z) => {
        let total = 0;
        for (let i = 1; i < 4; i++) total += Math.pow(z, i) / i;
        const steep = Math.abs(z) > 1 && d > 0;
        return steep ? g * Math.tanh(total) : g * (Math.log1p(Math.abs(z)) + Math.PI);
      },
    });
    expect(wgsl).to.contain('for (');
  });

  it('are read without their comments, whatever these hold', async () => {
    const text = `(g, d) => {
      let a = g * d; // the factor follows /*
      a *= 7; // */
      return a; /* and // here */
    }`;
    const written = new Function(`return ${text}`)() as (g: number, d: number) => number;
    expect(written(1, 1)).to.equal(7);
    const { wgsl } = await jsRule({ name: 'mine', saves: 'mask', rule: written });
    expect(wgsl).to.match(/\*=\s*7/);
  });

  it('are refused outside the subset, with the reason', async () => {
    expect(await refusal((g) => g * outside)).to.contain('not defined');
    expect(await refusal((g, d) => Math.hypot(g, d))).to.contain('hypot');
    expect(await refusal((g) => g * Math.random())).to.contain('random');
    expect(await refusal((g) => g * Number('3'))).to.contain('cannot be translated');
    expect(await refusal((g, d) => (d ? g : 0))).to.contain('condition');
    expect(await refusal((g, d) => d && g)).to.contain('condition');
    expect(await refusal((g) => (g > 0) as unknown as number)).to.contain('condition');
    expect(await refusal((g) => [g] as unknown as number)).to.contain('cannot be translated');
    expect(await refusal((g, d) => [g, d] as unknown as number)).to.contain('array');
    expect(await refusal((g) => ({ a: g }) as unknown as number)).to.contain('cannot be translated');
    expect(
      await refusal((g, d) => {
        if (d > 0) {
          return g;
        }
        return undefined as unknown as number;
      }),
    ).to.contain('cannot be translated');
    // @ts-expect-error not all of its paths return a value
    const falling = ((g: number, d: number) => { if (d > 0) { return g; } }) as () => number; // prettier-ignore
    expect(await refusal(falling)).to.contain('return');
    // prettier-ignore
    expect(await refusal((g, d) => { g = g * d; return g; })).to.contain('assigns to its argument g');
    expect(
      await refusal((g) => {
        const twice = (x: number): number => 2 * x;
        return twice(g);
      }),
    ).to.contain('cannot be translated');
    expect(await refusal((g, d, z) => Math.max(g, d, z))).to.contain('2 arguments');
    expect(await refusal((...all) => all[0]!)).to.contain('plain names');
    expect(await refusal((g, d = 1) => g * d)).to.contain('plain names');
    expect(await refusal((g, d, z, extra) => g * d * z * extra!)).to.contain('4 arguments');
    expect(await refusal(Math.atan2)).to.contain('plain function');
  });
});

describe('rules in WGSL', () => {
  const wgsl = 'fn rule(g: f32, d: f32, z: f32, p: RuleParams) -> f32 { return p.x * g; }';

  it('know RuleParams and run on the CPU if they have a reference', () => {
    const rule = wgslRule({
      name: 'scaled',
      saves: 'nothing',
      parameters: ['gamma'],
      wgsl,
      reference: (g, _d, _z, [gamma]) => gamma! * g,
    });
    expect(rule.wgsl).to.contain('alias RuleParams = vec4<f32>;');
    expect(rule.reference(3, 0, 0, useRule(rule, { gamma: 2 }).values)).to.equal(6);
    const silent = wgslRule({ name: 'scaled', saves: 'nothing', wgsl });
    expect(errorOf(() => silent.reference(1, 1, 1, [])).message).to.contain('no JavaScript reference');
  });

  it('are read without their comments, which may nest and hold each other', () => {
    const commented = `/* a // b */ ${wgsl} // /*`;
    expect(wgslRule({ name: 'a', saves: 'nothing', wgsl: commented }).wgsl).to.contain(wgsl);
    const hidden = `/* // */ @compute fn main() {}\n${wgsl}`;
    expect(errorOf(() => wgslRule({ name: 'a', saves: 'nothing', wgsl: hidden })).message).to.contain('@compute');
  });

  it('are refused when badly declared', () => {
    expect(errorOf(() => wgslRule({ name: 'a', saves: 'nothing', wgsl: '// fn rule(' })).field).to.equal('wgsl');
    expect(
      errorOf(() => wgslRule({ name: 'a', saves: 'nothing', wgsl: `${wgsl} @compute fn main() {}` })).field,
    ).to.equal('wgsl');
    expect(errorOf(() => wgslRule({ name: '1', saves: 'nothing', wgsl })).field).to.equal('name');
    expect(errorOf(() => wgslRule({ name: 'a', saves: 'all' as 'mask', wgsl })).field).to.equal('saves');
    expect(
      errorOf(() => wgslRule({ name: 'a', saves: 'mask', parameters: ['a', 'b', 'c', 'd', 'e'], wgsl })).field,
    ).to.equal('parameters');
    expect(errorOf(() => wgslRule({ name: 'a', saves: 'mask', parameters: ['b', 'b'], wgsl })).field).to.equal(
      'parameters',
    );
    const rule = wgslRule({ name: 'a', saves: 'mask', parameters: ['b'], wgsl });
    expect(errorOf(() => useRule(rule, {})).code).to.equal('bad-range');
    expect(errorOf(() => useRule(rule, { b: 1, c: 2 })).code).to.equal('unknown-option');
  });
});
