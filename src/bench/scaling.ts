import party from './linbpParty.js';
import { fittedExponent, median, row } from './rows.js';
import type { BenchRow } from './rows.js';
import { makeWorkload } from './workloads.js';
import type { WorkloadRequest } from './workloads.js';

/** Milliseconds of a unit, `times` times. */
async function measure(request: WorkloadRequest, times: number): Promise<number[]> {
  const task = (await party.open(makeWorkload(request)))!;
  await task.run(2);
  const measured: number[] = [];
  for (let i = 0; i < times; i++) {
    const begin = performance.now();
    await task.run(3);
    measured.push((performance.now() - begin) / 3);
  }
  task.close();
  return measured;
}

/** Time against batch size and against attack steps, with the fitted exponent: 1 is proportional, less means that fixed costs matter. */
export async function measureScaling(times: number, onProgress: (text: string) => void): Promise<BenchRow[]> {
  const rows: BenchRow[] = [];
  const series = async (name: string, sizes: readonly number[], request: (size: number) => WorkloadRequest): Promise<void> => {
    const points: [number, number][] = [];
    for (const size of sizes) {
      onProgress(`scaling: ${name} ${size}`);
      const milliseconds = await measure(request(size), times);
      points.push([size, median(milliseconds)]);
      rows.push(row(`${name} ${size}`, 'linbp', 'ms', milliseconds));
    }
    rows.push(row(`${name}: fitted exponent of time`, 'linbp', 'exponent', [fittedExponent(points)]));
  };
  await series('training step lenet5, batch', [8, 16, 32, 64, 128], (batch) => ({ kind: 'training', model: 'lenet5', batch }));
  await series('PGD lenet5, batch 16, steps', [2, 4, 8, 16], (steps) => ({ kind: 'attack', model: 'lenet5', batch: 16, steps }));
  return rows;
}
