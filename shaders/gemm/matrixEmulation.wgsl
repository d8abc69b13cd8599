// Subgroup matrices in plain WGSL, for adapters without them: the same offsets, shapes and edges, so that tests of
// these hold for the real ones too. Operands stay where they are until they are multiplied; of a result each lane
// holds every SUBGROUP-th element.
//#import "gemm/matrixTile.wgsl"

const SHARE = M * N / SUBGROUP; // elements of a result that a lane holds

alias Left = u32;
alias Right = u32;
alias Result = array<f32, SHARE>;

fn loadLeft(at: u32) -> Left { return at; }
fn loadRight(at: u32) -> Right { return at; }
fn multiplyAdd(left: Left, right: Right, sum: Result, lane: u32) -> Result {
  var result = sum;
  for (var e = 0u; e < SHARE; e++) {
    let i = (e * SUBGROUP + lane) / N;
    let j = (e * SUBGROUP + lane) % N;
    for (var k = 0u; k < K; k++) {
      result[e] += f32(leftTile[left + i * LEFT_LINE + k]) * f32(rightTile[right + k * RIGHT_LINE + j]);
    }
  }
  return result;
}
fn storeResult(at: u32, result: Result, lane: u32) {
  var values = result;
  for (var e = 0u; e < SHARE; e++) {
    let place = e * SUBGROUP + lane;
    results[at + place / N * RESULT_LINE + place % N] = values[e];
  }
}
