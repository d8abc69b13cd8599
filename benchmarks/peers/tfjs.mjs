/**
 * TensorFlow.js as a party of the comparison, by its own layers: NHWC, its optimizer, its tidy. `?backend=webgpu` or
 * `wasm`.
 */
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

const require = createRequire(import.meta.url);
const backend = new URL(import.meta.url).searchParams.get('backend') ?? 'webgpu';
const tf = require('@tensorflow/tfjs-core');
await import('../node_modules/.linbp/tfjsGradients.mjs');
if (backend === 'webgpu') {
  require('@tensorflow/tfjs-backend-webgpu');
} else {
  const { setWasmPaths } = require('@tensorflow/tfjs-backend-wasm');
  setWasmPaths(join(dirname(require.resolve('@tensorflow/tfjs-backend-wasm/package.json')), 'dist/'));
}
let ready;

/** OIHW to HWIO; linear [out, in] to [in, out]. */
const convWeight = ({ shape, data }) => tf.tidy(() => tf.transpose(tf.tensor(data, shape), [2, 3, 1, 0]));
const linearWeight = ({ shape, data }) => tf.tidy(() => tf.transpose(tf.tensor2d(data, shape)));
/** A linear layer after flattening [C, H, W], for images stored as [H, W, C]. */
const flattenedWeight = ({ shape, data }, [c, h, w]) =>
  tf.tidy(() => tf.reshape(tf.transpose(tf.tensor(data, [shape[0], c, h, w]), [2, 3, 1, 0]), [h * w * c, shape[0]]));
const vector = ({ data }) => tf.tensor1d(data);

/** NHWC images in [0, 1] of NCHW bytes. */
function toImages(bytes, count, [c, h, w]) {
  return tf.tidy(() =>
    tf.transpose(
      tf.tensor(
        Float32Array.from(bytes, (byte) => byte / 255),
        [count, c, h, w],
      ),
      [0, 2, 3, 1],
    ),
  );
}

const linear = (x, w, b) => tf.add(tf.matMul(x, w), b);

