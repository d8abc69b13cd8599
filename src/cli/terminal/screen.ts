import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import pc from 'picocolors';
import stringWidth from 'string-width';
import wrapAnsi from 'wrap-ansi';

/** Where lines are shown: a terminal has a width and colors, a pipe or file has neither. */
export interface Screen {
  /** Columns of a terminal; infinite elsewhere, so that files and pipes get everything. */
  readonly width: number;
  readonly colors: Colors;
}

/** Functions that color text, or leave it as it is. */
export type Colors = ReturnType<typeof pc.createColors>;

/** Streams of pipes and files have neither field. */
type Output = Partial<Pick<NodeJS.WriteStream, 'isTTY' | 'columns'>>;

/** Narrower windows are treated as this wide: below it nothing can be laid out. */
const narrowest = 40;

/** Whether a stream is a terminal that can move its cursor. */
export const isTerminal = (stream: Output): boolean => stream.isTTY === true && process.env['TERM'] !== 'dumb';

/**
 * What a stream can show. Colors need a terminal and no `NO_COLOR` (https://no-color.org); `FORCE_COLOR` turns them on
 * in pipes as well.
 */
export function screenOf(stream: Output, environment = process.env): Screen {
  const forced = !['', '0', undefined].includes(environment['FORCE_COLOR']);
  const colored = (environment['NO_COLOR'] ?? '') === '' && (forced || isTerminal(stream));
  return {
    width: stream.isTTY === true ? Math.max(narrowest, stream.columns || 80) : Infinity,
    colors: pc.createColors(colored),
  };
}

/** Columns that a string takes in a terminal: colors none, East Asian letters two. */
export const textWidth = stringWidth;

/** Blanks below which the rest of a wrapped line goes: as far as its first words, where two blanks set them off. */
function hangingIndent(line: string, width: number): number {
  const aligned = /^\s*(?:\S+ )*?\S+\s{2,}(?=\S)/.exec(line)?.[0].length ?? 0;
  const own = /^\s*/.exec(line)![0].length;
  return aligned > 0 && aligned <= width / 2 ? aligned : Math.min(own, width / 2);
}

/**
 * Breaks the lines of a text between words, so that none is wider. Words that are wider themselves are broken, but a
 * path stays whole: a terminal goes on with it in its next row, and copies it as one.
 */
export function wrapLines(text: string, width: number): string {
  if (width === Infinity) return text;
  const one = (line: string): string => {
    if (textWidth(line) <= width) return line;
    const indent = hangingIndent(line, width);
    const hard = !line.split(/\s+/).some((word) => /[/\\]/.test(word) && textWidth(word) > width - indent);
    // The first line keeps its own blanks, which a wrapper of words would squeeze.
    const [first = '', ...rest] = wrapAnsi(line, width, { trim: false, hard }).split('\n');
    const after = rest.map((each) => each.trim()).join(' ');
    if (after === '') return first.trimEnd();
    const others = wrapAnsi(after, width - indent, { hard }).split('\n');
    return [first.trimEnd(), ...others.map((each) => `${' '.repeat(indent)}${each}`)].join('\n');
  };
  // A percent sign stays with its number.
  const joined = text.replace(/(\d) (?=%)/g, '$1\u00a0');
  return joined.split('\n').map(one).join('\n').replaceAll('\u00a0', ' ');
}

/** Truncates a string to a width, with an ellipsis where something is lost. */
export function cutText(text: string, width: number): string {
  if (textWidth(text) <= width) return text;
  let cut = '';
  for (const letter of text) {
    if (textWidth(`${cut}${letter}`) > width - 1) break;
    cut += letter;
  }
  return `${cut}…`;
}

/** A file as terminals make links of it. */
export const fileLink = (path: string): string => pathToFileURL(resolve(path)).href;
