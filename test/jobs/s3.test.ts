import { mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { LinbpError } from '../../src/errors.js';
import { hashOf } from '../../src/jobs/description.js';
import { openStore } from '../../src/jobs/openStore.js';
import { fixedPlan } from '../../src/jobs/plan.js';
import { getBlob, getResult, listResults, putBlob, putResult, settlePlan } from '../../src/jobs/store.js';
import type { JobStore } from '../../src/jobs/store.js';
import { freshBytes, noAdapter, someJob } from './support.js';

/** The server's own interface, which comes without types. */
interface S3Server {
  run(): Promise<{ port: number }>;
  close(): Promise<void>;
}
type S3ServerClass = new (options: object) => S3Server;

describe('the store in S3, by the official client, against s3rver', () => {
  const folder = mkdtempSync(join(tmpdir(), 'linbp-s3-'));
  const names = ['AWS_ENDPOINT_URL_S3', 'AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_REGION'];
  const earlier = names.map((name) => process.env[name]);
  let server: S3Server;
  let store: JobStore;

  before(async () => {
    const Server = createRequire(import.meta.url)('s3rver') as S3ServerClass;
    server = new Server({
      address: '127.0.0.1',
      port: 0,
      silent: true,
      directory: folder,
      configureBuckets: [{ name: 'bucket' }],
    });
    const { port } = await server.run();
    const values = [`http://127.0.0.1:${port}`, 'S3RVER', 'S3RVER', 'us-east-1'];
    names.forEach((name, i) => (process.env[name] = values[i]));
    store = await openStore('s3://bucket/some/prefix');
  });

  after(async () => {
    store?.close();
    await server?.close();
    names.forEach((name, i) => {
      if (earlier[i] === undefined) delete process.env[name];
      else process.env[name] = earlier[i];
    });
    rmSync(folder, { recursive: true, force: true });
  });

  it('blobs by content, records by name, plans by the first', async () => {
    const bytes = freshBytes(100_000);
    const hash = await putBlob(store, bytes);
    expect(hash).to.equal(hashOf(bytes));
    expect(Buffer.from(await getBlob(store, hash)).equals(bytes)).to.equal(true);
    for (const [absent, code] of [[hashOf('other'), 'missing-file']] as const) {
      const error = await getBlob(store, absent).then(
        () => undefined,
        (reason: unknown) => reason as LinbpError,
      );
      expect(error?.code).to.equal(code);
    }
    const about = { adapter: noAdapter, worker: 'w', seconds: 0.5 };
    const job = someJob(0, 3);
    await putResult(store, job, bytes, about);
    expect(await getResult(store, job)).to.deep.equal({ result: hash, ...about });
    expect(await listResults(store, job.task)).to.deep.equal(['0-3']);
    expect((await settlePlan(store, job.task, fixedPlan(3))).shard).to.equal(3);
    expect((await settlePlan(store, job.task, fixedPlan(4))).shard).to.equal(3);
    await store.remove(`results/${job.task}/0-3`);
    expect(await getResult(store, job)).to.equal(undefined);
  });

  it('a bucket that is not there, and a name that is none, are typed errors', async () => {
    const codes: [string, string][] = [
      ['s3://nothing-here/x', 'unreachable'],
      ['s3://UPPER', 'bad-argument'],
      ['s3://bucket/../x y', 'bad-argument'],
    ];
    for (const [url, code] of codes) {
      const error = await openStore(url).then(
        () => undefined,
        (reason: unknown) => reason as LinbpError,
      );
      expect(error, url).to.be.instanceOf(LinbpError);
      expect(error!.code, url).to.equal(code);
    }
  });
}).timeout(60_000);
