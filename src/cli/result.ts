import { writeFileAtomic } from '../io/atomic.js';

/** Writes a result for programs: whole, or not at all; `-` is standard output. Throws `not-writable`. */
export async function writeResult(path: string, document: object): Promise<void> {
  const text = `${JSON.stringify(document, null, 2)}\n`;
  if (path === '-') process.stdout.write(text);
  else await writeFileAtomic(path, text);
}
