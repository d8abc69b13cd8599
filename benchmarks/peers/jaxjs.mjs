/** jax-js as a party of the comparison: whole steps under its `jit`. `?backend=webgpu` or `wasm`. */
import { blockUntilReady, defaultDevice, init, jit, lax, nn, numpy as np, tree, valueAndGrad } from '@jax-js/jax';

const backend = new URL(import.meta.url).searchParams.get('backend') ?? 'webgpu';
let ready;

const array = (data, shape) => np.array(data instanceof Float32Array ? data : Float32Array.from(data)).reshape(shape);
const linear = (x, w, b) => np.matmul(x, w).add(b);

/** [out, in] to [in, out], the layout that JAX programs keep. */
const transpose = (data, [rows, columns]) =>
  Float32Array.from(data, (_, i) => data[(i % rows) * columns + Math.floor(i / rows)]);

/** 2x2 maximum of each window. */
function maxPool(x) {
  const [n, c, h, w] = x.shape;
  return np.max(x.reshape([n, c, h / 2, 2, w / 2, 2]), [3, 5]);
}

/** A convolution [N, C, H, W] x [O, I, KH, KW]. */
function conv(x, w, b, padding) {
  const y = lax.convGeneralDilated(x, w, [1, 1], [[padding, padding], [padding, padding]]); // prettier-ignore
  return y.add(b.reshape([1, -1, 1, 1]));
}

const networks = {
  mlp(p, x) {
    for (const i of [0, 2, 4, 6]) {
      x = linear(x, p[`layer1.${i}.weight`], p[`layer1.${i}.bias`]);
      if (i < 6) x = nn.relu(x);
    }
    return x;
  },
  lenet5(p, x) {
    x = nn.relu(maxPool(conv(x, p['conv1.0.weight'], p['conv1.0.bias'], 2)));
    x = nn.relu(maxPool(conv(x, p['conv2.0.weight'], p['conv2.0.bias'], 0)));
    x = x.reshape([x.shape[0], 400]);
    x = nn.relu(linear(x, p['fc.0.weight'], p['fc.0.bias']));
    x = nn.relu(linear(x, p['fc.2.weight'], p['fc.2.bias']));
    return linear(x, p['fc.4.weight'], p['fc.4.bias']);
  },
};

/** Weights as arrays, those of linear layers in JAX's layout. */
function parametersOf(weights) {
  const transposed = (name) => /^(layer1|fc).*weight$/.test(name);
  return Object.fromEntries(
    Object.entries(weights).map(([name, { shape, data }]) => [
      name,
      transposed(name) ? array(transpose(data, shape), [shape[1], shape[0]]) : array(data, [...shape]),
    ]),
  );
}

async function openTraining({ model, batch, batches, lr, weights, imageShape, images, labels }) {
  const network = networks[model];
  if (network === undefined) return undefined;
  let parameters = parametersOf(weights);
  const each = images.length / batches;
  const shape = model === 'mlp' ? [batch, each / batch] : [batch, ...imageShape];
  const data = Array.from({ length: batches }, (_, i) => {
    const oneHot = new Float32Array(batch * 10);
    for (let n = 0; n < batch; n++) oneHot[n * 10 + labels[i * batch + n]] = 1;
    const pixels = Float32Array.from(images.subarray(i * each, (i + 1) * each), (byte) => byte / 255);
    return [array(pixels, shape), array(oneHot, [batch, 10])];
  });
  const loss = (p, x, oneHot) => np.sum(nn.logSoftmax(network(p, x)).mul(oneHot)).mul(-1 / batch);
  const trainStep = jit((p, x, oneHot) => {
    const [value, gradients] = valueAndGrad(loss)(tree.ref(p), x, oneHot);
    return [value, tree.map((w, g) => w.sub(g.mul(lr)), p, gradients)];
  });
  const losses = [];
  let step = 0;
  return {
    async run(units) {
      const pending = [];
      for (let unit = 0; unit < units; unit++) {
        const [x, oneHot] = data[step++ % batches];
        const [value, next] = trainStep(parameters, x.ref, oneHot.ref);
        parameters = next;
        pending.push(value);
      }
      await blockUntilReady(parameters);
      losses.push(...(await np.stack(pending).data()));
    },
    result: async () => losses,
    close: () => tree.dispose([parameters, data]),
  };
}

/** Evaluates `compute` and reads the part of the last result that is compared. */
function openRepeated(inputs, compute) {
  let compared = [];
  const compiled = jit(compute);
  return {
    async run(units) {
      let last;
      for (let unit = 0; unit < units; unit++) {
        last?.dispose();
        last = compiled(...inputs.map((input) => tree.ref(input)));
        // Evaluation is lazy: a result that is disposed of before anybody waits for it is never computed.
        await blockUntilReady(last);
      }
      compared = await last.reshape([-1]).slice([0, 256]).data();
    },
    result: async () => compared,
    close: () => tree.dispose(inputs),
  };
}

export default {
  async open(work) {
    ready ??= init(backend).then((devices) => {
      if (!devices.includes(backend)) throw new Error(`jax-js has no ${backend} here`);
      defaultDevice(backend);
    });
    await ready;
    switch (work.kind) {
      case 'training':
        return openTraining(work);
      case 'attack':
        return undefined;
      case 'forward': {
        if (networks[work.model] === undefined) return undefined;
        const pixels = Float32Array.from(work.images, (byte) => byte / 255);
        return openRepeated(
          [parametersOf(work.weights), array(pixels, [work.batch, ...work.imageShape])],
          networks[work.model],
        );
      }
      case 'matmul': {
        const shape = [work.size, work.size];
        return openRepeated([array(work.a, shape), array(work.b, shape)], (a, b) => np.matmul(a, b));
      }
      case 'elementwise':
        return openRepeated([array(work.x, [work.count]), array(work.y, [work.count])], (x, y) =>
          nn.relu(x.ref.mul(y).add(x)),
        );
    }
  },
};
