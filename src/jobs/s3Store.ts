import type { S3Client } from '@aws-sdk/client-s3';
import { check, LinbpError } from '../errors.js';
import { quoted } from '../quote.js';
import { optionalPackage } from './redis.js';
import type { JobStore } from './store.js';

const statusOf = (error: unknown): number | undefined =>
  (error as { $metadata?: { httpStatusCode?: number } }).$metadata?.httpStatusCode;

/**
 * A store in S3 or what speaks its protocol, by the official client. Region, end point and credentials are the client's
 * own environment: AWS_REGION, AWS_ENDPOINT_URL_S3, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY.
 *
 * @param url `s3://BUCKET/PREFIX`
 * @throws LinbpError `bad-argument`, `missing-package`, `unreachable`
 */
// eslint-disable-next-line max-lines-per-function -- a closure that returns the store's methods, each short
export async function s3Store(url: string): Promise<JobStore> {
  const [, bucket, prefix = ''] = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,62})(?:\/([\w./-]*))?$/.exec(url) ?? [];
  check(
    bucket !== undefined,
    'bad-argument',
    `--store must be a folder or s3://BUCKET/PREFIX, got ${quoted(url)}`,
    'store',
  );
  const aws = await optionalPackage('@aws-sdk/client-s3', () => import('@aws-sdk/client-s3'));
  const client: S3Client = new aws.S3Client({
    region: process.env['AWS_REGION'] ?? 'us-east-1',
    // End points of one's own have one host name for all buckets, and mostly know no trailing checksums.
    ...(process.env['AWS_ENDPOINT_URL_S3'] !== undefined && { forcePathStyle: true }),
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    maxAttempts: 5,
  });
  let base = prefix;
  while (base.endsWith('/')) base = base.slice(0, -1);
  const keyOf = (name: string): string => (base === '' ? name : `${base}/${name}`);
  const failed = (error: unknown): LinbpError => {
    const message =
      `the store ${url} does not answer: ` + `${error instanceof Error ? error.message || error.name : String(error)}`;
    return new LinbpError('unreachable', message, { field: 'store', cause: error });
  };
  const store: JobStore = {
    shown: url,
    async read(name, maxBytes) {
      try {
        const { Body, ContentLength = 0 } = await client.send(
          new aws.GetObjectCommand({ Bucket: bucket, Key: keyOf(name) }),
        );
        check(
          ContentLength <= maxBytes,
          'limit-exceeded',
          `${name} of ${url} has ${ContentLength} bytes, expected at most ${maxBytes}`,
          'store',
        );
        const bytes = await Body!.transformToByteArray();
        check(bytes.length <= maxBytes, 'limit-exceeded', `${name} of ${url} is too large`, 'store');
        return bytes;
      } catch (error) {
        if (error instanceof LinbpError) throw error;
        if (statusOf(error) === 404) return undefined;
        throw failed(error);
      }
    },
    async write(name, bytes) {
      await client
        .send(new aws.PutObjectCommand({ Bucket: bucket, Key: keyOf(name), Body: bytes }))
        .catch((error: unknown) => {
          throw failed(error);
        });
    },
    async create(name, bytes) {
      // Two submitters at once may both write where a server ignores the condition; the last one counts, and both read
      // it.
      if ((await store.read(name, 2 ** 20)) !== undefined) return false;
      try {
        await client.send(
          new aws.PutObjectCommand({ Bucket: bucket, Key: keyOf(name), Body: bytes, IfNoneMatch: '*' }),
        );
        return true;
      } catch (error) {
        if (statusOf(error) === 412 || statusOf(error) === 409) return false;
        throw failed(error);
      }
    },
    async list(folder) {
      const start = `${keyOf(folder)}/`;
      const names: string[] = [];
      let token: string | undefined;
      do {
        const page = await client
          .send(
            new aws.ListObjectsV2Command({
              Bucket: bucket,
              Prefix: start,
              ...(token !== undefined && { ContinuationToken: token }),
            }),
          )
          .catch((error: unknown) => {
            throw failed(error);
          });
        for (const { Key } of page.Contents ?? []) if (Key !== undefined) names.push(Key.slice(start.length));
        token = page.IsTruncated === true ? page.NextContinuationToken : undefined;
      } while (token !== undefined);
      return names;
    },
    async remove(name) {
      await client.send(new aws.DeleteObjectCommand({ Bucket: bucket, Key: keyOf(name) })).catch((error: unknown) => {
        throw failed(error);
      });
    },
    close: () => client.destroy(),
  };
  // A bucket that is not there, or a wrong key, is said before any work.
  await store.list('plans/probe');
  return store;
}
