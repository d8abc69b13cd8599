// One of the many small dispatches that the cost of a dependency is measured with: 64 numbers are read and written in
// place.
@group(0) @binding(0) var<storage, read_write> values: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  values[id.x] = values[id.x] * 0.5 + 1.0;
}
