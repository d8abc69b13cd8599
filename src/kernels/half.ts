import { LinbpError } from '../errors.js';

/**
 * How an element type of the shaders is stored in 16 bits, and what makes one of the other; words that are only
 * copied are not converted.
 */
const storages: Readonly<Record<string, { readonly stored: string; readonly load: string; readonly store: string }>> = {
  f32: { stored: 'f16', load: 'f32', store: 'f16' },
  vec2f: { stored: 'vec2<f16>', load: 'vec2f', store: 'vec2<f16>' },
  vec4f: { stored: 'vec4<f16>', load: 'vec4f', store: 'vec4<f16>' },
  'vec2<f32>': { stored: 'vec2<f16>', load: 'vec2<f32>', store: 'vec2<f16>' },
  'vec4<f32>': { stored: 'vec4<f16>', load: 'vec4<f32>', store: 'vec4<f16>' },
  u32: { stored: 'f16', load: '', store: '' },
};

/** The place behind the bracket or comment that begins at `from`, or behind one character of anything else. */
function behind(text: string, from: number): number {
  if (text.startsWith('//', from)) {
    const end = text.indexOf('\n', from);
    return end < 0 ? text.length : end;
  }
  if (!'([{'.includes(text[from]!)) return from + 1;
  let at = from + 1;
  while (at < text.length && !')]}'.includes(text[at]!)) at = behind(text, at);
  return at + 1;
}

/** The place of the semicolon that ends the statement in which `from` lies. */
function endOfStatement(text: string, from: number): number {
  let at = from;
  while (at < text.length && text[at] !== ';') at = behind(text, at);
  return at;
}

/**
 * Converts at each access to the array `name`: `name[i]` to `load(name[i])`, and `name[i] = v;` to `name[i] =
 * store(v);`.
 */
function convertAccesses(
  text: string,
  name: string,
  { load, store }: { readonly load: string; readonly store: string },
): string {
  const access = new RegExp(`\\b${name}\\[|//`, 'g');
  const write = (part: string): string => {
    let out = '';
    let done = 0;
    access.lastIndex = 0;
    for (let found = access.exec(part); found !== null; found = access.exec(part)) {
      const start = found.index;
      if (found[0] === '//') {
        access.lastIndex = behind(part, start);
        continue;
      }
      const open = start + name.length;
      const close = behind(part, open);
      const element = `${name}[${write(part.slice(open + 1, close - 1))}]`;
      const assignment = /^\s*([-+*/%&|^]|<<|>>)?=(?!=)/.exec(part.slice(close));
      if (assignment?.[1] !== undefined)
        throw new LinbpError('internal', `a shader changes ${name} in place`, { field: name });
      out += part.slice(done, start);
      if (assignment === null) {
        out += load === '' ? element : `${load}(${element})`;
        done = close;
      } else {
        const from = close + assignment[0].length;
        const end = endOfStatement(part, from);
        const value = write(part.slice(from, end)).trim();
        out += `${element} = ${store === '' ? value : `${store}(${value})`}`;
        done = end;
      }
      access.lastIndex = done;
    }
    return out + part.slice(done);
  };
  return write(text);
}

/** The type that a name stands for. */
const named = (text: string, type: string): string =>
  new RegExp(`^alias ${type} = (\\S+);`, 'm').exec(text)?.[1] ?? type;

/**
 * The text of a shader whose storage arrays `names` hold 16-bit floats: their declarations change, and every access
 * converts, so that all arithmetic stays as it was written, in f32. Kernels are written once, for f32, and know
 * nothing of it.
 */
export function halfOperands(text: string, names: readonly string[]): string {
  if (names.length === 0) return text;
  let out = text;
  for (const name of new Set(names)) {
    const declaration = new RegExp(`(\\bvar<storage, \\w+> ${name}: array<)(\\w+(?:<\\w+>)?)(>;)`);
    const found = declaration.exec(out);
    const storage = found === null ? undefined : storages[named(out, found[2]!)];
    if (found === null || storage === undefined)
      throw new LinbpError('internal', `no array "${name}" that can hold f16`, { field: name });
    const [whole, before, , after] = found as unknown as [string, string, string, string];
    const rest = out.slice(found.index + whole.length);
    const first = convertAccesses(out.slice(0, found.index), name, storage);
    out = `${first}${before}${storage.stored}${after}${convertAccesses(rest, name, storage)}`;
  }
  return /^enable f16;/m.test(out) ? out : `enable f16;\n${out}`;
}
