/**
 * Times forward passes of ONNX Runtime's WebGPU, for scripts/onnx-speed.mjs: prints the median in milliseconds, or why
 * it does not run, as JSON.
 *
 *     node scripts/onnx/runtime.mjs FILE.onnx BATCH,CHANNELS,HEIGHT,WIDTH ROUNDS
 */
import { readFileSync } from 'node:fs';

const [file, sizes, rounds] = process.argv.slice(2);
const shape = sizes.split(',').map(Number);
const images = Float32Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => ((i * 7919) % 8191) / 8191);

/** What a runtime needs before it is imported: onnxruntime-web takes the GPU from Node's navigator. */
const runtimes = {
  'onnxruntime-node': () => undefined,
  'onnxruntime-web/webgpu': async () => {
    const { create, globals } = await import('webgpu');
    Object.assign(globalThis, globals);
    const value = Object.assign(Object.create(globalThis.navigator ?? {}), { gpu: create([]) });
    Object.defineProperty(globalThis, 'navigator', { value, configurable: true });
  },
};

const reasons = [];
for (const [module, prepare] of Object.entries(runtimes)) {
  try {
    await prepare();
    const ort = await import(module);
    ort.env.logLevel = 'error';
    const bytes = new Uint8Array(readFileSync(file));
    const session = await ort.InferenceSession.create(bytes, { executionProviders: ['webgpu'] });
    const times = [];
    for (let round = 0; round <= Number(rounds); round++) {
      const began = performance.now();
      await session.run({ input: new ort.Tensor('float32', images, shape) });
      // The first one compiles.
      if (round > 0) times.push(performance.now() - began);
    }
    times.sort((a, b) => a - b);
    console.log(JSON.stringify({ milliseconds: times[Math.floor(times.length / 2)], module }));
    process.exit(0);
  } catch (error) {
    reasons.push(
      `${module}: ${String(error?.message ?? error)
        .split('\n')[0]
        .slice(0, 160)}`,
    );
  }
}
console.log(JSON.stringify({ reasons }));
process.exit(0);
