import { expectFloat32Number, expectObject } from '../arguments.js';
import { check, LinbpError } from '../errors.js';
import { addScalarFunction } from '../graph/functions.js';
import type { RegisteredFunctionName } from '../graph/functions.js';
import { withoutComments } from '../wgsl/isolate.js';
import { link, provideShader } from '../wgsl/link.js';
import { translated } from './translate.js';

/** A function of one number, to be registered by {@link registerFunction}. */
export interface UserFunction {
  /** Letters, digits and `_`, beginning with a letter; none that linbp has. */
  readonly name: string;
  /** Names of at most two parameters in order, with the values they have unless told. */
  readonly parameters?: Readonly<Record<string, number>>;
  /** f(x), then the parameters. */
  readonly value: (x: number, ...parameters: number[]) => number;
  /** f'(x); without it the function cannot be differentiated, so neither trained nor attacked through. */
  readonly slope?: (x: number, ...parameters: number[]) => number;
  /**
   * The same in WGSL, where the translation of `value` and `slope` will not do: `fn value(x: f32, p: vec4f) -> f32`
   * and `fn slope(x: f32, p: vec4f) -> f32`, the parameters in `p.x` and `p.y`, and whatever functions and constants
   * these need.
   */
  readonly wgsl?: string;
}

/** `value` and `slope` translated by gpu.js, with the functions of Math that WGSL lacks. */
async function translation({ name, parameters = {}, value, slope }: UserFunction): Promise<string> {
  const fail = (reason: string, cause?: unknown): never => {
    throw new LinbpError('bad-argument', `function ${name} cannot be translated to WGSL: ${reason}; give it as wgsl`, {
      field: name,
      cause,
    });
  };
  const passed = ['x', 'p.x', 'p.y'];
  const parts: string[] = [];
  for (const [role, fn] of [
    ['value', value],
    ['slope', slope],
  ] as const) {
    const { text, count } = fn ? await translated(fn, ['x', ...Object.keys(parameters)], fail) : { text: '', count: 0 };
    const result = fn === undefined ? '0.0' : `${role}_js(${passed.slice(0, count).join(', ')})`;
    parts.push(text.replaceAll('fn_rule', `${role}_js`), `fn ${role}(x: f32, p: vec4f) -> f32 { return ${result}; }`);
  }
  return link('rules/javascript', { regions: { RULE: `${parts.join('\n')}\n` } });
}

/**
 * Registers a custom elementwise op: networks may then use it as `net.activation(name, x, kind)`, which is a
 * position of rules (`on=kind`), or as the op `unary`. It is computed, fused and differentiated like GELU or SiLU,
 * on the device, in f16 and in the float64 reference.
 *
 * @returns its name as a kind of activation
 * @throws LinbpError `bad-argument` for a name that is taken, WGSL without the functions, or JavaScript that cannot
 * be translated; the device reports errors inside the WGSL
 */
export async function registerFunction(options: UserFunction): Promise<RegisteredFunctionName> {
  expectObject(options, 'options');
  const { name, parameters = {}, value, slope, wgsl } = options;
  const expect = (fits: boolean, what: string): void => check(fits, 'bad-argument', `function ${name}: ${what}`, name);
  check(
    /^[A-Za-z]\w*$/.test(name),
    'bad-argument',
    `a function's name must be letters and digits, got ${name}`,
    'name',
  );
  const entries = Object.entries(parameters);
  expect(entries.length <= 2, 'at most 2 parameters');
  for (const [each, usual] of entries)
    expectFloat32Number(usual, `function ${name}: ${each}`, () => true, 'a finite number');
  expect(typeof value === 'function', 'it needs value, a function of JavaScript, for the reference');
  const given = wgsl ?? (await translation(options));
  const stub = '\nfn slope(x: f32, p: vec4f) -> f32 { return 0.0; }\n';
  const text = slope === undefined && wgsl !== undefined ? `${given}${stub}` : given;
  const plain = withoutComments(text);
  for (const role of ['value', 'slope'])
    expect(
      new RegExp(`\\bfn\\s+${role}\\s*\\(`).test(plain),
      `the WGSL text must define fn ${role}(x: f32, p: vec4f) -> f32`,
    );
  const foreign = /@(compute|group|binding|workgroup_size)|var\s*<\s*(storage|uniform|workgroup)/.exec(plain)?.[0];
  expect(foreign === undefined, `the WGSL text must hold functions and constants only, found "${foreign}"`);
  const registered = addScalarFunction(name, { parameters, value, slope });
  provideShader(`functions/${name}`, text);
  return registered;
}
