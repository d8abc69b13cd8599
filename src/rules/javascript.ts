/** A node of the syntax tree (ESTree). */
interface Syntax {
  readonly type: string;
  readonly [field: string]: unknown;
}

type Fail = (reason: string) => never;

/** Functions of Math that the translation has, with the number of their arguments. */
const mathArity: Readonly<Record<string, number>> = {
  ...Object.fromEntries(
    [
      'abs',
      'acos',
      'acosh',
      'asin',
      'asinh',
      'atan',
      'atanh',
      'cbrt',
      'ceil',
      'cos',
      'cosh',
      'exp',
      'expm1',
      'floor',
      'fround',
      'log',
      'log10',
    ].map((name) => [name, 1]),
  ),
  ...Object.fromEntries(
    ['log1p', 'log2', 'round', 'sign', 'sin', 'sinh', 'sqrt', 'tan', 'tanh', 'trunc'].map((name) => [name, 1]),
  ),
  ...Object.fromEntries(['atan2', 'max', 'min', 'pow'].map((name) => [name, 2])),
};

const comparisons = ['<', '>', '<=', '>=', '==', '!=', '===', '!=='];

/**
 * The text of a function as a `function` expression, which is the one form that gpu.js reads, and its argument names.
 */
export function functionSource(
  rule: (...values: number[]) => number,
  fail: Fail,
): { source: string; argumentNames: string[] } {
  // In one pass: what opens a comment of one kind may stand inside one of the other.
  const text = rule
    .toString()
    .replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, ' ')
    .trim();
  if (/^(async\b|class\b|function\s*\*)/.test(text) || /\{\s*\[native code\]\s*\}$/.test(text))
    fail('it is not a plain function');
  const arrow = /^(?:\(([^()]*)\)|([\w$]+))\s*=>\s*([\s\S]*)$/.exec(text);
  const method = /^(?:function\b\s*[\w$]*|[\w$]+)\s*\(([^()]*)\)\s*(\{[\s\S]*)$/.exec(text);
  if (arrow === null && method === null) return fail('its arguments must be plain names');
  const argumentNames = (arrow === null ? method![1]! : (arrow[1] ?? arrow[2]!))
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '');
  if (!argumentNames.every((name) => /^[A-Za-z_$][\w$]*$/.test(name)))
    fail(`its arguments must be plain names, got (${argumentNames.join(', ')})`);
  const body = arrow === null ? method![2]! : arrow[3]!.startsWith('{') ? arrow[3]! : `{ return ${arrow[3]!}; }`;
  return { source: `function rule(${argumentNames.join(', ')}) ${body}`, argumentNames };
}

function* subtrees(value: unknown): Generator<Syntax> {
  if (Array.isArray(value)) for (const each of value) yield* subtrees(each);
  else if (typeof value === 'object' && value !== null && typeof (value as Syntax).type === 'string') {
    yield value as Syntax;
    for (const child of Object.values(value)) yield* subtrees(child);
  }
}

/** Whether a statement, or the last of a list, returns on every path. */
function returns(statement: Syntax | undefined): boolean {
  switch (statement?.type) {
    case 'ReturnStatement':
      return statement['argument'] !== null;
    case 'BlockStatement':
      return returns((statement['body'] as Syntax[]).at(-1));
    case 'IfStatement':
      return (
        returns(statement['consequent'] as Syntax) &&
        returns((statement['alternate'] ?? undefined) as Syntax | undefined)
      );
    case 'SwitchStatement': {
      const cases = statement['cases'] as { test: unknown; consequent: Syntax[] }[];
      return cases.some((each) => each.test === null) && cases.every((each) => returns(each.consequent.at(-1)));
    }
    default:
      return false;
  }
}

/** Whether an expression gives true or false; `conditions` are the variables that do. */
function isConditionAmong(node: Syntax, conditions: ReadonlySet<string>): boolean {
  switch (node.type) {
    case 'BinaryExpression':
      return comparisons.includes(node['operator'] as string);
    case 'UnaryExpression':
      return node['operator'] === '!';
    case 'LogicalExpression':
      return true;
    case 'Literal':
      return typeof node['value'] === 'boolean';
    case 'Identifier':
      return conditions.has(node['name'] as string);
    case 'ConditionalExpression':
      return isConditionAmong(node['consequent'] as Syntax, conditions);
    default:
      return false;
  }
}

/**
 * Refuses what gpu.js translates into WGSL that no device accepts: numbers as conditions, conditions as numbers,
 * assignments to arguments, paths without a result, and functions of Math that WGSL lacks.
 */
export function checkJavaScriptRule(tree: unknown, argumentNames: readonly string[], fail: Fail): void {
  const nodes = [...subtrees(tree)];
  const conditions = new Set<string>();
  const isCondition = (node: Syntax): boolean => isConditionAmong(node, conditions);
  const needCondition = (node: unknown): void => {
    if (node !== null && !isCondition(node as Syntax)) fail('a number is used as a condition; compare it, as in d > 0');
  };
  const needNumber = (node: unknown): void => {
    if (isCondition(node as Syntax)) fail('a condition is used as a number; write condition ? 1 : 0');
  };
  for (const node of nodes) {
    switch (node.type) {
      case 'VariableDeclarator':
        if (node['init'] !== null && isCondition(node['init'] as Syntax))
          conditions.add((node['id'] as Syntax)['name'] as string);
        break;
      case 'IfStatement':
      case 'ConditionalExpression':
      case 'WhileStatement':
      case 'DoWhileStatement':
      case 'ForStatement':
        needCondition(node['test']);
        break;
      case 'LogicalExpression':
        needCondition(node['left']);
        needCondition(node['right']);
        break;
      case 'UnaryExpression':
        (node['operator'] === '!' ? needCondition : needNumber)(node['argument']);
        break;
      case 'ReturnStatement':
        if ((node['argument'] as Syntax | null)?.type === 'ArrayExpression') fail('it returns an array');
        if (node['argument'] !== null) needNumber(node['argument']);
        break;
      case 'AssignmentExpression':
      case 'UpdateExpression': {
        const name = ((node['left'] ?? node['argument']) as Syntax)['name'] as string;
        if (argumentNames.includes(name)) fail(`it assigns to its argument ${name}; use a variable of its own`);
        break;
      }
      case 'ExpressionStatement':
        if (!['AssignmentExpression', 'UpdateExpression'].includes((node['expression'] as Syntax).type))
          fail('a statement computes a value that nothing uses');
        break;
      case 'CallExpression':
        checkCall(node, fail);
        (node['arguments'] as Syntax[]).forEach(needNumber);
        break;
    }
  }
  if (!returns((tree as Syntax)['body'] as Syntax)) fail('not every path ends in a return');
}

function checkCall(node: Syntax, fail: Fail): void {
  const callee = node['callee'] as Syntax;
  const owner = (callee['object'] as Syntax | undefined)?.['name'];
  const name = String((callee['property'] as Syntax | undefined)?.['name'] ?? callee['name']);
  const arity = owner === 'Math' && Object.hasOwn(mathArity, name) ? mathArity[name] : undefined;
  if (arity === undefined)
    fail(`it calls ${owner === undefined ? name : `${String(owner)}.${name}`}, which has no counterpart in WGSL`);
  const count = (node['arguments'] as unknown[]).length;
  if (count !== arity) fail(`Math.${name} takes ${arity} argument${arity === 1 ? '' : 's'} here, got ${count}`);
}
