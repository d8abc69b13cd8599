import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Why there is no Redis on this machine; undefined where there is one. */
export function missingRedis() {
  const { status } = spawnSync('redis-server', ['--version'], { stdio: 'ignore' });
  return status === 0 ? undefined : 'there is no redis-server here (Debian: apt-get install redis-server)';
}

/** A TCP port that nobody uses now. */
export function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

/** A Redis of its own on a free port of 127.0.0.1 with its own folder, which keeps what it is told (AOF). */
export class RedisServer {
  static async start(options = []) {
    const server = new RedisServer();
    server.port = await freePort();
    server.folder = mkdtempSync(join(tmpdir(), 'linbp-redis-'));
    server.options = options;
    await server.up();
    return server;
  }

  get url() {
    return `redis://127.0.0.1:${this.port}`;
  }

  /** Starts the server, again after {@link down}; resolves when it takes connections. */
  async up() {
    const args = ['--port', this.port, '--bind', '127.0.0.1', '--dir', this.folder, '--save', ''];
    args.push('--appendonly', 'yes', '--appendfsync', 'always', ...this.options);
    this.process = spawn('redis-server', args.map(String), { stdio: ['ignore', 'pipe', 'ignore'] });
    await new Promise((resolve, reject) => {
      this.process.once('exit', (code) => reject(new Error(`redis-server ended with ${code}`)));
      this.process.stdout.on('data', (text) => {
        if (String(text).includes('Ready to accept connections')) resolve();
      });
    });
  }

  /** Ends the server, by default as a power cut does. */
  async down(signal = 'SIGKILL') {
    const gone = new Promise((resolve) => this.process.once('exit', resolve));
    this.process.kill(signal);
    await gone;
  }

  async close() {
    if (this.process.exitCode === null && this.process.signalCode === null) await this.down();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
