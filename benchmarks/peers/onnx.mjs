/**
 * ONNX Runtime as a party of the comparison: forward passes, products and elementwise functions. `?backend=webgpu` or
 * `wasm`.
 */
import { elementwiseModel, matmulModel, networkModel } from './onnxModel.mjs';

const backend = new URL(import.meta.url).searchParams.get('backend') ?? 'wasm';
const ort = backend === 'webgpu' ? await import('onnxruntime-web/webgpu') : await import('onnxruntime-web/wasm');
// Its threads keep a process of Node from ending.
ort.env.wasm.numThreads = 1;
ort.env.logLevel = 'error';

/** Runs a model on inputs {name: [data, shape]}; the result stays where it is computed, and the last one is read. */
async function openModel(bytes, inputs) {
  const onDevice = backend === 'webgpu';
  const session = await ort.InferenceSession.create(bytes, {
    executionProviders: [backend],
    ...(onDevice && { preferredOutputLocation: 'gpu-buffer' }),
  });
  const buffers = [];
  const resident = async ([data, dims]) => {
    if (!onDevice) return new ort.Tensor('float32', data, dims);
    const device = await ort.env.webgpu.device;
    const gpuBuffer = device.createBuffer({
      size: data.byteLength,
      usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST,
    });
    device.queue.writeBuffer(gpuBuffer, 0, data);
    buffers.push(gpuBuffer);
    return ort.Tensor.fromGpuBuffer(gpuBuffer, { dataType: 'float32', dims });
  };
  const feeds = {};
  for (const [name, input] of Object.entries(inputs)) feeds[name] = await resident(input);
  let compared = [];
  return {
    async run(units) {
      let last;
      for (let unit = 0; unit < units; unit++) {
        last?.dispose();
        last = (await session.run(feeds))[session.outputNames[0]];
      }
      compared = (await last.getData()).slice(0, 256);
      last.dispose();
    },
    result: async () => compared,
    close() {
      session.release();
      for (const buffer of buffers) buffer.destroy();
    },
  };
}

export default {
  async open(work) {
    switch (work.kind) {
      case 'forward': {
        const { model, batch, weights, imageShape, images, classes } = work;
        const pixels = Float32Array.from(images, (byte) => byte / 255);
        return openModel(networkModel(model, weights, batch, imageShape, classes), {
          images: [pixels, [batch, ...imageShape]],
        });
      }
      case 'matmul': {
        const shape = [work.size, work.size];
        return openModel(matmulModel(work.size), { a: [work.a, shape], b: [work.b, shape] });
      }
      case 'elementwise':
        return openModel(elementwiseModel(work.count), { x: [work.x, [work.count]], y: [work.y, [work.count]] });
      default:
        return undefined;
    }
  },
};
