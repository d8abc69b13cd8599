import { expect } from 'chai';
import { link, linkAlone, provideShader, shaderNames, shaderSource } from '../../src/wgsl/link.js';

/*
 * Kernels of products store in two forms, between which UNROLLED chooses: straight-line code with results at constant
 * places for GPUs, and for software adapters loops whose length the compiler does not know, in which results come to
 * the front. Both give the same results on this machine, so that only the text shows which form a shader forgets.
 */

/** A `{`: the loop bound or condition in front of it, and where the block ends. */
interface Block {
  readonly kind: 'for' | 'if' | 'else' | 'other';
  readonly head: string;
  readonly from: number;
  readonly to: number;
}

const withoutComments = (text: string): string => text.replace(/\/\/.*$/gm, (comment) => ' '.repeat(comment.length));

/** The text of a file with all that it imports. */
function whole(text: string, seen = new Set<string>()): string {
  return text.replace(/^\/\/#import "(.+)\.wgsl"$/gm, (_line, name: string) => {
    if (seen.has(name)) return '';
    seen.add(name);
    return whole(shaderSource(name), seen);
  });
}

function blocksOf(text: string): Block[] {
  const [open, blocks]: [{ kind: Block['kind']; head: string; from: number }[], Block[]] = [[], []];
  for (const { index, 0: brace } of text.matchAll(/[{}]/g)) {
    if (brace === '}') {
      const block = open.pop();
      if (block !== undefined) blocks.push({ ...block, to: index });
      continue;
    }
    const [before] = /[^;{}]*(?:;[^;{}]*;[^;{}]*)?$/.exec(text.slice(Math.max(0, index - 300), index))!;
    const loop = /\bfor \([^;]*;([^;]*);[^;]*\)\s*$/.exec(before);
    const [, otherwise, condition] = /(\belse )?\bif \((.*)\)\s*$/s.exec(before) ?? [];
    const plainElse = /\belse\s*$/.test(before);
    const kind = loop
      ? 'for'
      : plainElse || otherwise !== undefined
        ? 'else'
        : condition === undefined
          ? 'other'
          : 'if';
    open.push({ kind, head: loop?.[1] ?? condition ?? '', from: index });
  }
  return blocks;
}

/** The blocks around a place, the innermost first. */
const around = (blocks: readonly Block[], place: number): Block[] =>
  blocks.filter(({ from, to }) => from < place && place < to).sort((a, b) => b.from - a.from);

/** A bound with the values of the names that `let` declares. */
function resolved(bound: string, text: string): string {
  const names = new Map([...text.matchAll(/\blet (\w+) = ([^;]+);/g)].map(([, name, value]) => [name!, value!]));
  return bound.replace(/(?<![.\w])\w+\b/g, (word) => (names.has(word) ? `(${names.get(word)!})` : word));
}

/** Whether a place is an operand of `select(.., .., FLAG)`. */
function chosenByFlag(text: string, place: number): boolean {
  let depth = 0;
  for (let i = place; i >= 0 && !';{}'.includes(text[i]!); i--) {
    if (text[i] === ')') depth++;
    if (text[i] !== '(' || depth-- > 0) continue;
    depth = 0;
    let [end, inner] = [i + 1, 1];
    while (inner > 0) inner += { '(': 1, ')': -1 }[text[end++]!] ?? 0;
    if (text.slice(0, i).endsWith('select') && /, [A-Z]+\)$/.test(text.slice(i, end))) return true;
  }
  return false;
}

/** Words of Params that are lengths which the compiler of a software adapter is not to know. */
const hiddenLengths = (name: string): RegExp =>
  name.includes('winograd') ? /\bp\.(tileRows|tileColumns|lines|slots)\b/g : /\bp\.(tileRows|tileColumns|block)\b/g;

/** Whether what is at a place is for software adapters only: the other side of UNROLLED, or a form of their own. */
function onlySoftware(blocks: readonly Block[], text: string, place: number): boolean {
  return around(blocks, place).some(({ kind, head, from }) => {
    if (kind === 'if' && /^(!UNROLLED$|BY_ROWS &&)/.test(head)) return true;
    const chain = blocks.filter(({ to }) => kind === 'else' && /^\}\s*else\b/.test(text.slice(to, from + 1)));
    return chain.some((before) => before.head === 'UNROLLED');
  });
}

