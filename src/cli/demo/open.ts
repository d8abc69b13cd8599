import { spawn } from 'node:child_process';
import { resolve } from 'node:path';

/** The command that opens a file where there is a desktop; undefined where there is none, or nobody is watching. */
export function opener(
  platform: NodeJS.Platform,
  environment: Readonly<Record<string, string | undefined>>,
  terminal: boolean,
): readonly [command: string, ...args: string[]] | undefined {
  if (!terminal || (environment['CI'] ?? '') !== '' || (environment['SSH_CONNECTION'] ?? '') !== '') return undefined;
  if (platform === 'darwin') return ['open'];
  if (platform === 'win32') return ['cmd', '/c', 'start', '""'];
  const desktop = environment['DISPLAY'] ?? environment['WAYLAND_DISPLAY'] ?? '';
  return desktop === '' ? undefined : ['xdg-open'];
}

/** Opens a report in the browser where there is a desktop. That it cannot be opened is no error. */
export function openReport(path: string): void {
  const found = opener(process.platform, process.env, process.stdout.isTTY);
  if (found === undefined) return;
  const [command, ...args] = found;
  const child = spawn(command, [...args, resolve(path)], { detached: true, stdio: 'ignore' });
  child.on('error', () => {});
  child.unref();
}
