// Operands and results of products on subgroup matrices, in workgroup memory: the left operand row by row, the right
// one product by product, each result matrix in a stretch of its own subgroup's. Lines are padded to keep lanes out
// of each other's banks; all offsets and lines are multiples of 16 bytes.
//#import "gemm/tileRows.wgsl"

//#region element
enable f16;
alias Element = f16;
//#endregion

// Shape of the matrices: M x K times K x N.
const M = 16u;
const N = 16u;
const K = 16u;
const SUBGROUP = 32u; // lanes of a subgroup
const SX = 2u; // subgroups of a workgroup along the columns
const SY = 2u; // subgroups of a workgroup along the rows
const MI = 2u; // matrices of a subgroup along the rows
const NJ = 2u; // matrices of a subgroup along the columns
const BK = 32u; //#given products a stage

const THREADS = SUBGROUP * SX * SY;
const ROWS = SY * MI * M;
const COLUMNS = SX * NJ * N;
const LEFT_LINE = BK + 8u;
const RIGHT_LINE = COLUMNS + 8u;
const RESULT_LINE = NJ * N + 4u;

var<workgroup> leftTile: array<Element, ROWS * LEFT_LINE>;
var<workgroup> rightTile: array<Element, BK * RIGHT_LINE>;
var<workgroup> results: array<f32, SX * SY * RM * RESULT_LINE>;
