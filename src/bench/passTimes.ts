import type { Device } from '../runtime/device.js';
import { BufferUsage } from '../runtime/flags.js';

/** Records the commands of a compute pass. */
export type RecordPass = (pass: GPUComputePassEncoder) => void;

/** A pass with something in it, submitted and waited for: milliseconds by the wall clock. */
async function wallClock(device: Device, record: RecordPass): Promise<number> {
  const began = performance.now();
  const encoder = device.gpu.createCommandEncoder();
  const pass = encoder.beginComputePass();
  record(pass);
  pass.end();
  device.submit([encoder.finish()]);
  await device.idle();
  return performance.now() - began;
}

/** The same without timestamps: what an empty pass takes is taken off. Coarse, and never negative. */
async function byWallClock(device: Device, record: RecordPass, times: number): Promise<number[]> {
  let empty = Infinity;
  for (let i = 0; i < 5; i++) empty = Math.min(empty, await wallClock(device, () => undefined));
  const measured: number[] = [];
  for (let run = 0; run <= times; run++) measured.push(Math.max(0, 1000 * ((await wallClock(device, record)) - empty)));
  return measured.slice(1);
}

async function byTimestamps(device: Device, record: RecordPass, times: number): Promise<number[]> {
  const querySet = device.gpu.createQuerySet({ type: 'timestamp', count: 2 });
  const resolved = device.createBuffer({
    size: 16,
    usage: BufferUsage.QUERY_RESOLVE | BufferUsage.COPY_SRC,
    kind: 'query',
  });
  const measured: number[] = [];
  try {
    for (let run = 0; run <= times; run++) {
      const encoder = device.gpu.createCommandEncoder();
      const pass = encoder.beginComputePass({
        timestampWrites: { querySet, beginningOfPassWriteIndex: 0, endOfPassWriteIndex: 1 },
      });
      record(pass);
      pass.end();
      encoder.resolveQuerySet(querySet, 0, 2, resolved, 0);
      device.submit([encoder.finish()], { hold: [querySet] });
      const [begin, end] = new BigUint64Array(await device.read(resolved));
      measured.push(Number(BigInt.asIntN(64, end! - begin!)) / 1000);
    }
  } finally {
    querySet.destroy();
    resolved.destroy();
  }
  return measured.slice(1);
}

/**
 * Microseconds that the device spends in a compute pass, `times` times after one run that is not counted: by its
 * timestamps, which leave out what a submit costs, or where it has none by the wall clock.
 */
export const passMicroseconds = (device: Device, record: RecordPass, times: number): Promise<number[]> =>
  (device.features.has('timestamp-query') ? byTimestamps : byWallClock)(device, record, times);
