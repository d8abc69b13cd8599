import { hideLimitWarnings } from '../runtime/quiet.js';
import { runCommandLine } from './runner.js';

hideLimitWarnings();

const interrupt = new AbortController();
process.on('SIGINT', () => {
  // The second one does not wait for anything.
  if (interrupt.signal.aborted) process.exit(130);
  interrupt.abort();
});
// A closed pipe, as in `linbp positions | head`, is no fault.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
});

process.exitCode = await runCommandLine(process.argv.slice(2), interrupt.signal);
