import { initialState } from '../nn/model.js';
import type { ModelDefinition } from '../nn/definition.js';
import { modelDefinition } from '../nn/zoo/index.js';
import { createWorkload } from '../profile/workloads.js';
import type { Device } from '../runtime/device.js';
import party from './linbpParty.js';
import { fittedExponent, row } from './rows.js';
import type { BenchRow } from './rows.js';
import { makeWorkload } from './workloads.js';
import type { WorkloadRequest } from './workloads.js';

interface Task {
  run(units: number): Promise<unknown>;
  close(): void;
}

/** Milliseconds of a unit, `times` times. */
async function measure(task: Task, times: number): Promise<number[]> {
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

/** A forward pass of a network that no peer knows, with initial weights. */
async function openForward(device: Device, definition: ModelDefinition, batch: number): Promise<Task> {
  const { program, destroy } = await createWorkload('forward', {
    device,
    definition,
    weights: initialState(definition, 1),
    rule: 'bp',
    batch,
  });
  return {
    async run(units) {
      for (let unit = 0; unit < units; unit++) await program.run([{ segment: 'main' }]);
      await device.idle();
    },
    close: destroy,
  };
}

/**
 * Time against batch size, attack steps, depth and side of the image, with the fitted exponent: 1 is proportional,
 * less means that fixed costs matter; the work of a convolution grows with the second power of the side.
 */
export async function measureScaling(
  device: Device,
  times: number,
  onProgress: (text: string) => void,
): Promise<BenchRow[]> {
  const rows: BenchRow[] = [];
  const open = async (request: WorkloadRequest): Promise<Task> => (await party.open(await makeWorkload(request)))!;
  const series = async (
    name: string,
    sizes: readonly number[],
    task: (size: number) => Promise<Task>,
  ): Promise<void> => {
    const points: [number, number][] = [];
    for (const size of sizes) {
      onProgress(`scaling: ${name} ${size}`);
      const milliseconds = await measure(await task(size), times);
      // The least time: other load on the machine only ever adds.
      points.push([size, Math.min(...milliseconds)]);
      rows.push(row(`${name} ${size}`, 'linbp', 'ms', milliseconds));
    }
    rows.push(row(`${name}: fitted exponent of time`, 'linbp', 'power', [fittedExponent(points)]));
  };
  await series('training step lenet5, batch', [8, 16, 32, 64, 128], (batch) =>
    open({ kind: 'training', model: 'lenet5', batch }),
  );
  await series('PGD lenet5, batch 16, steps', [2, 4, 8, 16], (steps) =>
    open({ kind: 'attack', model: 'lenet5', batch: 16, steps }),
  );
  await series('forward resnet, batch 4, layers', [20, 32, 44, 56], (layers) =>
    openForward(device, modelDefinition(`resnet${layers}`), 4),
  );
  await series('forward resnet20, batch 4, side of the image', [16, 32, 64], (side) =>
    openForward(device, { ...modelDefinition('resnet20'), input: [3, side, side] }, 4),
  );
  return rows;
}
