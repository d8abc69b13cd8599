import { ruleNames } from '../rules/parse.js';

/**
 * Splits `bp,linbp:from=3_1,match=block` into rules: a comma inside a rule's options, which only follow a colon, is
 * followed by no rule's name.
 */
export function splitRules(list: string): string[] {
  const rules: string[] = [];
  for (const piece of list.split(',')) {
    const name = /^\s*([a-z]\w*)\s*(?=[:+]|$)/.exec(piece)?.[1];
    const begins =
      rules.at(-1)?.includes(':') !== true || (name !== undefined && (ruleNames as readonly string[]).includes(name));
    if (begins) rules.push(piece.trim());
    else rules[rules.length - 1] += `,${piece.trim()}`;
  }
  return rules;
}
