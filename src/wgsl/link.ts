import { readdirSync, readFileSync } from 'node:fs';
import { LinbpError } from '../errors.js';
import { decideBranches } from './branches.js';
import { constantLanes, unrollLanes, unrollLoops } from './unroll.js';

const shaderFolder = new URL('../../../shaders/', import.meta.url);
const files = new Map<string, string>();

// The files above and the native driver are not in a bundle. So bundlers are to fail when they build, not their users
// when they run: this is never executed, but bundlers look for what it names and show it.
if (shaderFolder.protocol === 'bundled:')
  // @ts-expect-error there is no such module
  void import('linbp cannot be bundled - mark it as external');

/** The text of a shader file, by its path inside `shaders/` without the extension. */
export function shaderSource(name: string): string {
  let text = files.get(name);
  if (text === undefined) {
    try {
      text = readFileSync(new URL(`${name}.wgsl`, shaderFolder), 'utf8');
    } catch (cause) {
      throw new LinbpError('internal', `shader ${name}.wgsl is missing from the package`, { field: name, cause });
    }
    files.set(name, text);
  }
  return text;
}

const provided = new Set<string>();

/** Adds a shader text that is no file of the package, under a path as files have. Throws `internal` for one that is. */
export function provideShader(name: string, text: string): void {
  if (files.has(name)) throw new LinbpError('internal', `there is a shader ${name} already`, { field: name });
  files.set(name, text);
  provided.add(name);
}

/** Whether a shader text came from {@link provideShader}. */
export const isProvidedShader = (name: string): boolean => provided.has(name);

/** Names of all shader files in a folder of `shaders/`, in the order of the alphabet. */
export const shaderNames = (folder: string): string[] =>
  readdirSync(new URL(`${folder}/`, shaderFolder))
    .filter((file) => file.endsWith('.wgsl'))
    .map((file) => `${folder}/${file.replace(/\.wgsl$/, '')}`)
    .sort();

/** What the linker replaces in a shader file; see shaders/README.md. */
export interface LinkOptions {
  /** New values of module-scope `const NAME = ...;` declarations. */
  readonly constants?: Readonly<Record<string, number | boolean>>;
  /** New text of `//#region NAME` ... `//#endregion` blocks; an empty string removes a block. */
  readonly regions?: Readonly<Record<string, string>>;
  /** Write out loops of constant length: all, or only those over lanes that share a load; see {@link unrollLoops}. */
  readonly unroll?: 'all' | 'lanes' | undefined;
}

/** How lanes share loads where those that share are a subgroup. */
const wholeSubgroup = 'return subgroupShuffle(value, source);';

function literal(value: number | boolean, old: string): string {
  if (typeof value === 'boolean') return String(value);
  if (/u$/.test(old)) return `${value}u`;
  if (/i$/.test(old)) return `${value}i`;
  return /[.f]/.test(old) && Number.isInteger(value) ? value.toFixed(1) : String(value);
}

/** The text of a shader file with that of all files that it imports. */
function withImports(name: string): string {
  const imported = new Set<string>();
  const resolve = (file: string): string =>
    shaderSource(file).replace(/^\/\/#import "([^"]+)"$/gm, (_line, path: string) => {
      const target = path.replace(/\.wgsl$/, '');
      if (imported.has(target)) return '';
      imported.add(target);
      return resolve(target);
    });
  return resolve(name);
}

/** Declarations that end in `//#given`: their values are for reading the file alone, each kernel gives its own. */
const givenDeclaration = /^const (\w+)[^;]*;[ \t]*\/\/#given\b/gm;

/**
 * Throws `internal` where a kernel gives no value to a constant that needs one: no result would change where the
 * default happens to fit. Under LINBP_CHECK_CONSTANTS=1, which tests set, also where it gives one to a constant that
 * the text uses nowhere. That is a fault of the sources and harms no run.
 */
function checkConstants(name: string, text: string, given: Readonly<Record<string, unknown>>): void {
  for (const [, constant] of text.matchAll(givenDeclaration))
    if (!(constant! in given))
      throw new LinbpError('internal', `shader ${name} is given no ${constant!}`, { field: constant! });
  if (process.env['LINBP_CHECK_CONSTANTS'] !== '1') return;
  const code = text.replace(/\/\/.*$/gm, '');
  for (const constant of Object.keys(given))
    if ((code.match(new RegExp(`\\b${constant}\\b`, 'g')) ?? []).length === 1)
      throw new LinbpError('internal', `shader ${name} does not use the constant ${constant}`, { field: constant });
}

/** Links a shader file as {@link link} does, with the values and regions that stand in it. */
export const linkAlone = (name: string): string => linked(name, withImports(name), {});

/**
 * Links a shader file: resolves `//#import "path"`, sets constants, replaces regions and hoists `enable` and
 * `requires`. Throws `internal` when a constant or region to be replaced does not exist, so a renamed hook cannot
 * pass unnoticed; when a constant marked `//#given` is left out; in tests, when one that is given is used nowhere.
 */
export function link(name: string, options: LinkOptions = {}): string {
  const text = withImports(name);
  checkConstants(name, text, options.constants ?? {});
  return linked(name, text, options);
}

function linked(name: string, whole: string, options: LinkOptions): string {
  let text = whole;
  for (const [region, replacement] of Object.entries(options.regions ?? {})) {
    const pattern = new RegExp(`^[ \\t]*//#region ${region}\\n([\\s\\S]*?)^[ \\t]*//#endregion$`, 'gm');
    if (text.search(pattern) < 0)
      throw new LinbpError('internal', `shader ${name} has no region "${region}"`, { field: region });
    text = text.replace(pattern, () => replacement);
  }
  for (const [constant, value] of Object.entries(options.constants ?? {})) {
    const pattern = new RegExp(`^const ${constant}( *:[^=]*)? = ([^;]+);`, 'm');
    if (!pattern.test(text))
      throw new LinbpError('internal', `shader ${name} has no constant ${constant}`, { field: constant });
    text = text.replace(
      pattern,
      (_match, type: string | undefined, old: string) => `const ${constant}${type ?? ''} = ${literal(value, old)};`,
    );
  }
  text = text
    .replace(/^[ \t]*\/\/#(region|endregion).*$\n?/gm, '')
    .replace(/[ \t]*\/\/#given\b(.*)$/gm, (_mark, words: string) => (words === '' ? '' : ` //${words}`));
  text = decideBranches(text);
  if (options.unroll !== undefined) text = (options.unroll === 'all' ? unrollLoops : unrollLanes)(text);
  if (options.unroll !== undefined && text.includes(wholeSubgroup)) text = constantLanes(text);
  const directives: string[] = [];
  text = text.replace(/^(enable|requires) [^;]+;[ \t]*(\/\/.*)?$\n?/gm, (line) => {
    const directive = line.trim();
    if (!directives.includes(directive)) directives.push(directive);
    return '';
  });
  return directives.length === 0 ? text : `${directives.join('\n')}\n${text}`;
}
