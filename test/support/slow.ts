import { pending } from './pending.js';

/** What a test needs and does not find. */
class Lacking extends Error {}

/** Ends a test of {@link slowly} as pending, with what it lacks in its title: it must not pass without a comparison. */
export function lacking(what: string): never {
  throw new Lacking(what);
}

/**
 * A test that takes too long for every run: `true` for those of `npm run test:slow`, `golden` for those of
 * `npm run check:golden`, which compare with reference values in full. LINBP_SLOW=1 runs both kinds, too. It ends after
 * `milliseconds`, of the latter after an hour at least: they take one of two processors each.
 */
export function slowly(
  slow: boolean | 'golden',
  title: string,
  milliseconds: number,
  body: () => void | Promise<void>,
): void {
  const tag = slow === 'golden' ? ' @golden' : slow ? ' @slow' : '';
  it(title + tag, async function () {
    this.timeout(slow === 'golden' ? Math.max(milliseconds, 3_600_000) : milliseconds);
    if (slow !== false && process.env['LINBP_SLOW'] === undefined) return pending(this, 'LINBP_SLOW=1');
    try {
      await body();
    } catch (error) {
      if (!(error instanceof Lacking)) throw error;
      pending(this, error.message);
    }
  });
}
