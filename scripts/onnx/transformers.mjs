/** ViT and ConvNeXt from the ops of graphs, for scripts/onnx-speed.mjs: torchvision's sizes or smaller ones. */

/** Layers over the last axis of a tensor of any rank. */
function layersOf(net) {
  const { graph } = net;
  const row = (name, size, kind) => net.parameter(name, [size], kind, size);
  const layers = {
    binary: (kind, a, b) => graph.one('binary', [a, b], { kind }),
    reshape: (x, shape) => graph.one('reshape', [x], { shape }),
    transpose: (x, order) => graph.one('transpose', [x], { order }),
    norm(name, x, epsilon) {
      const size = x.shape.at(-1);
      const [y] = graph.add('normalize', [x], { first: x.shape.length - 1, epsilon, center: true });
      const scaled = layers.binary('mul', y, row(`${name}.weight`, size, 'bn.weight'));
      return layers.binary('add', scaled, row(`${name}.bias`, size, 'bn.bias'));
    },
    linear(name, x, outputs) {
      const inputs = x.shape.at(-1);
      const weight = net.parameter(`${name}.weight`, [outputs, inputs], 'weight', inputs);
      const y = graph.one('matmul', [x, weight], { transposeA: false, transposeB: true });
      return layers.binary('add', y, net.parameter(`${name}.bias`, [outputs], 'bias', inputs));
    },
    scaled: (x, factor) => graph.one('unary', [x], { kind: 'affine', values: [factor, 0] }),
    row,
  };
  return layers;
}

/** Vision transformer (A. Dosovitskiy et al., 2020); ViT-B/16 unless told. */
export const visionTransformer = (
  name,
  { pixels = 224, patch = 16, width = 768, heads = 12, depth = 12, classes = 1000 } = {},
) => ({
  name,
  input: [3, pixels, pixels],
  classes,
  build(net, images) {
    const { binary, reshape, transpose, norm, linear, scaled } = layersOf(net);
    const { graph } = net;
    const count = images.shape[0];
    const patches = net.conv('conv_proj', images, width, patch, { stride: patch });
    const places = (pixels / patch) ** 2;
    let x = transpose(reshape(patches, [count, width, places]), [0, 2, 1]);
    const token = net.parameter('class_token', [1, 1, width], 'weight', width);
    x = graph.one('concat', [graph.one('expand', [token], { shape: [count, 1, width] }), x], { axis: 1 });
    const tokens = places + 1;
    x = binary('add', x, net.parameter('encoder.pos_embedding', [1, tokens, width], 'weight', width));
    const size = width / heads;
    const split = (y) => transpose(reshape(y, [count, tokens, heads, size]), [0, 2, 1, 3]);
    for (let k = 0; k < depth; k++) {
      const at = `encoder.layers.encoder_layer_${k}`;
      const y = norm(`${at}.ln_1`, x, 1e-6);
      const [q, key, v] = ['q', 'k', 'v'].map((part) => split(linear(`${at}.self_attention.${part}`, y, width)));
      const scores = graph.one('matmul', [scaled(q, size ** -0.5), key], { transposeA: false, transposeB: true });
      const maps = graph.one('softmax', [scores], { axis: 3 });
      const mixed = graph.one('matmul', [maps, v], { transposeA: false, transposeB: false });
      const joined = reshape(transpose(mixed, [0, 2, 1, 3]), [count, tokens, width]);
      x = binary('add', x, linear(`${at}.self_attention.out_proj`, joined, width));
      const wide = linear(`${at}.mlp.0`, norm(`${at}.ln_2`, x, 1e-6), 4 * width);
      x = binary('add', x, linear(`${at}.mlp.3`, net.activation(`${at}.mlp.1`, wide, 'gelu'), width));
    }
    x = norm('encoder.ln', x, 1e-6);
    const first = graph.one('slice', [x], { start: [0, 0, 0], step: [1, 1, 1], size: [count, 1, width] });
    return net.linear('heads.head', reshape(first, [count, width]), classes);
  },
});

/** ConvNeXt (Z. Liu et al., 2022); ConvNeXt-T unless told. */
export const convNext = (
  name,
  { pixels = 224, widths = [96, 192, 384, 768], blocks = [3, 3, 9, 3], classes = 1000 } = {},
) => ({
  name,
  input: [3, pixels, pixels],
  classes,
  build(net, images) {
    const { binary, transpose, norm, linear, row } = layersOf(net);
    const last = (x) => transpose(x, [0, 2, 3, 1]);
    const first = (x) => transpose(x, [0, 3, 1, 2]);
    const norm2d = (at, x) => first(norm(at, last(x), 1e-6));
    let x = norm2d('features.0.1', net.conv('features.0.0', images, widths[0], 4, { stride: 4 }));
    for (const [stage, width] of widths.entries()) {
      const at = `features.${2 * stage + 1}`;
      if (stage > 0)
        x = net.conv(`features.${2 * stage}.1`, norm2d(`features.${2 * stage}.0`, x), width, 2, { stride: 2 });
      for (let k = 0; k < blocks[stage]; k++) {
        const block = `${at}.${k}.block`;
        let y = last(net.conv(`${block}.0`, x, width, 7, { padding: 3, groups: width }));
        y = linear(`${block}.3`, norm(`${block}.2`, y, 1e-6), 4 * width);
        y = linear(`${block}.5`, net.activation(`${block}.4`, y, 'gelu'), width);
        x = net.add(`${at}.${k}`, x, first(binary('mul', y, row(`${at}.${k}.layer_scale`, width, 'bn.weight'))));
      }
    }
    const [count, width] = x.shape;
    const mean = net.adaptiveAvgPool('avgpool', x, 1);
    const logits = norm2d('classifier.0', mean);
    return net.linear('classifier.2', net.graph.one('reshape', [logits], { shape: [count, width] }), classes);
  },
});
