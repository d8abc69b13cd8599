// Subgroup matrices in plain WGSL, for adapters without them: the same offsets, shapes and edges, so that tests of these hold for the
// real ones too. Operands stay where they are until they are multiplied; every lane holds whole results, and lane 0 stores them.
//#import "gemm/matrixTile.wgsl"

alias Left = u32;
alias Right = u32;
alias Result = array<f32, M * N>;

fn loadLeft(at: u32) -> Left { return at; }
fn loadRight(at: u32) -> Right { return at; }
fn multiplyAdd(left: Left, right: Right, sum: Result) -> Result {
  var result = sum;
  for (var i = 0u; i < M; i += 1u) {
    for (var j = 0u; j < N; j += 1u) {
      for (var k = 0u; k < K; k += 1u) {
        result[i * N + j] += f32(leftTile[left + i * LEFT_LINE + k]) * f32(rightTile[right + k * RIGHT_LINE + j]);
      }
    }
  }
  return result;
}
fn storeResult(at: u32, lane: u32, result: Result) {
  if (lane != 0u) { return; }
  var values = result;
  for (var i = 0u; i < M; i += 1u) {
    for (var j = 0u; j < N; j += 1u) { results[at + i * RESULT_LINE + j] = values[i * N + j]; }
  }
}
