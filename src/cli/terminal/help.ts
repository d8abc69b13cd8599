import { describeOptions } from '../options.js';
import type { OptionTable } from '../options.js';
import type { Verb } from '../verb.js';
import { wrapLines } from './screen.js';
import type { Screen } from './screen.js';

/**
 * Help is never wider, since lines of more letters are hard to read, and in pipes never wider than a usual terminal.
 */
const usualWidth = 80;

const widthOf = ({ width }: Screen): number => Math.min(width, usualWidth);

/** Lines of `linbp --help`. */
export function overview(verbs: readonly Pick<Verb, 'name' | 'summary'>[], screen: Screen): string[] {
  const { colors } = screen;
  const longest = Math.max(...verbs.map(({ name }) => name.length));
  const lines = [
    'linbp VERB [options]: trains ReLU networks and attacks them on the GPU, with a switchable backward rule.',
    '',
    colors.bold('Verbs'),
    ...verbs.map(({ name, summary }) => `  ${colors.cyan(name.padEnd(longest))}  ${summary}`),
    '',
    colors.bold('Start here'),
    `  ${colors.dim('$')} linbp demo`,
    `  ${colors.dim('$')} linbp train --model lenet5 --limit 1000 --out runs/bp`,
    '',
    '"linbp VERB --help" shows examples and options of a verb.',
  ];
  return lines.map((line) => wrapLines(line, widthOf(screen)));
}

/** Lines of a verb's `--help`: what it does, examples, options, notes. */
export function helpOf(verb: Verb, shared: OptionTable, screen: Screen): string[] {
  const { colors } = screen;
  const width = widthOf(screen);
  const lines = [
    `${colors.bold(`linbp ${verb.name}`)} ${verb.summary}`,
    '',
    colors.bold('Examples'),
    ...verb.examples.map((example) => exampleLines(example, width, colors.dim('$'))),
    '',
    colors.bold('Options'),
    ...describeOptions({ ...verb.options, ...shared }),
    ...(verb.notes ?? []),
  ];
  return lines.map((line) => wrapLines(line, width));
}

/** A command as it can be copied: broken between options, with a backslash. */
function exampleLines(example: string, width: number, prompt: string): string {
  const words = example.split(/ (?=--)/);
  const lines = [''];
  for (const word of words) {
    const last = lines.at(-1)!;
    // Four columns before the command, two for the backslash after it.
    if (last !== '' && last.length + 1 + word.length > width - 6) lines.push(`  ${word}`);
    else lines[lines.length - 1] = last === '' ? word : `${last} ${word}`;
  }
  return lines.map((line, i) => `${i === 0 ? `  ${prompt} ` : '    '}${line}`).join(' \\\n');
}
