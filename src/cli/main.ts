import { workIsFinished } from '../io/atExit.js';
import { systemReason } from '../io/read.js';
import { hideLimitWarnings } from '../runtime/quiet.js';
import { interruptedCode, runCommandLine } from './runner.js';

hideLimitWarnings();

const interrupt = new AbortController();
const longestFinish = 5000;
let ending = false;

/** At a second signal: files that belong together and are being written are finished first, for a few seconds. */
function endAtOnce(): void {
  const end = (): never => process.exit(interruptedCode);
  if (ending) end();
  ending = true;
  setTimeout(end, longestFinish);
  void workIsFinished().then(end);
}

// Ctrl-C, a scheduler's request to end, and the end of the terminal: what was done until then is kept in each case.
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(name, () => {
    if (interrupt.signal.aborted) endAtOnce();
    else interrupt.abort();
  });
}
// A closed pipe, as in `linbp positions | head`, is no fault; a full disk is.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') return;
  process.stderr.write(`error: cannot write to standard output: ${systemReason(error)}\n`);
  process.exit(1);
});
// With the terminal gone there is nobody left to tell.
process.stderr.on('error', () => undefined);

process.exitCode = await runCommandLine(process.argv.slice(2), interrupt.signal);
