/**
 * Products of typical layers with what usually follows them, as graphs: for scripts that go through the tuner's
 * candidates.
 */

function linear(graph, batch, inner, outputs) {
  const x = graph.input('x', [batch, inner]);
  const w = graph.input('w', [outputs, inner]);
  const g = graph.input('g', [batch, outputs]);
  graph.output('y', graph.one('linear', [x, w, graph.input('b', [outputs])], {}));
  graph.output('dx', graph.one('linearInputGradient', [g, w], {}));
  const gradients = graph.add('linearWeightGradient', [g, x], { bias: true });
  for (const [index, tensor] of gradients.entries()) graph.output(`gradient ${index}`, tensor);
}

function convolution(graph, inputShape, weightShape, some) {
  const attrs = { stride: [1, 1], padding: [0, 0, 0, 0], dilation: [1, 1], groups: 1, ...some };
  const x = graph.input('x', inputShape);
  const w = graph.input('w', weightShape);
  const y = graph.one('conv2d', [x, w, graph.input('b', [weightShape[0]])], attrs);
  const [z, mask] = graph.add('activation', [y], { kind: 'relu', mask: true });
  graph.output('z', z);
  graph.output('mask', mask);
  const g = graph.input('g', y.shape);
  graph.output('dx', graph.one('conv2dInputGradient', [g, w], { ...attrs, inputShape }));
  const gradients = graph.add('conv2dWeightGradient', [g, x], { ...attrs, weightShape, bias: true });
  for (const [index, tensor] of gradients.entries()) graph.output(`gradient ${index}`, tensor);
}

const padded = { padding: [1, 1, 1, 1] };

export const typicalProducts = {
  'linear 120x400': (graph) => linear(graph, 9, 400, 120),
  'linear 128x256': (graph) => linear(graph, 32, 256, 128),
  '5x5 of LeNet': (graph) => convolution(graph, [4, 6, 14, 14], [16, 6, 5, 5], {}),
  '3x3 of 16': (graph) => convolution(graph, [2, 16, 16, 16], [16, 16, 3, 3], padded),
  '3x3 of 64': (graph) => convolution(graph, [2, 64, 8, 8], [64, 64, 3, 3], padded),
  '3x3 of 32, strided': (graph) => convolution(graph, [2, 32, 9, 9], [48, 32, 3, 3], { ...padded, stride: [2, 2] }),
  '1x1 of 64': (graph) => convolution(graph, [2, 64, 8, 8], [128, 64, 1, 1], {}),
};
