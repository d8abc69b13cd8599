/**
 * Writes ONNX models: the networks and functions of the comparison, as PyTorch's exporter would, with batch norm left
 * to the runtime to fold.
 */
import protobuf from 'protobufjs';

/** The part of onnx.proto that is written here; field numbers are those of the format. */
const schema = protobuf
  .parse(
    `syntax = "proto3"; package onnx;
  message Attribute {
    string name = 1; float f = 2; int64 i = 3;
    repeated float floats = 7; repeated int64 ints = 8; int32 type = 20;
  }
  message Node {
    repeated string input = 1; repeated string output = 2;
    string name = 3; string op_type = 4; repeated Attribute attribute = 5;
  }
  message Tensor { repeated int64 dims = 1; int32 data_type = 2; string name = 8; bytes raw_data = 9; }
  message Dimension { int64 dim_value = 1; }
  message Shape { repeated Dimension dim = 1; }
  message TensorType { int32 elem_type = 1; Shape shape = 2; }
  message Type { TensorType tensor_type = 1; }
  message ValueInfo { string name = 1; Type type = 2; }
  message Graph {
    repeated Node node = 1; string name = 2; repeated Tensor initializer = 5;
    repeated ValueInfo input = 11; repeated ValueInfo output = 12;
  }
  message OperatorSet { string domain = 1; int64 version = 2; }
  message Model {
    int64 ir_version = 1; string producer_name = 2;
    Graph graph = 7; repeated OperatorSet opset_import = 8;
  }`,
    { keepCase: true },
  )
  .root.lookupType('onnx.Model');

const float = 1;
const int64 = 7;
const attributeTypes = { f: 1, i: 2, ints: 7 };

/** Collects nodes; every method returns the name of its result. */
class OnnxGraph {
  nodes = [];
  initializers = [];
  inputs = [];

  input(name, shape) {
    this.inputs.push(value(name, shape));
    return name;
  }

  constant(name, shape, data) {
    const raw_data = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    this.initializers.push({
      dims: [...shape],
      data_type: data instanceof BigInt64Array ? int64 : float,
      name,
      raw_data,
    });
    return name;
  }

  weight(weights, name) {
    return this.constant(name, weights[name].shape, weights[name].data);
  }

  add(op_type, input, attributes = {}) {
    const output = `${op_type}${this.nodes.length}`;
    const attribute = Object.entries(attributes).map(([name, given]) => {
      const kind = Array.isArray(given) ? 'ints' : Number.isInteger(given) ? 'i' : 'f';
      return { name, [kind]: given, type: attributeTypes[kind] };
    });
    this.nodes.push({ input, output: [output], name: output, op_type, attribute });
    return output;
  }

  /** The model's bytes. */
  finish(output, shape) {
    const result = this.add('Identity', [output]);
    const graph = {
      node: this.nodes,
      name: 'main',
      initializer: this.initializers,
      input: this.inputs,
      output: [value(result, shape)],
    };
    return schema
      .encode(
        schema.create({ ir_version: 8, producer_name: 'linbp', graph, opset_import: [{ domain: '', version: 17 }] }),
      )
      .finish();
  }
}

const value = (name, shape) => ({
  name,
  type: { tensor_type: { elem_type: float, shape: { dim: shape.map((dim_value) => ({ dim_value })) } } },
});

const linear = (graph, weights, name, x) =>
  graph.add('Gemm', [x, graph.weight(weights, `${name}.weight`), graph.weight(weights, `${name}.bias`)], { transB: 1 });
const maxPool = (graph, x) => graph.add('MaxPool', [x], { kernel_shape: [2, 2], strides: [2, 2] });

function convolution(graph, weights, name, x, { stride = 1, pad, bias = false }) {
  const inputs = [x, graph.weight(weights, `${name}.weight`), ...(bias ? [graph.weight(weights, `${name}.bias`)] : [])];
  return graph.add('Conv', inputs, {
    kernel_shape: weights[`${name}.weight`].shape.slice(2),
    strides: [stride, stride],
    pads: [pad, pad, pad, pad],
  });
}

