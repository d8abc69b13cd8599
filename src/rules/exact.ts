import { check } from '../errors.js';

/** A node of the syntax tree (ESTree). */
interface Syntax {
  readonly type: string;
  readonly start: number;
  readonly end: number;
  readonly [field: string]: unknown;
}

type Fail = (reason: string) => never;

const assignments = ['=', '+=', '-=', '*=', '/=', '%=', '**='];
const binaries = ['+', '-', '*', '/', '%', '**', '<', '>', '<=', '>=', '==', '!=', '===', '!=='];
const constants = ['E', 'LN10', 'LN2', 'LOG10E', 'LOG2E', 'PI', 'SQRT1_2', 'SQRT2'];

/** Constructs that are translated into something else than they mean, or into nothing, and what to call them. */
const refusedTypes: Readonly<Record<string, string>> = {
  LabeledStatement: 'a label',
  SequenceExpression: 'a comma between expressions',
  ForInStatement: 'for ... in',
  ForOfStatement: 'for ... of',
  TryStatement: 'try',
  ThrowStatement: 'throw',
  DebuggerStatement: 'debugger',
  TemplateLiteral: 'a template string',
  NewExpression: 'new',
  ThisExpression: 'this',
  ChainExpression: '?.',
  SpreadElement: '...',
  AwaitExpression: 'await',
  ArrayExpression: 'an array',
  ObjectExpression: 'an object',
};

const isSyntax = (value: unknown): value is Syntax =>
  typeof value === 'object' && value !== null && typeof (value as Syntax).type === 'string';

interface Visit {
  readonly node: Syntax;
  readonly parents: readonly Syntax[];
  /** The parent's field that holds it. */
  readonly field: string;
}

function* visits(node: Syntax, parents: readonly Syntax[] = [], field = ''): Generator<Visit> {
  yield { node, parents, field };
  for (const [key, value] of Object.entries(node))
    for (const child of Array.isArray(value) ? value : [value])
      if (isSyntax(child)) yield* visits(child, [...parents, node], key);
}

/** Whether nobody uses an expression's value: it is a statement, or what a `for` does between rounds. */
const isStatement = ({ parents, field }: Visit): boolean => {
  const parent = parents.at(-1);
  return parent?.type === 'ExpressionStatement' || (parent?.type === 'ForStatement' && field === 'update');
};

