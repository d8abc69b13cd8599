/**
 * While a promise of Dawn is pending, dawn.node polls through `globalThis.setImmediate` at every turn of the event
 * loop: a whole core, which a software driver on a small machine needs for the kernel itself (measured: 1.5 to 1.9
 * times slower). Real GPUs do not need it, so there nothing is replaced. After a short burst of immediate polls (small
 * round trips stay fast) the remaining polls go through 1 ms timers.
 */

const INSTALLED = Symbol.for('linbp.polling');
const BURST = 200;

interface PollingState {
  spins: number;
  enabled: boolean;
}

type Holder = typeof globalThis & { [INSTALLED]?: PollingState };

/** True unless the environment says `LINBP_NO_THROTTLE=1`. */
export function throttlingWanted(): boolean {
  return process.env['LINBP_NO_THROTTLE'] !== '1';
}

/**
 * Switches the throttle of Dawn's polling on or off for this thread. Only calls that Dawn makes are affected; other
 * users of `setImmediate` see no difference.
 */
export function setThrottle(enabled: boolean): void {
  const holder = globalThis as Holder;
  const present = holder[INSTALLED];
  if (present) {
    present.enabled = enabled;
    return;
  }
  if (!enabled) return;
  const state: PollingState = { spins: 0, enabled };
  Object.defineProperty(holder, INSTALLED, { value: state });
  const real = globalThis.setImmediate;
  const throttled = (callback: (...args: unknown[]) => void, ...args: unknown[]): unknown => {
    if (args.length === 0 && state.enabled && isDawnPoll(callback)) {
      return ++state.spins <= BURST ? real(callback) : setTimeout(callback, 1);
    }
    return real(callback, ...args);
  };
  // The copied properties include the symbol that makes util.promisify(setImmediate) work.
  globalThis.setImmediate = Object.assign(throttled, real) as unknown as typeof setImmediate;
}

/** Gives the next wait a fresh burst of immediate polls; called at each submit and each wait. */
export function resetSpin(): void {
  const state = (globalThis as Holder)[INSTALLED];
  if (state) state.spins = 0;
}

/** Dawn's poll is a nameless native function; bound JavaScript functions are native too but carry a name. */
function isDawnPoll(callback: unknown): boolean {
  return (
    typeof callback === 'function' &&
    callback.name === '' &&
    Function.prototype.toString.call(callback).includes('[native code]')
  );
}
