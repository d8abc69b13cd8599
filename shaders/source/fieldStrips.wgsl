// Places that images cut into strips, shuffled, rotated, cut the other way and shuffled are read at (BSR); the numbers
// are those of src/graph/types.ts. Planes: row, column, then the bounds of the strip that is read.
//#import "functions/circular.wgsl"
//#import "source/field.wgsl"
const BLOCKS = 2u;
const ANGLE = 0.4; // largest, in radians

// A piece of an axis: where it begins in the result and in the source, its length and its place in the new order.
struct Piece { to: f32, origin: f32, length: f32, place: u32 }

// The piece that a place of the result belongs to. Lengths go with 2 - u, rounded; the longest takes what is missing.
fn pieceAt(sample: u32, widths: u32, keys: u32, at: f32, total: f32) -> Piece {
  var lengths = array<f32, BLOCKS>();
  var sum = 0.0;
  for (var k = 0u; k < BLOCKS; k++) { sum += 2.0 - number(sample, widths + k); }
  var longest = 0u;
  var used = 0.0;
  for (var k = 0u; k < BLOCKS; k++) {
    lengths[k] = round((2.0 - number(sample, widths + k)) * total / sum);
    used += lengths[k];
    if (lengths[k] > lengths[longest]) { longest = k; }
  }
  lengths[longest] += total - used;
  var found = Piece(0.0, 0.0, total, 0u);
  var origin = 0.0;
  for (var k = 0u; k < BLOCKS; k++) {
    var to = 0.0;
    var place = 0u;
    for (var other = 0u; other < BLOCKS; other++) {
      let own = number(sample, keys + k);
      let its = number(sample, keys + other);
      if (its < own || (its == own && other < k)) { to += lengths[other]; place++; }
    }
    if (at >= to && at < to + lengths[k]) { found = Piece(to, origin, lengths[k], place); }
    origin += lengths[k];
  }
  return found;
}

@compute @workgroup_size(WX)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = blockOf(group) * WX + local;
  if (index >= p.count) { return; }
  let at = placeOf(index);
  let byRows = number(at.sample, 0u) < 0.5;
  let size = vec2f(f32(p.height), f32(p.width));
  let here = vec2f(f32(at.row), f32(at.column));
  // Along the axis that is cut first, and along the other.
  let total = select(size.yx, size, byRows);
  let along = select(here.yx, here, byRows);
  let strip = pieceAt(at.sample, 1u, 1u + BLOCKS, along.x, total.x);
  let second = 1u + 3u * BLOCKS + strip.place * BLOCKS;
  let piece = pieceAt(at.sample, second, second + BLOCKS * BLOCKS, along.y, total.y);
  let middle = 0.5 * (vec2f(strip.length, total.y) - 1.0);
  let offset = vec2f(along.x - strip.to, along.y - piece.to + piece.origin) - middle;
  let angle = (2.0 * number(at.sample, 1u + 2u * BLOCKS + strip.place) - 1.0) * ANGLE;
  // The axis cut first turns the other way where it is that of the columns.
  let turn = circular(angle);
  let s = select(-turn.y, turn.y, byRows);
  let turned = middle + vec2f(turn.x * offset.x + s * offset.y, turn.x * offset.y - s * offset.x);
  let read = vec2f(strip.origin + turned.x, turned.y);
  let place = select(read.yx, read, byRows);
  let low = select(vec2f(0.0, strip.origin), vec2f(strip.origin, 0.0), byRows);
  let end = select(vec2f(total.y, strip.origin + strip.length), vec2f(strip.origin + strip.length, total.y), byRows);
  let planes = array<f32, 6>(place.x, place.y, low.x, end.x, low.y, end.y);
  result[p.resultBase + index] = planes[at.plane];
}
