import { LinbpError } from '../errors.js';
import { checkExact, inOtherWords, repaired } from './exact.js';
import { loadFunctionNode } from './gpujs-loader.js';
import type { FunctionNode } from './gpujs-loader.js';
import { checkJavaScriptRule, functionSource } from './javascript.js';

/** The syntax tree, which a node has once it has begun to translate, even where it cannot. */
function parsedBy(node: FunctionNode): unknown {
  let problem: unknown;
  try {
    node.toString();
  } catch (error) {
    problem = error;
  }
  const { ast } = node as unknown as { ast: unknown };
  if (typeof ast !== 'object' || ast === null) throw problem;
  return ast;
}

/**
 * A plain JavaScript function as WGSL, `fn_rule`, and how many arguments it takes.
 *
 * @param known names of what is passed, in order
 * @param fail throws what says that it cannot be translated
 */
export async function translated(
  rule: (...values: number[]) => number,
  known: readonly string[],
  fail: (reason: string, cause?: unknown) => never,
): Promise<{ readonly text: string; readonly count: number }> {
  const { WGSLFunctionNode } = await loadFunctionNode();
  const { source, argumentNames } = functionSource(rule, fail);
  if (argumentNames.length > known.length)
    fail(`it takes ${argumentNames.length} arguments, but only ${known.join(', ')} are passed`);
  let text: string;
  try {
    const translator = (given: string) =>
      new WGSLFunctionNode(given, {
        name: 'rule',
        argumentTypes: argumentNames.map(() => 'Number'),
        returnType: 'Number',
        output: [1],
        needsArgumentType: () => false,
        lookupReturnType: (callee) => fail(`it calls ${callee}, which is not a function of Math that WGSL has`),
        lookupFunctionArgumentTypes: (callee) =>
          fail(`it calls ${callee}, which is not a function of Math that WGSL has`),
        onNestedFunction: () => fail('it contains another function'),
      });
    const tree = parsedBy(translator(source));
    checkExact(tree, argumentNames, fail);
    checkJavaScriptRule(tree, argumentNames, fail);
    text = repaired(translator(inOtherWords(source, tree)).toString(), tree, fail);
  } catch (error) {
    if (error instanceof LinbpError) throw error;
    return fail((error instanceof Error ? error.message : String(error)).split('\n')[0]!, error);
  }
  return { text, count: argumentNames.length };
}
