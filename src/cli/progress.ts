import { terminalText } from '../quote.js';

/** Seconds as `42 s`, `3 min 05 s` or `2 h 05 min`. */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return '?';
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  const pad = (value: number): string => String(value).padStart(2, '0');
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${pad(whole % 60)} s`;
  return `${Math.floor(whole / 3600)} h ${pad(Math.floor((whole % 3600) / 60))} min`;
}

const barWidth = 24;
const terminalMilliseconds = 100;
const plainMilliseconds = 10_000;

/**
 * Progress on stderr: one line that is drawn anew on a terminal, and a plain line now and then elsewhere.
 */
export class Progress {
  private readonly stream: NodeJS.WriteStream;
  private readonly terminal: boolean;
  private drawn = false;
  private last: number;

  constructor(stream: NodeJS.WriteStream = process.stderr) {
    this.stream = stream;
    this.terminal = stream.isTTY === true && process.env['TERM'] !== 'dumb';
    // In a log, what is over within seconds needs no line.
    this.last = this.terminal ? -Infinity : performance.now();
  }

  /** Shows that `share` (0..1) of `what` is done. Drawn at most ten times a second, and elsewhere every ten seconds. */
  update(what: string, share: number, details = ''): void {
    const now = performance.now();
    if (now - this.last < (this.terminal ? terminalMilliseconds : plainMilliseconds)) return;
    this.last = now;
    const bounded = Math.min(1, Math.max(0, share));
    const percent = `${Math.floor(100 * bounded)
      .toString()
      .padStart(3)} %`;
    if (!this.terminal) {
      this.stream.write(`${what} ${percent.trim()}${details === '' ? '' : `  ${details}`}\n`);
      return;
    }
    const full = Math.round(barWidth * bounded);
    const line = `${what} [${'#'.repeat(full)}${'.'.repeat(barWidth - full)}] ${percent}  ${details}`;
    this.stream.write(`\r\x1b[2K${line.slice(0, (this.stream.columns ?? 80) - 1)}`);
    this.drawn = true;
  }

  /** Takes the bar away, so that something else can be printed. */
  clear(): void {
    if (this.drawn) this.stream.write('\r\x1b[2K');
    this.drawn = false;
    if (this.terminal) this.last = -Infinity;
  }

  /** Prints a line that stays, such as the figures of an epoch. */
  line(text: string): void {
    this.clear();
    this.stream.write(`${terminalText(text)}\n`);
    // The line says where things stand, so a plain log needs no other one right away.
    if (!this.terminal) this.last = performance.now();
  }
}