/** Places at which a kernel stores results or takes a column of them. */
function storesOf(text: string, all: string): number[] {
  // Of bias gradients an invocation has one value or two.
  const buffers = [...all.matchAll(/var<storage, read_write> (?!biasGradient)(\w+)/g)].map(([, name]) => name!);
  const assigned = new RegExp(`(?<![.\\w])(${['c', ...buffers].join('|')})\\[.*\\] = `, 'g');
  const blocks = blocksOf(all);
  // A function that stores one value is called in the loops of others.
  const functions = [...all.matchAll(/^fn (\w+)\([^)]*\)[^{]*\{/gm)].filter(({ index, 0: head, 1: name }) => {
    const body = blocks.find(({ from }) => from === index + head.length - 1)!;
    const inside = [...all.matchAll(assigned)].filter(({ index: at }) => at > body.from && at < body.to);
    return name !== 'main' && inside.some(({ index: at }) => !around(blocks, at).some(({ kind }) => kind === 'for'));
  });
  const called = new RegExp(
    `(?<!fn )\\b(${['takeColumn', ...functions.map(({ 1: name }) => name)].join('|')})\\(`,
    'g',
  );
  return [...text.matchAll(assigned), ...text.matchAll(called)].map(({ index }) => index);
}

/** What a shader's text forgets of the two forms, in words. */
function faultsOf(name: string, source: string): string[] {
  const [text, all] = [withoutComments(source), withoutComments(whole(source))];
  const blocks = blocksOf(text);
  const line = (place: number): string => `${name}:${text.slice(0, place).split('\n').length}`;
  const chooses = /^const UNROLLED = /m.test(all);
  const forGpus = !name.startsWith('software/');
  const known = [...text.matchAll(hiddenLengths(name))]
    .filter(({ index }) => (forGpus || chooses) && !chosenByFlag(text, index))
    .map(({ index, 0: word }) => `${line(index)}: ${word} hides a length from GPUs, too`);
  const moving = [...text.matchAll(/(\w+|\(\*\w+\))((?:\[\w+\])*)\[t\] = \1\2\[t \+ \w+\]/g)]
    .filter(({ index }) => forGpus && chooses && !onlySoftware(blocks, text, index))
    .map(({ index }) => `${line(index)}: results of GPUs move`);
  const written = storesOf(text, all)
    .map((index) => [index, around(blocks, index).filter(({ kind }) => kind === 'for')] as const)
    .filter(([, loops]) => loops.length > 0 && !loops.some(({ head }) => resolved(head, text).includes('p.')))
    .map(([index]) => `${line(index)}: the compiler of a software adapter knows all lengths of these stores`);
  return [...known, ...moving, ...written];
}

describe('constants that kernels give their shaders', () => {
  before(() => {
    const text =
      'const ROWS = 16u; //#given rows of a tile\nconst IDLE = 1u; // IDLE\nfn f() -> u32 { return ROWS; }\n';
    provideShader('test/given', text);
  });

  it('are given by each where the file says so, and used where they are given', () => {
    expect(link('test/given', { constants: { ROWS: 8 } })).to.match(/^const ROWS = 8u; \/\/ rows of a tile\n/);
    expect(linkAlone('test/given')).to.match(/^const ROWS = 16u; \/\/ rows of a tile\n/);
    for (const options of [{}, { constants: {} }])
      expect(() => link('test/given', options)).to.throw('shader test/given is given no ROWS');
    const unused = (): string => link('test/given', { constants: { ROWS: 8, IDLE: 2 } });
    expect(unused).to.throw('shader test/given does not use the constant IDLE');
  });

  it('the rows of a tile and the form of its stores are among them, in every file', () => {
    const declared = ['gemm', 'software'].flatMap(shaderNames).flatMap((name) => {
      const lines = shaderSource(name).match(/^const (RM|UNROLLED) = .*$/gm) ?? [];
      return lines.map((line) => `${name} ${line}`);
    });
    expect(declared.length).to.be.at.least(10);
    expect(declared.filter((line) => !line.includes('; //#given'))).to.deep.equal([]);
  });
});

describe('the two forms in which kernels of products store', () => {
  const names = ['gemm', 'software'].flatMap(shaderNames);

  it('every shader has both', () => {
    expect(names.flatMap((name) => faultsOf(name, shaderSource(name)))).to.deep.equal([]);
  });

  it('the test sees a shader that forgets one', () => {
    const changed = (name: string, find: string, put: string): string => {
      expect(shaderSource(name).split(find), `${name}: ${find}`).to.have.length(2);
      return faultsOf(
        name,
        shaderSource(name).replace(find, () => put),
      ).join();
    };
    expect(changed('gemm/tileColumn', 'select(p.tileRows, RM, UNROLLED)', 'p.tileRows')).to.match(/hides a length/);
    expect(changed('gemm/tileColumn', 'select(p.tileRows, RM, UNROLLED)', 'RM')).to.match(/knows all lengths/);
    expect(changed('gemm/depthwise', 'select(p.block, TM, UNROLLED)', 'TM')).to.match(/knows all lengths/);
    expect(changed('gemm/convTiled', 'select(p.tileColumns, RN, UNROLLED)', 'RN')).to.match(/knows all lengths/);
    const branch = '    if (UNROLLED) {\n      value = line[i];\n    } else {\n';
    expect(changed('gemm/tileColumn', branch, '    {\n')).to.match(/results of GPUs move/);
    const other = '        if (UNROLLED) {\n          value = line[i];\n        } else {\n';
    expect(changed('gemm/weightGradient', other, '        {\n')).to.match(/results of GPUs move/);
  });
});