interface Edit {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

/** A name of Math that no rule may use, for what gpu.js would write as WGSL's `%`; see {@link repaired}. */
const remainder = 'Math.imul(';

/** `a % b` and `a %= b` as calls: WGSL's own remainder subtracts a rounded multiple, JavaScript's is exact. */
function asCall({ node }: Visit, source: string, origin: number): Edit[] {
  const [left, right] = [node['left'] as Syntax, node['right'] as Syntax];
  const assigned = node.type === 'AssignmentExpression';
  const sign = assigned ? '%=' : '%';
  if (node['operator'] !== sign) return [];
  const at = source.indexOf(sign, left.end - origin);
  const [begin, end] = [node.start - origin, node.end - origin];
  const close = { start: end, end, text: ')' };
  if (assigned) return [{ start: at, end: at + 2, text: `= ${remainder}${String(left['name'])},` }, close];
  check(at < right.start - origin, 'internal', 'an operator lies outside its operands', 'rule');
  return [{ start: begin, end: begin, text: remainder }, { start: at, end: at + 1, text: ',' }, close];
}

/**
 * The function with what WGSL does otherwise in other words: `i++` and `i--` as `i += 1` and `i -= 1`, since WGSL has
 * the former for integers only, and remainders as calls.
 */
export function inOtherWords(source: string, tree: unknown): string {
  // Places count from the beginning of what gpu.js parses, which is more than the function.
  const { start: origin } = tree as Syntax;
  const all = [...visits(tree as Syntax)];
  const updates = all
    .filter((visit) => visit.node.type === 'UpdateExpression' && isStatement(visit))
    .map(({ node }) => ({
      start: node.start - origin,
      end: node.end - origin,
      text: `${String((node['argument'] as Syntax)['name'])} ${node['operator'] === '++' ? '+=' : '-='} 1`,
    }));
  const remainders = all.filter(({ node }) => ['BinaryExpression', 'AssignmentExpression'].includes(node.type));
  // From the back; of those at one place the parentheses that close come first in the text.
  const edits = [...updates, ...remainders.flatMap((visit) => asCall(visit, source, origin))].sort(
    (a, b) => b.start - a.start || b.end - a.end,
  );
  return edits.reduce((text, { start, end, text: put }) => text.slice(0, start) + put + text.slice(end), source);
}

/**
 * Refuses what would be translated, but not into the same: values of assignments, bits, loops with labels, names
 * declared twice, comparisons with oneself, numbers that float32 cannot represent.
 */
export function checkExact(tree: unknown, argumentNames: readonly string[], fail: Fail): void {
  const all = [...visits(tree as Syntax)];
  checkNames(all, argumentNames, fail);
  for (const visit of all) {
    const { node, parents, field } = visit;
    const what = refusedTypes[node.type];
    if (what !== undefined) fail(`it uses ${what}`);
    switch (node.type) {
      case 'UpdateExpression':
        if (!isStatement(visit))
          fail(`the value of ${String(node['operator'])} is used; write it as a statement of its own`);
        break;
      case 'AssignmentExpression':
        if (!isStatement(visit)) fail('the value of an assignment is used; write it as a statement of its own');
        if (!assignments.includes(node['operator'] as string)) fail(`it uses ${String(node['operator'])}`);
        checkStride(visit, fail);
        checkJump(node['operator'] as string, [node['right'] as Syntax], fail);
        break;
      case 'ForStatement':
        checkEnd(node['test'] as Syntax | null, fail);
        break;
      case 'CallExpression':
        checkConstant(node, fail);
        break;
      case 'BinaryExpression':
        checkBinary(node, fail);
        break;
      case 'UnaryExpression':
        if (!['-', '+', '!'].includes(node['operator'] as string)) fail(`it uses ${String(node['operator'])}`);
        break;
      case 'LogicalExpression':
        if (node['operator'] === '??') fail('it uses ??');
        break;
      case 'Literal':
        checkLiteral(node['value'], fail);
        break;
      case 'MemberExpression': {
        const called = parents.at(-1)?.type === 'CallExpression' && field === 'callee';
        const name = String((node['property'] as Syntax)['name']);
        if (!called && !((node['object'] as Syntax)['name'] === 'Math' && constants.includes(name)))
          fail(`it reads ${String((node['object'] as Syntax)['name'])}.${name}`);
        break;
      }
      case 'VariableDeclarator':
        if (node['init'] === null) fail(`it declares ${String((node['id'] as Syntax)['name'])} without a value`);
        break;
      case 'SwitchStatement':
        checkSwitch(node, fail);
        break;
    }
  }
}

/** Refuses operators and operands that mean something else in float32. */
function checkBinary(node: Syntax, fail: Fail): void {
  const { operator } = node as unknown as { operator: string };
  if (!binaries.includes(operator)) fail(`it uses ${operator}, which works on integers or objects`);
  const [left, right] = [node['left'] as Syntax, node['right'] as Syntax];
  if (
    left.type === 'Identifier' &&
    right.type === 'Identifier' &&
    left['name'] === right['name'] &&
    /[<>=!]/.test(operator)
  )
    fail(`it compares ${String(left['name'])} with itself; drivers may take for granted that no number is NaN`);
  checkJump(operator, [left, right], fail);
  checkConstant(node, fail);
}

/** A counter that moves by 0.1 would make another number of rounds in float32. */
function checkStride({ node, parents, field }: Visit, fail: Fail): void {
  const value = (node['right'] as Syntax)['value'];
  if (parents.at(-1)?.type === 'ForStatement' && field === 'update' && typeof value === 'number')
    if (Math.fround(value) !== value) fail(`a loop counts by ${value}, which float32 rounds`);
}

/** Above 2^24 float32 has no odd numbers, so a counter would stay where it is for ever. */
function checkEnd(test: Syntax | null, fail: Fail): void {
  for (const side of [test?.['left'], test?.['right']])
    if (isSyntax(side) && side.type === 'Literal' && Math.abs(Number(side['value'])) > 2 ** 24)
      fail(`a loop counts to ${String(side['value'])}, more than the 16777216 that float32 counts to by ones`);
}

/** A remainder by 0.1, and whether something is 0.1, jump where float32 rounds the number. */
function checkJump(operator: string, sides: readonly Syntax[], fail: Fail): void {
  if (!['%', '%=', '==', '!=', '===', '!=='].includes(operator)) return;
  const rounded = sides.find(({ type, value }) => type === 'Literal' && Math.fround(Number(value)) !== value);
  if (rounded !== undefined && typeof rounded['value'] === 'number')
    fail(`it uses ${operator} with ${rounded['value']}, which float32 rounds`);
}

/** The number that an expression of numbers alone is; undefined where it depends on anything. */
function constantOf(node: Syntax): number | undefined {
  const { type, operator } = node as unknown as { type: string; operator: string };
  const all = (nodes: readonly unknown[]): number[] | undefined => {
    const found = nodes.map((each) => constantOf(each as Syntax));
    return found.some((each) => each === undefined) ? undefined : (found as number[]);
  };
  if (type === 'Literal') return typeof node['value'] === 'number' ? node['value'] : undefined;
  if (type === 'UnaryExpression') {
    const value = constantOf(node['argument'] as Syntax);
    return value === undefined || operator === '!' ? undefined : operator === '-' ? -value : value;
  }
  if (type === 'BinaryExpression') {
    const sides = all([node['left'], node['right']]);
    const compute = arithmetic[operator];
    return sides === undefined || compute === undefined ? undefined : compute(sides[0]!, sides[1]!);
  }
  const callee = node['callee'] as Syntax | undefined;
  if (type !== 'CallExpression' || (callee?.['object'] as Syntax | undefined)?.['name'] !== 'Math') return undefined;
  const values = all(node['arguments'] as unknown[]);
  const name = String((callee!['property'] as Syntax)['name']);
  const compute: unknown = Object.hasOwn(Math, name) ? (Math as unknown as Record<string, unknown>)[name] : undefined;
  return values === undefined || typeof compute !== 'function'
    ? undefined
    : (compute as (...numbers: number[]) => number)(...values);
}

const arithmetic: Readonly<Record<string, (a: number, b: number) => number>> = {
  '+': (a, b) => a + b,
  '-': (a, b) => a - b,
  '*': (a, b) => a * b,
  '/': (a, b) => a / b,
  '%': (a, b) => a % b,
  '**': (a, b) => a ** b,
};

/** WGSL computes such expressions while it compiles, and takes nothing that is not finite for an error. */
function checkConstant(node: Syntax, fail: Fail): void {
  const value = constantOf(node);
  if (value !== undefined && !Number.isFinite(Math.fround(value)))
    fail(`it computes ${value} from numbers alone, which WGSL refuses`);
}

function checkLiteral(value: unknown, fail: Fail): void {
  if (typeof value === 'boolean') return;
  if (typeof value !== 'number') return fail(`it uses ${JSON.stringify(String(value))}, which is no number`);
  const rounded = Math.fround(value);
  if (!Number.isFinite(rounded) || (rounded === 0 && value !== 0)) fail(`float32 has no number ${value}`);
}

/** Every name is an argument, or declared once; loops may count by the same name. */
function checkNames(all: readonly Visit[], argumentNames: readonly string[], fail: Fail): void {
  const declared = new Map<string, { readonly counter: boolean }>();
  for (const { node, parents } of all) {
    if (node.type !== 'VariableDeclarator') continue;
    const name = String((node['id'] as Syntax)['name']);
    const declaration = parents.at(-1)!;
    const place = parents.at(-2);
    const counter = place?.type === 'ForStatement' && place['init'] === declaration;
    if (argumentNames.includes(name)) fail(`it redeclares its argument ${name}`);
    const known = declared.get(name);
    if (known !== undefined && !(known.counter && counter)) fail(`it declares ${name} twice`);
    if (counter && (declaration['declarations'] as unknown[]).length > 1)
      fail('a for declares several variables; declare the others before it');
    // Parents: the function, its body, the declaration.
    if (declaration['kind'] === 'var' && parents.length > 3) fail(`var ${name} is declared inside a block; use let`);
    declared.set(name, { counter });
  }
  for (const { node, parents, field } of all) {
    if (node.type !== 'Identifier' || field === 'id' || field === 'property' || field === 'params') continue;
    const name = String(node['name']);
    const isMath = name === 'Math' && parents.at(-1)?.type === 'MemberExpression';
    // Functions that are called by name have an error of their own.
    const called = parents.at(-1)?.type === 'CallExpression' && field === 'callee';
    if (!isMath && !called && !argumentNames.includes(name) && !declared.has(name))
      fail(`it uses ${name}, which is not defined inside`);
  }
}

function checkSwitch(node: Syntax, fail: Fail): void {
  const cases = node['cases'] as { test: unknown; consequent: Syntax[] }[];
  cases.forEach(({ test, consequent }, index) => {
    const last = consequent.at(-1)?.type;
    const ends = last === 'ReturnStatement' || last === 'BreakStatement' || index === cases.length - 1;
    if (!ends) fail('a case of its switch goes on into the next one');
    if (test === null && index < cases.length - 1) fail('the default of its switch is not the last case');
  });
}

/**
 * The translation with what only its author can know put right: loops end where JavaScript ends them, not after a
 * thousand rounds, remainders are exact, and max, min and sign hand NaN on.
 */
export function repaired(text: string, tree: unknown, fail: Fail): string {
  const bounded = /for \(var (\w*safeI\w*) : i32 = 0;\s*\1\s*<\s*LOOP_MAX;\s*\1\+\+\)/g;
  if (text.includes('LOOP_MAX')) {
    const all = [...visits(tree as Syntax)];
    if (all.some(({ node }) => node.type === 'ContinueStatement'))
      fail('a loop with continue must end at a number that is written down');
    const counters = all
      .filter(({ node, parents }) => node.type === 'VariableDeclarator' && parents.at(-2)?.type === 'ForStatement')
      .map(({ node }) => String((node['id'] as Syntax)['name']));
    if (new Set(counters).size < counters.length) fail('two loops count by the same name');
  }
  const endless = text.replace(bounded, 'loop');
  if (endless.includes('LOOP_MAX')) fail('it has a loop whose end is not known');
  return endless.replace(/\bimul\(/g, '_mod(').replace(/\b(max|min|sign)\(/g, '_$1(');
}
