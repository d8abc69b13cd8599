/** Longest loop that is unrolled. */
const mostIterations = 32;

const loopHead = /for \(var (\w+) = 0u; \1( \+ 1u)? < ([^;]+); \1\+\+\) \{/;

type Constants = ReadonlyMap<string, number>;

/** Module-scope constants that are numbers. */
function constantsOf(text: string): Constants {
  const found = [...text.matchAll(/^const (\w+) = (\d+)u;/gm)];
  return new Map(found.map(([, name, value]) => [name!, Number(value)]));
}

/** Value of a sum or quotient of constants, such as `TN + TAPS - 1u` or `TM / SG`; undefined for anything else. */
function evaluate(expression: string, constants: Constants): number | undefined {
  const words = expression.split(/\s*([-+/])\s*/);
  let value = 0;
  for (let at = 0; at < words.length; at += 2) {
    const word = words[at]!.trim();
    const operand = /^\d+u$/.test(word) ? parseInt(word, 10) : constants.get(word);
    if (operand === undefined) return undefined;
    const operator = at === 0 ? '+' : words[at - 1];
    if (operator === '/' && at > 2) return undefined; // precedence: only a plain quotient
    if (operator === '/') value = Math.floor(value / operand);
    else value += operator === '-' ? -operand : operand;
  }
  return value;
}

/** The place behind the brace that closes the block which begins before `from`. */
export function endOfBlock(text: string, from: number): number {
  let depth = 1;
  let at = from;
  while (depth > 0) {
    const character = text[at++];
    if (character === '{') depth++;
    else if (character === '}') depth--;
    else if (character === undefined) throw new RangeError('a brace is missing');
  }
  return at;
}

/**
 * Writes out the loops of a shader whose length is a constant, a block per iteration, so that arrays are indexed by
 * constants. For drivers that neither unroll loops nor keep arrays in registers, such as SwiftShader: there each
 * access by a variable goes lane by lane through memory. Loops with `break` or `continue`, or of a length known only
 * when they run, stay, and so do those that are not `wanted`.
 */
export function unrollLoops(text: string, wanted: (variable: string, body: string) => boolean = () => true): string {
  const constants = constantsOf(text);
  const write = (rest: string): string => {
    let out = '';
    for (let head = loopHead.exec(rest); head !== null; head = loopHead.exec(rest)) {
      const [whole, variable, early, bound] = head;
      const open = head.index + whole.length;
      const end = endOfBlock(rest, open);
      const body = rest.slice(open, end - 1);
      const limit = evaluate(bound!, constants);
      out += rest.slice(0, head.index);
      rest = rest.slice(end);
      const iterations = limit === undefined ? Infinity : limit - (early === undefined ? 0 : 1);
      if (iterations > mostIterations || /\b(break|continue)\b/.test(body) || !wanted(variable!, body)) {
        out += `${whole}${write(body)}}`;
        continue;
      }
      const name = new RegExp(`\\b${variable}\\b`, 'g');
      for (let iteration = 0; iteration < iterations; iteration++)
        out += `{${write(body.replace(name, `${iteration}u`))}}\n`;
    }
    return out + rest;
  };
  return write(text);
}

const sharedBy = (lane: string): RegExp => new RegExp(`\\bbroadcast\\(([^()]*), lane, ${lane}\\)`, 'g');

/** Writes out the loops over the lanes that share a load, so that each lane is a constant. */
export const unrollLanes = (text: string): string =>
  unrollLoops(text, (variable, body) => sharedBy(variable).test(body));

/**
 * Reads a lane that is a constant with `subgroupBroadcast`, which needs neither a shuffle of registers nor a look at
 * which lanes are active.
 */
export const constantLanes = (text: string): string => text.replace(sharedBy('(\\d+u)'), 'subgroupBroadcast($1, $2)');