/** Forward passes from images [N, C, H, W] to logits. */
const networks = {
  mlp(graph, weights, x) {
    x = graph.add('Flatten', [x], { axis: 1 });
    for (const i of [0, 2, 4]) x = graph.add('Relu', [linear(graph, weights, `layer1.${i}`, x)]);
    return linear(graph, weights, 'layer1.6', x);
  },
  lenet5(graph, weights, x) {
    x = graph.add('Relu', [maxPool(graph, convolution(graph, weights, 'conv1.0', x, { pad: 2, bias: true }))]);
    x = graph.add('Relu', [maxPool(graph, convolution(graph, weights, 'conv2.0', x, { pad: 0, bias: true }))]);
    x = graph.add('Flatten', [x], { axis: 1 });
    for (const i of [0, 2]) x = graph.add('Relu', [linear(graph, weights, `fc.${i}`, x)]);
    return linear(graph, weights, 'fc.4', x);
  },
  resnet20(graph, weights, x) {
    const perChannel = (name, values) => graph.constant(name, [1, 3, 1, 1], Float32Array.from(values));
    const normalized = (conv, bn, x, stride = 1) =>
      graph.add(
        'BatchNormalization',
        [
          convolution(graph, weights, conv, x, { stride, pad: 1 }),
          ...['weight', 'bias', 'running_mean', 'running_var'].map((key) => graph.weight(weights, `${bn}.${key}`)),
        ],
        { epsilon: 1e-5 },
      );
    x = graph.add('Div', [
      graph.add('Sub', [x, perChannel('mean', [0.485, 0.456, 0.406])]),
      perChannel('deviation', [0.229, 0.224, 0.225]),
    ]);
    x = graph.add('Relu', [normalized('conv1', 'bn1', x)]);
    for (const stage of [1, 2, 3]) {
      for (const block of [0, 1, 2]) {
        const name = `layer${stage}.${block}`;
        const stride = stage > 1 && block === 0 ? 2 : 1;
        const y = normalized(
          `${name}.conv2`,
          `${name}.bn2`,
          graph.add('Relu', [normalized(`${name}.conv1`, `${name}.bn1`, x, stride)]),
        );
        if (stride === 2) {
          const ints = (what, list) =>
            graph.constant(`${name}.${what}`, [list.length], BigInt64Array.from(list, BigInt));
          const extra = 2 ** (stage + 1); // channels of zeros on either side
          const half = graph.add('Slice', [
            x,
            ints('starts', [0, 0]),
            ints('ends', [1024, 1024]),
            ints('axes', [2, 3]),
            ints('steps', [2, 2]),
          ]);
          x = graph.add('Pad', [half, ints('pads', [0, extra, 0, 0, 0, extra, 0, 0])]);
        }
        x = graph.add('Relu', [graph.add('Add', [x, y])]);
      }
    }
    x = graph.add('Flatten', [graph.add('GlobalAveragePool', [x])], { axis: 1 });
    return linear(graph, weights, 'fc.weight' in weights ? 'fc' : 'linear', x);
  },
};

/** A network's forward pass on `batch` images of shape [C, H, W]: input `images`. */
export function networkModel(model, weights, batch, imageShape, classes) {
  const graph = new OnnxGraph();
  return graph.finish(networks[model](graph, weights, graph.input('images', [batch, ...imageShape])), [batch, classes]);
}

/** C = A B of square matrices: inputs `a`, `b`. */
export function matmulModel(size) {
  const graph = new OnnxGraph();
  const shape = [size, size];
  return graph.finish(graph.add('MatMul', [graph.input('a', shape), graph.input('b', shape)]), shape);
}

/** max(x y + x, 0): inputs `x`, `y`. */
export function elementwiseModel(count) {
  const graph = new OnnxGraph();
  const [x, y] = [graph.input('x', [count]), graph.input('y', [count])];
  return graph.finish(graph.add('Relu', [graph.add('Add', [graph.add('Mul', [x, y]), x])]), [count]);
}
