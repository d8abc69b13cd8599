import { check, LinbpError } from '../errors.js';
import { ensureWritableFile, writeFileAtomic } from '../io/atomic.js';
import { takeLock } from '../io/lock.js';
import { terminalText } from '../quote.js';
import { systemReason } from '../io/read.js';
import { packageVersion } from '../version.js';
import { describeOptions, kebab, parseOptions, text } from './options.js';
import type { OptionTable } from './options.js';
import { Progress } from './progress.js';
import { didYouMean } from './suggest.js';
import type { Verb, VerbContext } from './verb.js';
import { loadVerb, verbNames } from './verbs.js';

const jsonOption = { json: text({ help: 'also write the result there, for programs', placeholder: 'FILE' }) } as const;

/** Exit code after Ctrl-C, as shells expect it, and after the other signals that ask for an end. */
export const interruptedCode = 130;

const print = (line: string): void => void process.stdout.write(`${terminalText(line, Infinity)}\n`);

async function helpOfAll(): Promise<void> {
  print('linbp <verb> [options]: trains ReLU networks and attacks them on the GPU, with a switchable backward rule');
  print('');
  for (const name of verbNames) print(`  ${name.padEnd(10)} ${(await loadVerb(name)).summary}`);
  print('');
  print('"linbp <verb> --help" lists the options of a verb.');
}

function helpOf(verb: Verb): void {
  print(`linbp ${verb.name}: ${verb.summary}`);
  print('');
  for (const line of describeOptions({ ...verb.options, ...jsonOption })) print(line);
  for (const line of verb.notes ?? []) print(line);
}

/** Options as `settings` shows them: what was not given and has no default is null. */
function shownSettings(values: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(values)
      .filter(([name]) => name !== 'json')
      .map(([name, value]) => [name, value ?? null]),
  );
}

/** Writes `attack --steps 5` as `--subject=attack --steps 5`, where the verb has a subject. */
function nameSubject(verb: Verb, args: readonly string[]): readonly string[] {
  const [first, ...rest] = args;
  if (verb.subject === undefined || first === undefined || first.startsWith('-')) return args;
  return [`--${kebab(verb.subject)}=${first}`, ...rest];
}

async function runVerb(verb: Verb, args: readonly string[], signal: AbortSignal, progress: Progress): Promise<number> {
  const started = performance.now();
  const values = parseOptions(nameSubject(verb, args), { ...(verb.options as OptionTable), ...jsonOption });
  const { device, adapter } = values as { readonly device?: unknown; readonly adapter?: unknown };
  check(
    device !== 'reference' || adapter === undefined,
    'bad-argument',
    '--adapter chooses a GPU; --device reference computes without one',
    'adapter',
  );
  // Where the result cannot be written, this is the time to say so and not after an hour.
  if (values.json !== undefined) ensureWritableFile(values.json);
  const locks: (() => void)[] = [];
  const lock: VerbContext['lock'] = (path, what) => void locks.push(takeLock(path, what));
  const result = await verb
    .run(values, { signal, progress, print, lock })
    .finally(() => locks.forEach((release) => release()));
  progress.clear();
  if (typeof result === 'number') return result;
  if (values.json !== undefined) {
    const document = {
      command: verb.name,
      version: packageVersion(),
      adapter: result.adapter,
      settings: {
        ...shownSettings(values),
        ...result.settings,
        node: process.version,
        platform: process.platform,
        arch: process.arch,
      },
      seconds: (performance.now() - started) / 1000,
      ...(result.interrupted === true && { interrupted: true }),
      ...result.fields,
    };
    writeFileAtomic(values.json, `${JSON.stringify(document, null, 2)}\n`);
  }
  if (result.interrupted !== true) return 0;
  process.stderr.write('interrupted; what was done until then is kept\n');
  return interruptedCode;
}

/** The one line that is printed about an error. */
function describeError(error: unknown): string {
  if (error instanceof LinbpError) return error.message.replace(/\s*\n\s*/g, ' ');
  // What the system refuses is no fault of linbp.
  const { code, syscall, path } = error as NodeJS.ErrnoException;
  if (code !== undefined && syscall !== undefined)
    return terminalText(`${syscall}${path === undefined ? '' : ` ${path}`}: ${systemReason(error)}`).replace(
      /\n/g,
      ' ',
    );
  const message = terminalText(error instanceof Error ? error.message : String(error));
  return `${message.split('\n')[0] ?? ''} (this is a fault of linbp; LINBP_DEBUG=1 shows where)`;
}

/**
 * Runs the command line and returns the exit code: 0, 1 after an error, which is one line on stderr, or 130 after
 * Ctrl-C. The environment's `LINBP_DEBUG=1` adds the stack.
 *
 * @param args what follows `linbp`
 */
export async function runCommandLine(args: readonly string[], signal: AbortSignal): Promise<number> {
  const progress = new Progress();
  try {
    const [name, ...rest] = args;
    if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
      await helpOfAll();
      return 0;
    }
    if (name === '--version' || name === '-v') {
      print(packageVersion());
      return 0;
    }
    if (!verbNames.includes(name)) {
      const hint = didYouMean(name, verbNames);
      throw new LinbpError('unknown-option', `there is no verb "${name}"${hint}; there are ${verbNames.join(', ')}`, {
        field: name,
      });
    }
    const verb = await loadVerb(name);
    if (rest.includes('--help') || rest.includes('-h')) {
      helpOf(verb);
      return 0;
    }
    return await runVerb(verb, rest, signal, progress);
  } catch (error) {
    progress.clear();
    const interrupted = error instanceof LinbpError && error.code === 'aborted';
    process.stderr.write(`error: ${interrupted ? 'interrupted' : describeError(error)}\n`);
    if (process.env['LINBP_DEBUG'] === '1')
      process.stderr.write(`${error instanceof Error ? (error.stack ?? '') : ''}\n`);
    return interrupted ? interruptedCode : 1;
  }
}
