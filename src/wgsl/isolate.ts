/** A name, a number (so that `1e5` holds no name), or any other character. */
const token = /[A-Za-z_]\w*|0[xX][\da-fA-F.]+(?:[pP][+-]?\d+)?\w*|\.?\d[\w.]*(?:(?<=[eE])[+-]\d+\w*)?|[\s\S]/g;

const isName = (text: string | undefined): boolean => text !== undefined && /^[A-Za-z_]\w*$/.test(text);

/** WGSL text without its comments, which may nest. */
export function withoutComments(text: string): string {
  let result = '';
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    const pair = text.slice(i, i + 2);
    if (pair === '/*') {
      depth += 1;
      i += 1;
    } else if (pair === '*/' && depth > 0) {
      depth -= 1;
      i += 1;
      result += ' ';
    } else if (depth === 0 && pair === '//') {
      while (i < text.length && text[i] !== '\n') i += 1;
      result += '\n';
    } else if (depth === 0) result += text[i];
  }
  return result;
}

const significant = (tokens: readonly string[], from: number, step: 1 | -1): number => {
  let at = from + step;
  while (at >= 0 && at < tokens.length && /^\s$/.test(tokens[at]!)) at += step;
  return at;
};

/** Names that a text declares at module scope, and where the bodies of its structs are. */
function declarations(tokens: readonly string[]): { names: Set<string>; members: Set<number> } {
  const names = new Set<string>();
  const members = new Set<number>();
  let depth = 0;
  let inStruct = false;
  for (const [i, text] of tokens.entries()) {
    if (text === '{') depth += 1;
    else if (text === '}') {
      depth -= 1;
      if (depth === 0) inStruct = false;
    }
    // A member's name stands in front of a colon and belongs to the struct.
    if (inStruct && depth === 1 && isName(text) && tokens[significant(tokens, i, 1)] === ':') members.add(i);
    if (depth > 0) continue;
    if (['fn', 'struct', 'alias', 'const', 'override'].includes(text)) {
      const name = tokens[significant(tokens, i, 1)];
      if (isName(name)) names.add(name!);
      inStruct = text === 'struct';
    } else if (text === 'var') {
      // var<private> name
      let at = significant(tokens, i, 1);
      if (tokens[at] === '<') {
        while (at < tokens.length && tokens[at] !== '>') at += 1;
        at = significant(tokens, at, 1);
      }
      if (isName(tokens[at])) names.add(tokens[at]!);
    }
  }
  return { names, members };
}

/**
 * WGSL text that can stand beside any other: every name that it declares at module scope gets a suffix, wherever it is
 * used. Members of structs keep theirs. Names that the text does not declare, such as builtin functions, stay.
 *
 * @param suffix - what no other text in the module uses, such as `_user3`
 * @param rename - other names for some declarations
 */
export function isolate(text: string, suffix: string, rename: Readonly<Record<string, string>> = {}): string {
  const tokens = withoutComments(text).match(token) ?? [];
  const { names, members } = declarations(tokens);
  const renamed = (name: string): string => (Object.hasOwn(rename, name) ? rename[name]! : `${name}${suffix}`);
  return tokens
    .map((each, i) => {
      if (!names.has(each) || members.has(i) || tokens[significant(tokens, i, -1)] === '.') return each;
      return renamed(each);
    })
    .join('');
}

/** Replaces names in the body of a function, such as those of its arguments; members after a dot stay. */
export function renameNames(text: string, names: ReadonlyMap<string, string>): string {
  const tokens = withoutComments(text).match(token) ?? [];
  return tokens
    .map((each, i) => (tokens[significant(tokens, i, -1)] === '.' ? each : (names.get(each) ?? each)))
    .join('');
}
