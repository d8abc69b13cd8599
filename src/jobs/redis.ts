import type { Redis } from 'ioredis';
import { check, LinbpError } from '../errors.js';
import { quoted } from '../quote.js';

/** Milliseconds to wait for a first connection. */
const firstConnection = 10_000;
/** Milliseconds that a queue may stay away before its user is told. */
export const longestAbsence = 15 * 60_000;

/** The queue of BullMQ that all jobs go through. */
export const queueName = 'linbp';

/** A URL without its password, for messages and results. */
export const shownUrl = (url: string): string => url.replace(/^([a-z]+:\/\/)[^@/]*@/i, '$1***@');

/** Loads a package that users of queues install. Throws `missing-package`. */
export async function optionalPackage<T>(name: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (cause) {
    throw new LinbpError('missing-package', `this needs the package ${name}: npm install ${name}`, {
      field: name,
      cause,
    });
  }
}

const reasonOf = (error: unknown): string => {
  const { code, message } = error as NodeJS.ErrnoException;
  return message !== '' && message !== undefined ? message : (code ?? String(error));
};

/**
 * Connects to Redis or Valkey. Later losses of the connection are waited out.
 *
 * @param url `redis://` or, over TLS, `rediss://`, with `USER:PASSWORD@` where the server asks for them
 * @throws LinbpError `bad-argument` for other URLs; `missing-package`; `unreachable` where nobody answers in 10 s or
 *   the password is refused
 */
export async function openRedis(url: string): Promise<Redis> {
  check(
    /^rediss?:\/\/[^/\s]+/.test(url),
    'bad-argument',
    `--queue must be redis://HOST:PORT or rediss://..., got ${quoted(shownUrl(url))}`,
    'queue',
  );
  const { Redis } = await optionalPackage('ioredis', () => import('ioredis'));
  const client = new Redis(url, {
    lazyConnect: true,
    maxRetriesPerRequest: null,
    connectTimeout: firstConnection,
    retryStrategy: (times) => Math.min(100 * times, 2000),
  });
  let last: unknown;
  client.on('error', (error) => (last = error));
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(last ?? new Error('no answer')), firstConnection);
  });
  try {
    await Promise.race([client.connect().then(() => client.ping()), late]);
    return client;
  } catch (cause) {
    client.disconnect();
    const message = `the queue ${shownUrl(url)} cannot be reached: ${reasonOf(last ?? cause)}`;
    throw new LinbpError('unreachable', message, { field: 'queue', cause });
  } finally {
    clearTimeout(timer);
  }
}

/** Waits for an answer of the queue, through a loss of the connection. Throws `unreachable` after 15 minutes. */
export async function answered<T>(shown: string, answer: Promise<T>, milliseconds = longestAbsence): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      const message = `the queue ${shown} did not answer for ${Math.round(milliseconds / 1000)} s`;
      reject(new LinbpError('unreachable', message, { field: 'queue' }));
    }, milliseconds);
  });
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}
