/** A word of a command line, as a shell reads it. */
const shellWord = (word: string): string =>
  /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;

/** The command that goes on with an interrupted run, whose output is `out`, as a shell reads it. */
export function commandGoingOn(command: readonly string[], out: string): string {
  const given = (name: string): boolean => command.some((word) => word === name || word.startsWith(`${name}=`));
  const more = [...(given('--out') ? [] : ['--out', out]), ...(given('--resume') ? [] : ['--resume'])];
  return ['linbp', ...command, ...more].map(shellWord).join(' ');
}
