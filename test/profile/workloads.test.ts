import { expect } from 'chai';
import { initialState } from '../../src/nn/model.js';
import { modelDefinition } from '../../src/nn/zoo/index.js';
import { createWorkload } from '../../src/profile/workloads.js';
import type { WorkloadKind, WorkloadOptions } from '../../src/profile/workloads.js';
import { sharedDevice } from '../support/device.js';

const definition = modelDefinition('mlp');
const weights = initialState(definition, 1);

/** Fused nodes and dispatches of a workload. */
async function sizes(
  kind: WorkloadKind,
  options: Partial<WorkloadOptions>,
): Promise<{ fused: number; dispatches: number }> {
  const workload = await createWorkload(kind, {
    device: await sharedDevice(),
    definition,
    weights,
    rule: 'bp',
    batch: 2,
    ...options,
  });
  try {
    const { dispatches, schedule } = workload.program;
    return {
      fused: schedule.groups.reduce((sum, { followers }) => sum + followers.length, 0),
      dispatches: dispatches.length,
    };
  } finally {
    workload.destroy();
  }
}

describe('workloads', () => {
  for (const kind of ['train', 'attack', 'forward'] as const) {
    it(`${kind}: fuse false fuses nothing, and compiling says how far it is`, async () => {
      const calls: [number, number][] = [];
      const fused = await sizes(kind, { onCompile: (done, total) => void calls.push([done, total]) });
      const unfused = await sizes(kind, { fuse: false });
      expect(fused.fused).to.be.greaterThan(0);
      expect(unfused.fused).to.equal(0);
      expect(unfused.dispatches).to.be.greaterThan(fused.dispatches);
      expect(calls.length).to.be.greaterThan(1);
      const [done, total] = calls.at(-1)!;
      expect(done).to.equal(total);
    });
  }
});
