// Images cut into blocks, each of which gets one of seven changes (SIA): places to read, two planes; or with FACTORS
// what a block is multiplied by, -1 where it gets noise. The numbers are those of src/graph/types.ts.
//#import "source/field.wgsl"
const BLOCKS = 3u;
const FACTORS = false;

// Where the block begins that holds a place, its length and number. Cuts are different whole numbers.
struct Block { first: f32, length: f32, number: u32 }

fn blockAt(sample: u32, cuts: u32, at: f32, total: f32) -> Block {
  var ends = array<f32, BLOCKS>();
  for (var k = 0u; k + 1u < BLOCKS; k++) {
    var cut = 1.0 + choice(sample, cuts + k, total - 1.0 - f32(k));
    var place = 0u;
    for (var j = 0u; j < k; j++) {
      if (cut >= ends[j]) { cut += 1.0; place = j + 1u; }
    }
    for (var j = k; j > place; j--) { ends[j] = ends[j - 1u]; }
    ends[place] = cut;
  }
  ends[BLOCKS - 1u] = total;
  var found = Block(0.0, ends[0], 0u);
  for (var k = 1u; k < BLOCKS; k++) {
    if (at >= ends[k - 1u]) { found = Block(ends[k - 1u], ends[k] - ends[k - 1u], k); }
  }
  return found;
}

fn rolled(at: f32, length: f32, amount: f32) -> f32 {
  let source = at - floor(amount * length);
  return select(source, source + length, source < 0.0);
}

@compute @workgroup_size(WX)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = blockOf(group) * WX + local;
  if (index >= p.count) { return; }
  let at = placeOf(index);
  let rows = blockAt(at.sample, 0u, f32(at.row), f32(p.height));
  let columns = blockAt(at.sample, BLOCKS - 1u, f32(at.column), f32(p.width));
  let block = 2u * (BLOCKS - 1u) + rows.number * BLOCKS + columns.number;
  let change = choice(at.sample, block, 7.0);
  let amount = number(at.sample, block + BLOCKS * BLOCKS);
  var row = f32(at.row) - rows.first;
  var column = f32(at.column) - columns.first;
  if (change == 0.0) { row = rolled(row, rows.length, amount); }
  if (change == 1.0) { column = rolled(column, columns.length, amount); }
  if (change == 2.0 || change == 4.0) { row = rows.length - 1.0 - row; }
  if (change == 3.0 || change == 4.0) { column = columns.length - 1.0 - column; }
  let place = select(columns.first + column, rows.first + row, at.plane == 0u);
  let factor = select(select(1.0, -1.0, change == 6.0), amount, change == 5.0);
  result[p.resultBase + index] = select(place, factor, FACTORS);
}
