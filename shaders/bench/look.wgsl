// The counterpart of step.wgsl that writes nothing, so that nothing ever has to wait for it. The loop keeps the load
// from being left out.
@group(0) @binding(0) var<storage, read> values: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  for (var count = 0u; count < 4u && values[id.x] > 1e30; count++) {}
}