/** Networks: tensors by name and a forward function of them. */
const networks = {
  mlp(weights) {
    const layers = [0, 2, 4, 6].map((i) => `layer1.${i}`);
    const tensors = {};
    for (const layer of layers) {
      tensors[`${layer}.weight`] = linearWeight(weights[`${layer}.weight`]);
      tensors[`${layer}.bias`] = vector(weights[`${layer}.bias`]);
    }
    const forward = (p, images) => {
      let x = tf.reshape(images, [images.shape[0], -1]);
      for (const [index, layer] of layers.entries()) {
        x = linear(x, p[`${layer}.weight`], p[`${layer}.bias`]);
        if (index < 3) x = tf.relu(x);
      }
      return x;
    };
    return { tensors, forward };
  },
  lenet5(weights) {
    const tensors = {
      conv1: convWeight(weights['conv1.0.weight']),
      conv1b: vector(weights['conv1.0.bias']),
      conv2: convWeight(weights['conv2.0.weight']),
      conv2b: vector(weights['conv2.0.bias']),
      fc0: flattenedWeight(weights['fc.0.weight'], [16, 5, 5]),
      fc0b: vector(weights['fc.0.bias']),
      fc2: linearWeight(weights['fc.2.weight']),
      fc2b: vector(weights['fc.2.bias']),
      fc4: linearWeight(weights['fc.4.weight']),
      fc4b: vector(weights['fc.4.bias']),
    };
    const forward = (p, images) => {
      let x = tf.add(tf.conv2d(images, p.conv1, 1, 'same'), p.conv1b);
      x = tf.relu(tf.maxPool(x, 2, 2, 'valid'));
      x = tf.add(tf.conv2d(x, p.conv2, 1, 'valid'), p.conv2b);
      x = tf.relu(tf.maxPool(x, 2, 2, 'valid'));
      x = tf.reshape(x, [x.shape[0], -1]);
      x = tf.relu(linear(x, p.fc0, p.fc0b));
      x = tf.relu(linear(x, p.fc2, p.fc2b));
      return linear(x, p.fc4, p.fc4b);
    };
    return { tensors, forward };
  },
  /**
   * Batch norm in eval mode, folded into the convolutions as a careful user would; in training with the statistics of
   * the batch.
   */
  resnet20(weights, training) {
    const tensors = {};
    const blocks = [1, 2, 3].flatMap((stage) => [0, 1, 2].map((block) => `layer${stage}.${block}`));
    const pairs = [
      ['conv1', 'bn1'],
      ...blocks.flatMap((block) => [1, 2].map((i) => [`${block}.conv${i}`, `${block}.bn${i}`])),
    ];
    for (const [conv, bn] of pairs) {
      const { shape, data } = weights[`${conv}.weight`];
      const [gamma, beta, mean, variance] = ['weight', 'bias', 'running_mean', 'running_var'].map(
        (key) => weights[`${bn}.${key}`].data,
      );
      if (training) {
        tensors[conv] = convWeight({ shape, data });
        tensors[`${conv}g`] = vector({ data: gamma });
        tensors[`${conv}b`] = vector({ data: beta });
      } else {
        const scale = gamma.map((value, o) => value / Math.sqrt(variance[o] + 1e-5));
        const each = data.length / shape[0];
        tensors[conv] = convWeight({ shape, data: data.map((value, i) => value * scale[Math.floor(i / each)]) });
        tensors[`${conv}b`] = vector({ data: beta.map((value, o) => value - mean[o] * scale[o]) });
      }
    }
    tensors.fc = linearWeight(weights[weights['fc.weight'] ? 'fc.weight' : 'linear.weight']);
    tensors.fcb = vector(weights[weights['fc.bias'] ? 'fc.bias' : 'linear.bias']);
    const pixelMean = tf.tensor1d([0.485, 0.456, 0.406]);
    const pixelDeviation = tf.tensor1d([0.229, 0.224, 0.225]);
    const halving = [[0, 0], [1, 1], [1, 1], [0, 0]]; // prettier-ignore
    const conv = (p, name, x, stride) => {
      const y = tf.conv2d(x, p[name], stride, stride === 1 ? 'same' : halving);
      if (!training) return tf.add(y, p[`${name}b`]);
      const { mean, variance } = tf.moments(y, [0, 1, 2]);
      return tf.batchNorm(y, mean, variance, p[`${name}b`], p[`${name}g`], 1e-5);
    };
    const forward = (p, images) => {
      let x = tf.relu(conv(p, 'conv1', tf.div(tf.sub(images, pixelMean), pixelDeviation), 1));
      for (const block of blocks) {
        const stride = block === 'layer2.0' || block === 'layer3.0' ? 2 : 1;
        const y = conv(p, `${block}.conv2`, tf.relu(conv(p, `${block}.conv1`, x, stride)), 1);
        if (stride === 2) {
          // Every second pixel; strided slices have no gradient there.
          const half = tf.avgPool(x, 1, 2, 'valid');
          const extra = (y.shape[3] - x.shape[3]) / 2;
          x = tf.pad(half, [[0, 0], [0, 0], [0, 0], [extra, extra]]); // prettier-ignore
        }
        x = tf.relu(tf.add(x, y));
      }
      return linear(tf.mean(x, [1, 2]), p.fc, p.fcb);
    };
    return { tensors, forward };
  },
};

const crossEntropy = (logits, oneHot) => tf.neg(tf.sum(tf.mul(tf.logSoftmax(logits), oneHot), -1));

