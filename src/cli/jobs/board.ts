import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { check } from '../../errors.js';
import type { BullQueue } from '../../jobs/bullQueue.js';
import { optionalPackage } from '../../jobs/redis.js';

/** A page that is served until it is closed. */
export interface Board {
  readonly url: string;
  close(): Promise<void>;
}

/** Requests by another host name than loopback come from a page that has no business here (DNS rebinding). */
const isLoopback = (host: string | undefined): boolean => /^(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/.test(host ?? '');

/**
 * Serves bull-board, which shows and changes the states of a queue, to this machine only.
 *
 * @param port 0 for any free one
 * @throws LinbpError `missing-package`; `bad-argument` for a port that is taken
 */
export async function serveBoard(queue: BullQueue, port: number): Promise<Board> {
  const api = await optionalPackage('@bull-board/api', () => import('@bull-board/api'));
  const { BullMQAdapter } = await optionalPackage('@bull-board/api', () => import('@bull-board/api/bullMQAdapter'));
  const { ExpressAdapter } = await optionalPackage('@bull-board/express', () => import('@bull-board/express'));
  const adapter = new ExpressAdapter();
  api.createBullBoard({ queues: [new BullMQAdapter(queue.bull)], serverAdapter: adapter });
  const { createServer } = await import('node:http');
  const router = adapter.getRouter() as (request: unknown, response: unknown) => void;
  const server: Server = createServer((request, response) => {
    if (isLoopback(request.headers.host)) return router(request, response);
    response.writeHead(403);
    response.end();
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  }).catch((error: NodeJS.ErrnoException) =>
    check(false, 'bad-argument', `port ${port} cannot be used: ${error.code ?? error.message}`, 'port'),
  );
  const { port: taken } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${taken}/`,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}
