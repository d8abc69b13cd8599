import { directoryStore } from './directoryStore.js';
import type { JobStore } from './store.js';

/**
 * The store that a folder or `s3://BUCKET/PREFIX` names.
 *
 * @throws LinbpError `not-writable`, `unreachable`; `missing-package` where S3 is asked for without its client
 */
export async function openStore(url: string): Promise<JobStore> {
  if (url.startsWith('s3://')) return (await import('./s3Store.js')).s3Store(url);
  return directoryStore(url);
}
