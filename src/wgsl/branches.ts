import { endOfBlock } from './unroll.js';

/** The flags of a shader: module-scope constants that are true or false. */
const flagsOf = (text: string): ReadonlyMap<string, boolean> =>
  new Map([...text.matchAll(/^const (\w+) = (true|false);/gm)].map(([, name, value]) => [name!, value === 'true']));

const branchHead = /\bif \((!?)(\w+)\) \{/g;

/** The place behind an `else` block or `else if` chain that begins at `from`; `from` itself where there is none. */
function endOfElse(text: string, from: number): number {
  const otherwise = /^ else( if \([^{]*\))? \{/.exec(text.slice(from, from + 400));
  if (otherwise === null) return from;
  const end = endOfBlock(text, from + otherwise[0].length);
  return otherwise[1] === undefined ? end : endOfElse(text, end);
}

/**
 * Takes the branches that a flag of the shader decides: `if (FLAG) { a } else { b }` becomes `{ a }` or `{ b }`. What a
 * variant does not run is not in its text, so that no compiler has to see that it is dead.
 */
export function decideBranches(text: string): string {
  const flags = flagsOf(text);
  let out = '';
  let rest = text;
  for (;;) {
    branchHead.lastIndex = 0;
    let head = branchHead.exec(rest);
    while (head !== null && !flags.has(head[2]!)) head = branchHead.exec(rest);
    if (head === null) return out + rest;
    const taken = flags.get(head[2]!)! !== (head[1] === '!');
    const open = head.index + head[0].length;
    const close = endOfBlock(rest, open);
    const end = endOfElse(rest, close);
    // the block that stays is looked through again: it may hold other branches
    const stays = taken ? rest.slice(open - 1, close) : rest.slice(close, end).replace(/^ else /, '') || '{}';
    out += rest.slice(0, head.index);
    rest = stays + rest.slice(end);
  }
}
