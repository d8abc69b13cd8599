import type { Context, Runnable } from 'mocha';

/**
 * Ends a test as pending, or in a hook before a suite all of its tests, with what they need in the title: a run then
 * says why it compared nothing.
 */
export function pending(context: Context, what: string): never {
  const test: Runnable & { readonly type?: string } = context.test!;
  const mark = (each: { title: string }): void => {
    each.title += ` (needs ${what})`;
  };
  if (test.type === 'hook') test.parent!.eachTest(mark);
  else mark(test);
  return context.skip();
}