function openTraining({ model, batch, batches, lr, weights, imageShape, images, labels }) {
  if (networks[model] === undefined) return undefined;
  const { tensors, forward } = networks[model](weights, true);
  const variables = Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [name, tf.variable(tensor)]));
  const each = images.length / batches;
  const data = Array.from({ length: batches }, (_, i) => ({
    images: toImages(images.subarray(i * each, (i + 1) * each), batch, imageShape),
    oneHot: tf.tidy(() =>
      tf.cast(
        tf.oneHot(tf.tensor1d(Int32Array.from(labels.subarray(i * batch, (i + 1) * batch)), 'int32'), 10),
        'float32',
      ),
    ),
  }));
  const optimizer = tf.train.sgd(lr);
  const losses = [];
  let step = 0;
  return {
    async run(units) {
      const pending = [];
      for (let unit = 0; unit < units; unit++) {
        const now = data[step++ % batches];
        pending.push(optimizer.minimize(() => tf.mean(crossEntropy(forward(variables, now.images), now.oneHot)), true));
      }
      const all = tf.stack(pending);
      losses.push(...(await all.data()));
      tf.dispose([all, ...pending]);
    },
    result: async () => losses,
    close: () => tf.dispose([variables, tensors, data]),
  };
}

function openAttack({ model, batch, steps, eps, alpha, weights, imageShape, images, labels }) {
  const { tensors, forward } = networks[model](weights);
  const clean = toImages(images, batch, imageShape);
  const [low, high] = tf.tidy(() => [
    tf.keep(tf.maximum(tf.sub(clean, eps), 0)),
    tf.keep(tf.minimum(tf.add(clean, eps), 1)),
  ]);
  const oneHot = tf.tidy(() => tf.cast(tf.oneHot(tf.tensor1d(Int32Array.from(labels), 'int32'), 10), 'float32'));
  const gradient = tf.grad((x) => tf.sum(crossEntropy(forward(tensors, x), oneHot)));
  let losses = [];
  return {
    async run(units) {
      for (let unit = 0; unit < units; unit++) {
        let x = tf.clone(clean);
        for (let step = 0; step < steps; step++) {
          const next = tf.tidy(() => tf.minimum(tf.maximum(tf.add(x, tf.mul(tf.sign(gradient(x)), alpha)), low), high));
          x.dispose();
          x = next;
        }
        const final = tf.tidy(() => crossEntropy(forward(tensors, x), oneHot));
        losses = await final.data();
        tf.dispose([x, final]);
      }
    },
    result: async () => losses,
    close: () => tf.dispose([tensors, clean, low, high, oneHot]),
  };
}

function openForward({ model, batch, weights, imageShape, images }) {
  const { tensors, forward } = networks[model](weights);
  const pixels = toImages(images, batch, imageShape);
  return openRepeated([pixels, ...Object.values(tensors)], () => tf.tidy(() => forward(tensors, pixels)));
}

/** Evaluates `compute` and waits for the last result by reading the part that is compared. */
function openRepeated(inputs, compute) {
  let compared = [];
  return {
    async run(units) {
      let last;
      for (let unit = 0; unit < units; unit++) {
        last?.dispose();
        last = compute();
      }
      const part = tf.tidy(() => tf.slice(tf.reshape(last, [-1]), 0, Math.min(256, last.size)));
      compared = await part.data();
      tf.dispose([last, part]);
    },
    result: async () => compared,
    close: () => tf.dispose(inputs),
  };
}

export default {
  async open(work) {
    ready ??= tf.setBackend(backend).then(() => tf.ready());
    await ready;
    switch (work.kind) {
      case 'training':
        return openTraining(work);
      case 'attack':
        return openAttack(work);
      case 'forward':
        return openForward(work);
      case 'matmul': {
        const inputs = [tf.tensor2d(work.a, [work.size, work.size]), tf.tensor2d(work.b, [work.size, work.size])];
        return openRepeated(inputs, () => tf.matMul(...inputs));
      }
      case 'elementwise': {
        const [x, y] = [tf.tensor1d(work.x), tf.tensor1d(work.y)];
        return openRepeated([x, y], () => tf.tidy(() => tf.relu(tf.add(tf.mul(x, y), x))));
      }
    }
  },
};
