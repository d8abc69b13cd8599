/*
 * Sizes in the text of a shader, as WGSL's rules for constants and for memory layout have them: enough of the
 * language for what the kernels here are written in.
 */

/** Module constants of a shader by name, such as its tile sizes, as they are written. */
export type ShaderConstants = ReadonlyMap<string, string>;

/** Module constants of a shader. */
export function constantsOf(code: string): ShaderConstants {
  return new Map(
    [...code.matchAll(/^const (\w+)(?: *: *\w+)? = ([^;]+);/gm)].map(([, name, value]) => [name!, value!.trim()]),
  );
}

const operations: Readonly<Record<string, (left: number, right: number) => number>> = {
  '+': (left, right) => left + right,
  '-': (left, right) => left - right,
  '*': (left, right) => left * right,
  '/': (left, right) => Math.trunc(left / right),
  '%': (left, right) => left % right,
};

/**
 * The value of a constant expression of whole numbers: literals, module constants, + - * / % and parentheses. NaN for
 * anything else, such as fractions and truth values.
 */
export function wholeNumber(expression: string, constants: ShaderConstants): number {
  const tokens = expression.match(/0x[\da-f]+[iu]?|\d+[iu]?|[A-Za-z_]\w*|\S/gi) ?? [];
  let next = 0;
  const operand = (): number => {
    const token = tokens[next++] ?? '';
    if (token === '-') return -operand();
    if (token === '(') {
      const value = sum();
      return tokens[next++] === ')' ? value : NaN;
    }
    if (/^\d/.test(token)) return Number(token.replace(/[iu]$/i, ''));
    const known = constants.get(token);
    return known === undefined ? NaN : wholeNumber(known, constants);
  };
  const chain = (symbols: string, part: () => number): number => {
    let value = part();
    while (next < tokens.length && symbols.includes(tokens[next]!)) value = operations[tokens[next++]!]!(value, part());
    return value;
  };
  const sum = (): number => chain('+-', () => chain('*/%', operand));
  const value = sum();
  return next === tokens.length ? value : NaN;
}

interface Layout {
  readonly bytes: number;
  readonly align: number;
}

const unknown: Layout = { bytes: NaN, align: NaN };

const scalarBytes: Readonly<Record<string, number>> = { f32: 4, i32: 4, u32: 4, bool: 4, f16: 2 };
const shortScalars: Readonly<Record<string, string>> = { f: 'f32', i: 'i32', u: 'u32', h: 'f16' };
const roundUp = (bytes: number, align: number): number => Math.ceil(bytes / align) * align;

/** Splits `f32, N, M` at the commas that stand in no angle bracket. */
function parts(list: string): string[] {
  const found = [''];
  let depth = 0;
  for (const letter of list) {
    if (letter === '<') depth += 1;
    if (letter === '>') depth -= 1;
    if (letter === ',' && depth === 0) found.push('');
    else found[found.length - 1] += letter;
  }
  return found.map((part) => part.trim()).filter((part) => part !== '');
}

/** A shader's types. */
class ShaderTypes {
  private readonly constants: ShaderConstants;
  private readonly aliases: ReadonlyMap<string, string>;
  private readonly structs: ReadonlyMap<string, string>;

  constructor(code: string) {
    this.constants = constantsOf(code);
    this.aliases = new Map([...code.matchAll(/^alias (\w+) = ([^;]+);/gm)].map(([, name, type]) => [name!, type!]));
    this.structs = new Map(
      [...code.matchAll(/^struct (\w+) *\{([^}]*)\}/gm)].map(([, name, body]) => [
        name!,
        body!.replace(/\/\/.*$/gm, ''),
      ]),
    );
  }

  /** Whether a type is an array, or a matrix that the lanes of a subgroup hold together. */
  isArray(type: string): boolean {
    const known = this.aliases.get(type.trim());
    return known === undefined ? /^(array|subgroup_matrix_\w+)</.test(type.trim()) : this.isArray(known);
  }

  /** Bytes of a type; of a subgroup's matrix, those of one lane. NaN for types that no kernel here uses. */
  bytes(type: string): number {
    return this.layout(type).bytes;
  }

  private layout(written: string): Layout {
    const type = written.trim();
    const [, name, inner = ''] = /^(\w+)(?:<(.*)>)?$/s.exec(type) ?? [];
    const scalar = scalarBytes[name ?? ''];
    if (scalar !== undefined) return { bytes: scalar, align: scalar };
    const known = this.aliases.get(name ?? '');
    if (known !== undefined) return this.layout(known);
    const [element = '', ...sizes] = parts(inner);
    if (name === 'atomic') return this.layout(element);
    if (name === 'array') {
      const { bytes, align } = this.layout(element);
      return { bytes: wholeNumber(sizes[0] ?? '', this.constants) * roundUp(bytes, align), align };
    }
    if (name?.startsWith('subgroup_matrix_') === true) {
      const { bytes, align } = this.layout(element);
      return {
        bytes:
          (bytes * wholeNumber(`(${sizes[0]}) * (${sizes[1]})`, this.constants)) /
          wholeNumber('SUBGROUP', this.constants),
        align,
      };
    }
    const vector = /^vec([234])([fiuh])?$/.exec(name ?? '');
    if (vector !== null) {
      const each = this.layout(shortScalars[vector[2] ?? ''] ?? element).bytes;
      const count = Number(vector[1]);
      return { bytes: count * each, align: (count === 3 ? 4 : count) * each };
    }
    const members = this.structs.get(name ?? '');
    if (members === undefined) return unknown;
    const layouts = parts(members).map((member) => this.layout(member.slice(member.indexOf(':') + 1)));
    const align = Math.max(...layouts.map((layout) => layout.align));
    return {
      bytes: roundUp(
        layouts.reduce((end, layout) => roundUp(end, layout.align) + layout.bytes, 0),
        align,
      ),
      align,
    };
  }
}

/** A variable of a shader and the bytes that it takes; NaN where the text has something that no kernel here uses. */
export interface SizedVariable {
  readonly name: string;
  readonly bytes: number;
}

/** What a shader's text says about the room that it takes. */
export interface ShaderSizes {
  /** Invocations of a workgroup along x, y and z. */
  readonly workgroup: readonly [number, number, number];
  /** Variables in workgroup memory. */
  readonly shared: readonly SizedVariable[];
  /** Arrays that each invocation declares, which is what most limits how many invocations a GPU keeps in flight. */
  readonly arrays: readonly SizedVariable[];
}

/** Reads the sizes from a linked shader. */
export function shaderSizes(code: string): ShaderSizes {
  const constants = constantsOf(code);
  const types = new ShaderTypes(code);
  const sized = (name: string, type: string): SizedVariable => ({ name, bytes: types.bytes(type) });
  const [x = 1, y = 1, z = 1] = parts(/@workgroup_size\(([^)]*)\)/.exec(code)?.[1] ?? '').map((part) =>
    wholeNumber(part, constants),
  );
  const local = [...code.matchAll(/^ +var (\w+)(?: *: *([^;=]+)| *= *(array<.*>)\()/gm)].map(
    ([, name, type, made]) => [name!, type ?? made!] as const,
  );
  return {
    workgroup: [x, y, z],
    shared: [...code.matchAll(/^var<workgroup> (\w+) *: *([^;]+);/gm)].map(([, name, type]) => sized(name!, type!)),
    arrays: local.filter(([, type]) => types.isArray(type)).map(([name, type]) => sized(name, type)),
  };
}
