import { expectDevice } from '../arguments.js';
import { Graph } from '../graph/graph.js';
import { elementCount } from '../graph/types.js';
import { Program } from '../program/program.js';
import type { Device } from '../runtime/device.js';
import { BufferUsage } from '../runtime/flags.js';
import { TimestampRun, wallClockTimeline } from './timestamps.js';

/** The most that a device was seen to do: what kernels are compared with. */
export interface Ceilings {
  /** Bytes read plus bytes written per second by copies between buffers, in 10^9 a second. */
  readonly copyGbps: number;
  /** Bytes of the copied buffer. */
  readonly copyBytes: number;
  /** Best rate of linbp's own matrix product, in 10^9 floating-point operations a second. */
  readonly matmulGflops: number;
  /** Shape and form of that product. */
  readonly matmul: string;
}

const measured = new WeakMap<Device, Promise<Ceilings>>();

/**
 * Measures the device's peaks, once per device: a few seconds on software adapters, less on GPUs. Throws `bad-argument`
 * where `device` is no device.
 */
export async function measureCeilings(device: Device): Promise<Ceilings> {
  expectDevice(device, 'peaks are of devices; the reference has none');
  let ceilings = measured.get(device);
  if (ceilings === undefined) {
    ceilings = measure(device);
    measured.set(device, ceilings);
    // A failed measurement, for instance on a device that was destroyed meanwhile, is not remembered.
    ceilings.catch(() => measured.delete(device));
  }
  return ceilings;
}

async function measure(device: Device): Promise<Ceilings> {
  return { ...(await copyBandwidth(device)), ...(await bestMatmul(device)) };
}

/** Copies between buffers, measured again at each call. */
export async function copyBandwidth(device: Device): Promise<Pick<Ceilings, 'copyGbps' | 'copyBytes'>> {
  const wanted = device.adapterInfo.software ? 32 * 2 ** 20 : 256 * 2 ** 20;
  const size = Math.min(wanted, Math.floor(device.limits.maxBufferSize / 256) * 256);
  const usage = BufferUsage.COPY_SRC | BufferUsage.COPY_DST;
  const [from, to] = [device.createBuffer({ size, usage }), device.createBuffer({ size, usage })];
  try {
    const seconds = async (copies: number): Promise<number> => {
      const encoder = device.gpu.createCommandEncoder({ label: 'copy bandwidth' });
      for (let i = 0; i < copies; i++) encoder.copyBufferToBuffer(from, 0, to, 0, size);
      const commands = encoder.finish();
      const started = performance.now();
      device.submit([commands]);
      await device.idle();
      return (performance.now() - started) / 1000;
    };
    await seconds(1); // first touch of the memory
    const more = 9;
    const times: [one: number, many: number][] = [];
    for (let i = 0; i < 3; i++) times.push([await seconds(1), await seconds(more)]);
    // The difference of two submits leaves out what a submit itself costs.
    const [one, many] = [Math.min(...times.map(([time]) => time)), Math.min(...times.map(([, time]) => time))];
    const each = many > one ? (many - one) / (more - 1) : many / more;
    return { copyGbps: (2 * size) / each / 1e9, copyBytes: size };
  } finally {
    from.destroy();
    to.destroy();
  }
}

async function bestMatmul(device: Device): Promise<Pick<Ceilings, 'matmulGflops' | 'matmul'>> {
  // What is best depends on caches, so several sizes and forms compete; all are long enough not to measure the
  // dispatch itself.
  const forms = [
    [false, false],
    [true, false],
    [false, true],
  ] as const;
  const problems = (device.adapterInfo.software ? [192, 384, 512] : [1024, 2048, 4096]).flatMap((size) =>
    forms.map((form) => [size, ...form] as const),
  );
  let best = { matmulGflops: 0, matmul: '' };
  for (const [size, transposeA, transposeB] of problems) {
    const graph = new Graph();
    const [a, b] = [graph.input('a', [size, size]), graph.input('b', [size, size])];
    graph.output('c', graph.one('matmul', [a, b], { transposeA, transposeB }));
    using program = await Program.compile(graph, { device });
    // Any ordinary numbers will do: neither zeros nor denormals, which some devices treat differently.
    const values = Float32Array.from({ length: elementCount(a.shape) }, (_, index) => ((index % 251) + 1) / 251 - 0.5);
    program.write(a, values);
    program.write(b, values);
    const work = program.dispatches.map((dispatch) => ({ dispatch, row: 0 }));
    const flops = program.dispatches.reduce((sum, { source }) => sum + source.flops, 0);
    const timestamps = device.features.has('timestamp-query') ? new TimestampRun(program, work) : undefined;
    try {
      for (let run = 0; run < 7; run++) {
        const timeline = timestamps === undefined ? await wallClockTimeline(program, work) : await timestamps.run();
        const gflops = flops / Math.max(timeline.end.at(-1)!, 1);
        if (run > 0 && gflops > best.matmulGflops) {
          best = {
            matmulGflops: gflops,
            matmul: `${size} x ${size} x ${size}, ${transposeA ? 'A^T B' : transposeB ? 'A B^T' : 'A B'}`,
          };
        }
      }
    } finally {
      timestamps?.destroy();
    }
  }
  return best;
}
