import { check, LinbpError } from '../errors.js';
import { ensureWritableFile } from '../io/atomic.js';
import { takeLock } from '../io/lock.js';
import { terminalText } from '../quote.js';
import { systemReason } from '../io/read.js';
import { packageVersion } from '../version.js';
import { publicValues } from './jobs/options.js';
import { writeResult } from './result.js';
import { expectUsed, jsonOption, kebab, parseOptions } from './options.js';
import type { OptionTable } from './options.js';
import { expectOwnPaths } from './outputs.js';
import { Progress } from './progress.js';
import { unknownName } from '../names.js';
import { helpOf, overview } from './terminal/help.js';
import { screenOf, wrapLines } from './terminal/screen.js';
import type { Verb, VerbContext } from './verb.js';
import { loadVerb, verbNames } from './verbs.js';

/** Exit code after Ctrl-C, as shells expect it, and after the other signals that ask for an end. */
export const interruptedCode = 130;

/** Prints lines for people: on a terminal broken between words. */
function printer(stream: NodeJS.WriteStream): (text: string) => void {
  return (text) => void stream.write(`${wrapLines(terminalText(text, Infinity), screenOf(stream).width)}\n`);
}

const allVerbs = (): Promise<Verb[]> => Promise.all(verbNames.map((name) => loadVerb(name)));

async function helpOfAll(): Promise<void> {
  const verbs = await allVerbs();
  for (const line of overview(verbs, screenOf(process.stdout))) process.stdout.write(`${line}\n`);
}

/** Options as `settings` shows them: what was not given and has no default is null. */
function shownSettings(values: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(publicValues(values))
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

/** The signal for a verb. One that never looks at it has nothing to keep, and ends as programs do. */
function listener(signal: AbortSignal, progress: Progress): { signal(): AbortSignal; stop(): void } {
  const end = (): void => {
    progress.line('error: interrupted');
    process.exit(interruptedCode);
  };
  const stop = (): void => signal.removeEventListener('abort', end);
  signal.addEventListener('abort', end);
  return {
    signal() {
      stop();
      return signal;
    },
    stop,
  };
}

async function runVerb(verb: Verb, args: readonly string[], signal: AbortSignal, progress: Progress): Promise<number> {
  const started = performance.now();
  const table = { ...(verb.options as OptionTable), ...jsonOption };
  const values = parseOptions(nameSubject(verb, args), table);
  expectUsed(values, verb.needs?.(values) ?? {});
  await expectOwnPaths(values, table);
  const { device, adapter } = values as { readonly device?: unknown; readonly adapter?: unknown };
  check(
    device !== 'reference' || adapter === undefined,
    'bad-argument',
    '--adapter chooses a GPU; --device reference computes without one',
    'adapter',
  );
  // Where the result cannot be written, this is the time to say so and not after an hour.
  const piped = values.json === '-';
  if (values.json !== undefined && !piped) await ensureWritableFile(values.json);
  const locks: (() => Promise<void>)[] = [];
  const lock: VerbContext['lock'] = async (path, what) => void locks.push(await takeLock(path, what));
  const stream = piped ? process.stderr : process.stdout;
  const command = [verb.name, ...args];
  const rest = { command, progress, print: printer(stream), lock, verbs: allVerbs, ...screenOf(stream) };
  const heard = listener(signal, progress);
  const context: VerbContext = {
    ...rest,
    get signal() {
      return heard.signal();
    },
  };
  const result = await verb.run(values, context).finally(async () => {
    heard.stop();
    for (const release of locks) await release();
  });
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
    await writeResult(values.json, document);
  }
  if (result.interrupted !== true && result.failure !== undefined) throw result.failure;
  if (result.interrupted !== true) return 0;
  progress.line('interrupted; what was done until then is kept');
  return interruptedCode;
}

const internal = (message: string): string =>
  `${message} (this is an internal error in linbp; LINBP_DEBUG=1 shows where)`;

/** The one line that is printed about an error. Exported for tests. */
export function describeError(error: unknown): string {
  if (error instanceof LinbpError) {
    const message = error.message.replace(/\s*\n\s*/g, ' ');
    return error.code === 'internal' ? internal(message) : message;
  }
  // What the system refuses is no fault of linbp.
  const { code, syscall, path } = error as NodeJS.ErrnoException;
  if (code !== undefined && syscall !== undefined)
    return terminalText(`${syscall}${path === undefined ? '' : ` ${path}`}: ${systemReason(error)}`).replace(
      /\n/g,
      ' ',
    );
  const message = terminalText(error instanceof Error ? error.message : String(error));
  return internal(message.split('\n')[0] ?? '');
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
      process.stdout.write(`${packageVersion()}\n`);
      return 0;
    }
    if (!verbNames.includes(name)) {
      const message = unknownName('verb', name, { names: verbNames, command: 'linbp --help' });
      throw new LinbpError('unknown-option', message, { field: name });
    }
    const verb = await loadVerb(name);
    if (rest.includes('--help') || rest.includes('-h')) {
      for (const line of helpOf(verb, jsonOption, screenOf(process.stdout))) process.stdout.write(`${line}\n`);
      return 0;
    }
    return await runVerb(verb, rest, signal, progress);
  } catch (error) {
    progress.clear();
    const interrupted = error instanceof LinbpError && error.code === 'aborted';
    const { width, colors } = screenOf(process.stderr);
    const message = `${colors.red('error:')} ${interrupted ? 'interrupted' : describeError(error)}`;
    process.stderr.write(`${wrapLines(message, width)}\n`);
    if (process.env['LINBP_DEBUG'] === '1')
      process.stderr.write(`${error instanceof Error ? (error.stack ?? '') : ''}\n`);
    return interrupted ? interruptedCode : 1;
  }
}
