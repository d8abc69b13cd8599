import { expectDevice } from '../arguments.js';
import { check } from '../errors.js';
import { link } from '../wgsl/link.js';
import type { LinkOptions } from '../wgsl/link.js';
import type { Device } from '../runtime/device.js';
import { Failures } from '../runtime/failures.js';
import { BufferUsage, ShaderStage } from '../runtime/flags.js';

/** A uniform word of a kernel's `Params`, by the place it has in the shader's struct. */
export type ParameterWord = { readonly u32: number } | { readonly f32: number };

export const u32 = (value: number): ParameterWord => ({ u32: value });
export const f32 = (value: number): ParameterWord => ({ f32: value });

/** A compiled kernel of `shaders/theory`: group 0 binding 0 is `Params`, then storage buffers in order. */
export interface TheoryKernel {
  readonly name: string;
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
}

/** One dispatch of a {@link Batch}. */
export interface TheoryDispatch {
  readonly kernel: TheoryKernel;
  readonly buffers: readonly GPUBuffer[];
  readonly parameters: readonly ParameterWord[];
  readonly workgroups: number;
}

/** Rows of the parameter table begin at multiples of this many bytes. */
const ROW_BYTES = 256;
/** A submit ends after this many dispatches, so that a long run never blocks the device for long. */
const DISPATCHES_PER_SUBMIT = 64;

/**
 * Buffers, parameters and dispatches of one computation. The simulations are loops over steps inside one workgroup,
 * not networks, so they are dispatched directly instead of through a graph. Dispose it with {@link Batch.destroy} or
 * `using`.
 */
export class Batch {
  private readonly owned: GPUBuffer[] = [];
  private readonly dispatches: TheoryDispatch[] = [];

  constructor(readonly device: Device) {
    expectDevice(device, 'give the reference to the function itself');
  }

  /** Compiles a kernel; `access` has one entry per storage buffer. */
  async kernel(
    name: string,
    access: readonly ('read' | 'readWrite')[],
    options: LinkOptions = {},
  ): Promise<TheoryKernel> {
    const entries: GPUBindGroupLayoutEntry[] = [
      { binding: 0, visibility: ShaderStage.COMPUTE, buffer: { type: 'uniform' } },
    ];
    for (const [index, kind] of access.entries()) {
      entries.push({
        binding: index + 1,
        visibility: ShaderStage.COMPUTE,
        buffer: { type: kind === 'read' ? 'read-only-storage' : 'storage' },
      });
    }
    const layout = this.device.bindGroupLayout(entries, name);
    const code = link(`theory/${name}`, options);
    const pipeline = await this.device.pipeline({
      code,
      layout: this.device.pipelineLayout([layout], name),
      entryPoint: 'main',
      label: `theory/${name}`,
    });
    return { name, pipeline, layout };
  }

  /**
   * A zeroed storage buffer of `count` 32-bit words, or one that holds `data`.
   *
   * @throws LinbpError `limit-exceeded` above what a kernel may bind
   */
  storage(label: string, content: number | Float32Array): GPUBuffer {
    const bytes = 4 * (typeof content === 'number' ? content : content.length);
    const most = this.device.limits.maxStorageBufferBindingSize;
    check(
      bytes <= most,
      'limit-exceeded',
      `${label} needs ${bytes} bytes; a kernel of this device sees at most ${most}. Take fewer repeats or steps.`,
      label,
    );
    const buffer = this.device.createBuffer({
      size: bytes,
      usage: BufferUsage.STORAGE | BufferUsage.COPY_SRC | BufferUsage.COPY_DST,
      kind: 'state',
      label,
    });
    this.owned.push(buffer);
    if (typeof content !== 'number') this.device.write(buffer, 0, content);
    return buffer;
  }

  add(dispatch: TheoryDispatch): void {
    const most = this.device.limits.maxComputeWorkgroupsPerDimension;
    check(
      dispatch.workgroups <= most,
      'limit-exceeded',
      `${dispatch.kernel.name}: ${dispatch.workgroups} workgroups; the device allows ${most}`,
      'repeats',
    );
    this.dispatches.push(dispatch);
  }

  /**
   * Submits all dispatches added since the last run, in order and without waiting; there is no read-back between them.
   *
   * @param options.onProgress called with the share done after each submit has finished; without it nothing is waited
   * for
   * @throws LinbpError `aborted`, `gpu-error`, `device-lost`
   */
  async run(
    options: {
      readonly signal?: AbortSignal | undefined;
      readonly onProgress?: ((share: number) => void) | undefined;
    } = {},
  ): Promise<void> {
    const dispatches = this.dispatches.splice(0);
    if (dispatches.length === 0) return;
    const { device } = this;
    const table = new ArrayBuffer(ROW_BYTES * dispatches.length);
    const view = new DataView(table);
    dispatches.forEach(({ parameters }, row) =>
      parameters.forEach((word, index) => {
        const at = ROW_BYTES * row + 4 * index;
        if ('u32' in word) view.setUint32(at, word.u32, true);
        else view.setFloat32(at, word.f32, true);
      }),
    );
    const uniform = device.createBuffer({
      size: table.byteLength,
      usage: BufferUsage.UNIFORM | BufferUsage.COPY_DST,
      kind: 'uniform',
      label: 'theory parameters',
    });
    this.owned.push(uniform);
    device.write(uniform, 0, new Uint8Array(table));
    const failures = new Failures();
    for (let begin = 0; begin < dispatches.length; begin += DISPATCHES_PER_SUBMIT) {
      check(options.signal?.aborted !== true, 'aborted', 'the computation was interrupted');
      const chunk = dispatches.slice(begin, begin + DISPATCHES_PER_SUBMIT);
      const encoder = device.gpu.createCommandEncoder({ label: 'theory' });
      const pass = encoder.beginComputePass({ label: 'theory' });
      for (const [index, { kernel, buffers, workgroups }] of chunk.entries()) {
        const entries: GPUBindGroupEntry[] = [
          { binding: 0, resource: { buffer: uniform, offset: ROW_BYTES * (begin + index), size: ROW_BYTES } },
        ];
        buffers.forEach((buffer, slot) => entries.push({ binding: slot + 1, resource: { buffer } }));
        pass.setPipeline(kernel.pipeline);
        const group = { label: kernel.name, layout: kernel.layout, entries };
        pass.setBindGroup(
          0,
          device.scoped(failures, () => device.gpu.createBindGroup(group)),
        );
        pass.dispatchWorkgroups(workgroups);
      }
      pass.end();
      device.submit([encoder.finish()], { dispatches: chunk.length, failures });
      if (options.onProgress !== undefined || options.signal !== undefined) {
        await device.finished();
        options.onProgress?.((begin + chunk.length) / dispatches.length);
      }
    }
    device.expectAlive();
    failures.check();
  }

  /** Reads a buffer of f32 words back. */
  async read(buffer: GPUBuffer): Promise<Float32Array> {
    return new Float32Array(await this.device.read(buffer));
  }

  /** Frees the buffers. */
  destroy(): void {
    for (const buffer of this.owned.splice(0)) buffer.destroy();
  }

  [Symbol.dispose](): void {
    this.destroy();
  }
}
