import { expectMembers, expectObject } from '../arguments.js';
import { check, LinbpError } from '../errors.js';
import { instead } from '../names.js';
import { quoted, quotedValue } from '../quote.js';
import { expectFewParameters } from './parameters.js';
import { withoutComments } from '../wgsl/isolate.js';
import { link } from '../wgsl/link.js';
import { translated } from './translate.js';
import type { PointwiseRule, RuleSaves, BoundRule } from '../graph/rule.js';

/** Names a rule and what it needs. */
export interface UserRule {
  /** Letters, digits, `_` and `-`, beginning with a letter. */
  readonly name: string;
  /**
   * What the rule reads from the forward pass: nothing, the true derivative d (`mask`), or d and the pre-activation z
   * (`input`).
   */
  readonly saves: RuleSaves;
  /** Names of its parameters in order, at most four. */
  readonly parameters?: readonly string[];
}

/** A rule whose function is written in WGSL; see {@link wgslRule}. */
export interface WgslRule extends UserRule {
  /** Defines `fn rule(g: f32, d: f32, z: f32, p: vec4<f32>) -> f32` and whatever functions and constants that needs. */
  readonly wgsl: string;
  /** The same in JavaScript; without it the rule cannot run on the CPU reference. */
  readonly reference?: (g: number, d: number, z: number, p: readonly number[]) => number;
}

/** A rule whose function is written in JavaScript; see {@link jsRule}. */
export interface JavaScriptRule extends UserRule {
  /** dL/dz from g = dL/dy, the derivative d, the pre-activation z, then the parameters in order. */
  readonly rule: (g: number, d: number, z: number, ...parameters: number[]) => number;
}

function checkDeclaration(rule: UserRule): void {
  expectObject(rule, 'rule');
  const { name, saves, parameters = [] } = rule;
  check(
    /^[A-Za-z][\w-]*$/.test(name),
    'bad-argument',
    `a rule's name must be letters, digits, "_" and "-", got "${name}"`,
    'name',
  );
  check(
    ['nothing', 'mask', 'input'].includes(saves),
    'bad-argument',
    `rule ${name}: saves must be nothing, mask or input, got "${saves}"`,
    'saves',
  );
  expectFewParameters(name, parameters);
  const distinct =
    new Set(parameters).size === parameters.length && parameters.every((parameter) => /^[A-Za-z]\w*$/.test(parameter));
  check(
    distinct,
    'bad-argument',
    `rule ${name}: parameters must be distinct identifiers, got ${parameters.join(', ')}`,
    'parameters',
  );
}

/**
 * A rule given as WGSL code. The code defines `rule(g, d, z, p)`, which returns dL/dz of one element from g = dL/dy,
 * the true derivative d, the pre-activation z, and up to four parameters, p.x to p.w in the order of `parameters`. It
 * is called for each element, so shapes do not matter. `d` is 0 unless the rule saves `mask` or `input`, `z` unless it
 * saves `input`. The code may write `RuleParams` for the type of p.
 *
 * @returns the rule; {@link useRule} binds its parameters
 * @throws LinbpError `bad-argument` for a bad name, more than four parameters, code without the function or with
 * bindings and entry points. The device reports errors inside the code when a program that uses it is compiled.
 */
export function wgslRule(options: WgslRule): PointwiseRule {
  checkDeclaration(options);
  const { name, saves, parameters = [], reference } = options;
  check(typeof options.wgsl === 'string', 'bad-argument', `rule ${name}: wgsl must be a string`, 'wgsl');
  const plain = withoutComments(options.wgsl);
  check(
    /\bfn\s+rule\s*\(/.test(plain),
    'bad-argument',
    `rule ${name}: the WGSL text must define fn rule(g: f32, d: f32, z: f32, p: vec4<f32>) -> f32`,
    'wgsl',
  );
  const foreign = /@(compute|group|binding|workgroup_size)|var\s*<\s*(storage|uniform|workgroup)/.exec(plain);
  check(
    foreign === null,
    'bad-argument',
    `rule ${name}: the WGSL text must hold functions and constants only, found "${foreign?.[0]}"`,
    'wgsl',
  );
  const alias =
    /\bRuleParams\b/.test(plain) && !/\balias\s+RuleParams\b/.test(plain) ? 'alias RuleParams = vec4<f32>;\n' : '';
  return {
    name,
    saves,
    identity: false,
    parameters,
    wgsl: alias + options.wgsl,
    reference:
      reference ??
      (() => {
        throw new LinbpError('bad-argument', `rule ${name} has no JavaScript reference, so it cannot run on the CPU`, {
          field: name,
        });
      }),
  };
}

/**
 * A rule given as a plain JavaScript function, translated to WGSL by gpu.js and run unchanged by the CPU reference.
 * The function may use numbers, its arguments, local variables, `if`, loops, `?:`, comparisons and Math; it may not
 * use variables from outside, other functions, objects or arrays.
 * Rejects with `bad-argument` for anything outside this subset.
 */
export async function jsRule(options: JavaScriptRule): Promise<PointwiseRule> {
  checkDeclaration(options);
  const { name, saves, parameters = [], rule } = options;
  check(typeof rule === 'function', 'bad-argument', `rule ${name}: rule must be a function`, 'rule');
  const fail = (reason: string, cause?: unknown): never => {
    throw new LinbpError('bad-argument', `rule ${name} cannot be translated to WGSL: ${reason}`, {
      field: name,
      cause,
    });
  };
  const { text, count } = await translated(rule, ['g', 'd', 'z', ...parameters], fail);
  const passed = ['g', 'd', 'z', 'p.x', 'p.y', 'p.z', 'p.w'].slice(0, count);
  const wrapper =
    'fn rule(g: f32, d: f32, z: f32, p: vec4<f32>) -> ' + `f32 {\n  return fn_rule(${passed.join(', ')});\n}\n`;
  return {
    name,
    saves,
    identity: false,
    parameters,
    wgsl: link('rules/javascript', { regions: { RULE: `${text}\n${wrapper}` } }),
    reference: (g, d, z, p) => rule(g, d, z, ...p),
  };
}

/**
 * Binds the parameters of a rule.
 *
 * @param rule of {@link wgslRule} or {@link jsRule}, or a built-in one
 * @param parameters a value for each parameter by name, finite in float32
 * @throws LinbpError `unknown-option` for other names; `bad-range` for missing or non-finite values
 */
export function useRule(rule: PointwiseRule, parameters: Readonly<Record<string, number>> = {}): BoundRule {
  expectMembers(rule, 'rule', { name: 'text', parameters: 'list' });
  expectObject(parameters, 'parameters');
  for (const name of Object.keys(parameters)) {
    if (rule.parameters.includes(name)) continue;
    const others = rule.parameters.length === 0 ? '; it has none' : instead(name, { names: rule.parameters });
    const message = `rule ${rule.name} has no parameter ${quoted(name)}${others}`;
    throw new LinbpError('unknown-option', message, { field: name });
  }
  const values = rule.parameters.map((name) => {
    const value = parameters[name];
    check(
      typeof value === 'number' && Number.isFinite(Math.fround(value)),
      'bad-range',
      `rule ${rule.name}: ${name} must be a finite number, got ${value === undefined ? 'nothing' : quotedValue(value)}`,
      name,
    );
    return value;
  });
  return { rule, values };
}
