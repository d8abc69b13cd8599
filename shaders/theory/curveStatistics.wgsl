// Statistics over the repeats of curves[quantity][rule][repeat][row]: an invocation takes one row of one quantity and
// goes through the repeats in order, twice: for the means, then for the spreads around them.
// result[quantity][STATISTICS][row]: mean and standard deviation of BP, of LinBP, of BP - LinBP, and the share of
// repeats with LinBP <= BP.
const WX = 64u;
const STATISTICS = 7u;

struct Params { repeats: u32, rows: u32, quantities: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> curves: array<f32>;
@group(0) @binding(2) var<storage, read_write> result: array<f32>;

@compute @workgroup_size(WX)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let index = group.x * WX + lane;
  if (index >= p.rows * p.quantities) { return; }
  let quantity = index / p.rows;
  let row = index % p.rows;
  let bpBase = 2u * quantity * p.repeats * p.rows + row;
  let linbpBase = bpBase + p.repeats * p.rows;
  var total = vec3f();
  var won = 0u;
  for (var repeat = 0u; repeat < p.repeats; repeat++) {
    let bp = curves[bpBase + repeat * p.rows];
    let linbp = curves[linbpBase + repeat * p.rows];
    total += vec3f(bp, linbp, bp - linbp);
    won += select(0u, 1u, linbp <= bp);
  }
  let mean = total / f32(p.repeats);
  var squares = vec3f();
  for (var repeat = 0u; repeat < p.repeats; repeat++) {
    let bp = curves[bpBase + repeat * p.rows];
    let linbp = curves[linbpBase + repeat * p.rows];
    let difference = vec3f(bp, linbp, bp - linbp) - mean;
    squares += difference * difference;
  }
  let deviation = sqrt(squares / f32(max(p.repeats, 2u) - 1u));
  let base = quantity * STATISTICS * p.rows + row;
  for (var k = 0u; k < 3u; k++) {
    result[base + 2u * k * p.rows] = mean[k];
    result[base + (2u * k + 1u) * p.rows] = deviation[k];
  }
  result[base + 6u * p.rows] = f32(won) / f32(p.repeats);
}
