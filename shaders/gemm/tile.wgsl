// What products that are staged through workgroup memory share. A workgroup of TX x TY invocations makes a
// tile of TY * RM rows by TX * RN columns; stage by stage its invocations load BK products' worth of both operands,
// and each adds up RM x RN results. What differs between A * B, A * B^T, A^T * B and the convolutions is only who
// loads what: the loaders of the files that import this one. They have the inner loop themselves: only in the entry
// point does Tint know how large an invocation's place in the workgroup is, and leaves out the clamps of places in
// workgroup memory.
//
// Both tiles hold vectors of four, owner by owner: the left one four neighboring rows, the right one four columns of
// one invocation, so that an invocation reads its share in whole vectors, lanes next to each other without bank
// conflicts. A stage's line has one vector more than it needs, so that lanes that write along the products do not
// meet in one bank either.

//#import "gemm/tileRows.wgsl"
const TX = 16u; //#given lanes of a workgroup: along the columns
const TY = 8u; //#given ranks of a workgroup: along the rows
const RN = 4u; //#given columns of an invocation
const BK = 16u; //#given products a stage
// true: an invocation's columns are neighbors four by four, so that they load as vectors; false: TX apart
const ADJACENT = false;

const ROWS = TY * RM;
const COLUMNS = TX * RN;
const THREADS = TX * TY;
const LEFT_LINE = ROWS / 4u + 1u;
const RIGHT_LINE = COLUMNS / 4u + 1u;

var<workgroup> leftTile: array<vec4f, BK * LEFT_LINE>;
var<workgroup> rightTile: array<vec4f, BK * RIGHT_LINE>;

alias Sums = array<array<f32, RN>, RM>;

// Column of the tile that is the j-th of lane tx.
fn columnOf(tx: u32, j: u32) -> u32 { return select(j * TX + tx, (j / 4u * TX + tx) * 4u + j % 4u, ADJACENT); }

// Where four columns of a lane lie in a line of the right tile.
fn slotOf(tx: u32, quad: u32) -> u32 { return quad * TX + tx; }

// Column j of the sums. Where the loop over them stays a loop, registers must not be addressed by a variable, so the
// first column is taken and the others move up. Not in straight-line code: Mesa compiles registers that move in the
// loop that reads them wrong for AMD's GPUs.
fn takeColumn(sums: ptr<function, Sums>, j: u32) -> array<f32, RM> {
  var line: array<f32, RM>;
  for (var i = 0u; i < RM; i++) {
    if (UNROLLED) {
      line[i] = (*sums)[i][j];
    } else {
      line[i] = (*sums)[i][0];
      for (var t = 0u; t + 1u < RN; t++) { (*sums)[i][t] = (*sums)[i][t + 1u]; }
    }
  }
  return line;
}
