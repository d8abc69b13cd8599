import { terminalText } from '../quote.js';
import { cutText, isTerminal, screenOf, textWidth, wrapLines } from './terminal/screen.js';

/** Seconds as `42 s`, `3 min 05 s` or `2 h 05 min`. */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return '?';
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  const pad = (value: number): string => String(value).padStart(2, '0');
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${pad(whole % 60)} s`;
  return `${Math.floor(whole / 3600)} h ${pad(Math.floor((whole % 3600) / 60))} min`;
}

/** How much work there is in all, for the rate: `images/s`. */
export interface Amount {
  readonly total: number;
  /** In the plural, such as `images`. */
  readonly unit: string;
}

const widestBar = 24;
const narrowestBar = 8;
const terminalMilliseconds = 100;
const plainMilliseconds = 10_000;
/** Before so much has passed, a rate and a time left would only jump about. */
const settledMilliseconds = 400;
/** From less, done in less, no time left is worked out. */
const trustedShare = 0.05;
const trustedSeconds = 10;

/**
 * A progress line that fits into `width`: what, bar, share, and as many of the figures as there is room for. The bar
 * gives way first, then figures from the back, then the end of the line.
 */
export function progressLine(what: string, share: number, figures: readonly string[], width: number): string {
  const percent = `${Math.floor(100 * share)
    .toString()
    .padStart(3)} %`;
  const rest = (count: number): string => [percent, ...figures.slice(0, count)].join('  ');
  for (let count = figures.length; count >= 0; count--) {
    const bar = Math.min(widestBar, width - textWidth(`${what} [] ${rest(count)}`));
    if (bar < narrowestBar) continue;
    const full = Math.round(bar * share);
    return `${what} [${'#'.repeat(full)}${'.'.repeat(bar - full)}] ${rest(count)}`;
  }
  return cutText(`${what} ${percent}`, width);
}

/**
 * Progress on stderr: one line that is redrawn on a terminal, and a plain line now and then elsewhere.
 */
export class Progress {
  private readonly stream: NodeJS.WriteStream;
  private readonly terminal: boolean;
  private drawn = false;
  private last: number;
  /** What is shown now, when it began, and how much of it was done by then. */
  private task = { what: '', began: 0, share: 0 };

  constructor(stream: NodeJS.WriteStream = process.stderr) {
    this.stream = stream;
    this.terminal = isTerminal(stream);
    // In a log, what is over within seconds needs no line.
    this.last = this.terminal ? -Infinity : performance.now();
  }

  /**
   * Shows that `share` (0..1) of `what` is done, with the time left. Drawn at most ten times a second, and elsewhere
   * every ten seconds.
   *
   * @param details figures, two blanks between them; the time left is added unless they name it
   * @param amount gives the rate as well
   */
  update(what: string, share: number, details = '', amount?: Amount): void {
    const now = performance.now();
    const bounded = Math.min(1, Math.max(0, share));
    if (what !== this.task.what || bounded < this.task.share) this.task = { what, began: now, share: bounded };
    if (now - this.last < (this.terminal ? terminalMilliseconds : plainMilliseconds)) return;
    this.last = now;
    const figures = this.figures(bounded, details, now, amount);
    if (!this.terminal) {
      this.stream.write(
        `${terminalText(what)} ${Math.floor(100 * bounded)} %${figures.map((f) => `  ${f}`).join('')}\n`,
      );
      return;
    }
    const width = screenOf(this.stream).width - 1;
    this.stream.write(`\r\x1b[2K${progressLine(terminalText(what), bounded, figures, width)}`);
    this.drawn = true;
  }

  private figures(share: number, details: string, now: number, amount: Amount | undefined): string[] {
    const figures = details === '' ? [] : terminalText(details).split(/ {2,}/);
    const { began, share: from } = this.task;
    const seconds = (now - began) / 1000;
    const done = share - from;
    if (1000 * seconds < settledMilliseconds || done <= 0) return figures;
    if (amount !== undefined) {
      const rate = (done * amount.total) / seconds;
      figures.push(`${rate.toFixed(rate < 10 ? 1 : 0)} ${amount.unit}/s`);
    }
    // First of all figures, since the last ones go first in a narrow terminal; from one early step nothing follows.
    if (!/ left( {2}|$)/.test(details) && (done >= trustedShare || seconds >= trustedSeconds))
      figures.unshift(`${duration((seconds * (1 - share)) / done)} left`);
    return figures;
  }

  /** Takes the bar away, so that something else can be printed. */
  clear(): void {
    if (this.drawn) this.stream.write('\r\x1b[2K');
    this.drawn = false;
    if (this.terminal) this.last = -Infinity;
  }

  /**
   * Prints a line that stays, such as the figures of an epoch.
   *
   * @param whole not broken between words: for what is to be copied, such as a command
   */
  line(text: string, { whole = false }: { readonly whole?: boolean } = {}): void {
    this.clear();
    const { width, colors } = screenOf(this.stream);
    const noted = terminalText(text).replace(/^(note|warning):/, (word) => colors.yellow(word));
    this.stream.write(`${whole ? noted : wrapLines(noted, width)}\n`);
    // The line says where things stand, so a plain log needs no other one right away.
    if (!this.terminal) this.last = performance.now();
  }
}
