import { systemReason } from '../io/read.js';
import { hideLimitWarnings } from '../runtime/quiet.js';
import { interruptedCode, runCommandLine } from './runner.js';

hideLimitWarnings();

const interrupt = new AbortController();
// Ctrl-C, a scheduler's request to end, and the end of the terminal: what was done until then is kept in each case.
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(name, () => {
    // The second one does not wait for anything.
    if (interrupt.signal.aborted) process.exit(interruptedCode);
    interrupt.abort();
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
