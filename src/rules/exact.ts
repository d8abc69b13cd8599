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
  TemplateLiteral: 'a text',
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

/**
 * The function with `i++` and `i--` written as `i += 1` and `i -= 1`, which mean the same for numbers, while WGSL has
 * the former for integers only.
 */
export function withoutUpdates(source: string, tree: unknown): string {
  // Places count from the beginning of what gpu.js parses, which is more than the function.
  const { start: origin } = tree as Syntax;
  const edits = [...visits(tree as Syntax)]
    .filter((visit) => visit.node.type === 'UpdateExpression' && isStatement(visit))
    .map(({ node }) => ({
      start: node.start - origin,
      end: node.end - origin,
      text: `${String((node['argument'] as Syntax)['name'])} ${node['operator'] === '++' ? '+=' : '-='} 1`,
    }))
    .sort((a, b) => b.start - a.start);
  return edits.reduce((text, { start, end, text: put }) => text.slice(0, start) + put + text.slice(end), source);
}

/**
 * Refuses what would be translated, but not into the same: values of assignments, bits, loops with labels, names
 * declared twice, comparisons with oneself, numbers that float32 has not.
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
        break;
      case 'BinaryExpression': {
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
        break;
      }
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

/** A counter that moves by 0.1 would make another number of rounds in float32. */
function checkStride({ node, parents, field }: Visit, fail: Fail): void {
  const value = (node['right'] as Syntax)['value'];
  if (parents.at(-1)?.type === 'ForStatement' && field === 'update' && typeof value === 'number')
    if (Math.fround(value) !== value) fail(`a loop counts by ${value}, which float32 rounds`);
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
    if (argumentNames.includes(name)) fail(`it declares its argument ${name} anew`);
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
 * thousand rounds, and max, min and sign hand NaN on.
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
  return endless.replace(/\b(max|min|sign)\(/g, '_$1(');
}
