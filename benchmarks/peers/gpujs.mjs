/** gpu.js as a party of the comparison, webgpu mode: products and elementwise functions; it has no gradients. */
import { createRequire } from 'node:module';

const { GPU } = createRequire(import.meta.url)('gpu.js/dist/gpu-browser.js');
let gpu;

/** Data already on the GPU, as its pipelines keep them: a kernel that passes its input through, unread. */
async function resident(data, output) {
  const copy =
    output.length === 1
      ? function (values) {
          return values[this.thread.x];
        }
      : function (values) {
          return values[this.thread.y][this.thread.x];
        };
  return gpu.createKernel(copy).setOutput(output).setPipeline(true)(data);
}

/** Calls a kernel whose results stay on the GPU, and reads the last one back, which is how its users wait. */
function openRepeated(kernel, inputs) {
  let compared = [];
  return {
    async run(units) {
      let last;
      for (let unit = 0; unit < units; unit++) {
        const next = await kernel(...inputs);
        last?.delete?.();
        last = next;
      }
      compared = (await last.toArray()).slice(0, 256);
      // A product comes back as rows.
      if (compared[0]?.length !== undefined) compared = [...compared[0]].slice(0, 256);
      last.delete?.();
    },
    result: async () => compared,
    close() {
      for (const input of inputs) input.delete?.();
      kernel.destroy();
    },
  };
}

export default {
  async open(work) {
    gpu ??= new GPU({ mode: 'webgpu' });
    if (work.kind === 'matmul') {
      const { size } = work;
      const rows = (data) => Array.from({ length: size }, (_, row) => data.subarray(row * size, (row + 1) * size));
      const kernel = gpu
        .createKernel(function (a, b) {
          let sum = 0;
          for (let i = 0; i < this.constants.size; i++) sum += a[this.thread.y][i] * b[i][this.thread.x];
          return sum;
        })
        .setConstants({ size })
        .setOutput([size, size])
        .setPipeline(true);
      return openRepeated(kernel, [
        await resident(rows(work.a), [size, size]),
        await resident(rows(work.b), [size, size]),
      ]);
    }
    if (work.kind === 'elementwise') {
      const kernel = gpu
        .createKernel(function (x, y) {
          return Math.max(x[this.thread.x] * y[this.thread.x] + x[this.thread.x], 0);
        })
        .setOutput([work.count])
        .setPipeline(true);
      return openRepeated(kernel, [await resident(work.x, [work.count]), await resident(work.y, [work.count])]);
    }
    return undefined;
  },
};
