// Subgroup matrices of the adapter. The types name columns before rows: left <T, K, M>, right <T, N, K>, result <T,
// N, M>.
//#import "gemm/matrixTile.wgsl"
enable chromium_experimental_subgroup_matrix;
enable subgroups;

alias Left = subgroup_matrix_left<Element, K, M>;
alias Right = subgroup_matrix_right<Element, N, K>;
alias Result = subgroup_matrix_result<f32, N, M>;

fn loadLeft(at: u32) -> Left { return subgroupMatrixLoad<Left, row_major>(&leftTile, at, LEFT_LINE); }
fn loadRight(at: u32) -> Right { return subgroupMatrixLoad<Right, row_major>(&rightTile, at, RIGHT_LINE); }
fn multiplyAdd(left: Left, right: Right, sum: Result, lane: u32) -> Result {
  return subgroupMatrixMultiplyAccumulate(left, right, sum);
}
fn storeResult(at: u32, result: Result, lane: u32) {
  subgroupMatrixStore<row_major>(&results, at, result, RESULT_LINE);
}
