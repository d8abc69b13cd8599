// Moves elements: each of y is one of x, found by walking y's axes from the last (0) to the first with the stride that
// x has along them. PADDED: along an axis only every `period`-th place from `before` on holds one of the `whole`
// elements of x, all other places hold `value`.
//#import "elementwise/grid.wgsl"
const WX = 64u;
const RUN = 4u;
const RANK = 6u;
const PADDED = false;

struct Params {
  count: u32, start: u32, value: f32, xBase: u32, yBase: u32,
  size0: u32, size1: u32, size2: u32, size3: u32, size4: u32, size5: u32,
  stride0: i32, stride1: i32, stride2: i32, stride3: i32, stride4: i32, stride5: i32,
  before0: i32, before1: i32, before2: i32, before3: i32, before4: i32, before5: i32,
  period0: i32, period1: i32, period2: i32, period3: i32, period4: i32, period5: i32,
  whole0: i32, whole1: i32, whole2: i32, whole3: i32, whole4: i32, whole5: i32,
}

@group(1) @binding(0) var<uniform> p: Params;
@group(1) @binding(1) var<storage, read> x: array<f32>;
@group(1) @binding(2) var<storage, read_write> y: array<f32>;

struct Walk { rest: u32, place: i32, inside: bool }

fn along(walk: Walk, size: u32, stride: i32, before: i32, period: i32, whole: i32) -> Walk {
  let at = i32(walk.rest % size);
  var next = Walk(walk.rest / size, walk.place + at * stride, true);
  if (PADDED) {
    let origin = at - before;
    let fits = origin >= 0 && origin % period == 0 && origin / period < whole;
    next = Walk(next.rest, walk.place + origin / period * stride, walk.inside && fits);
  }
  return next;
}

@compute @workgroup_size(WX)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let start = blockOf(group) * (WX * RUN) + local.x;
  for (var part = 0u; part < RUN; part++) {
    let element = start + part * WX;
    if (element >= p.count) { return; }
    var walk = along(Walk(element, i32(p.start), true), p.size0, p.stride0, p.before0, p.period0, p.whole0);
    if (RANK > 1u) { walk = along(walk, p.size1, p.stride1, p.before1, p.period1, p.whole1); }
    if (RANK > 2u) { walk = along(walk, p.size2, p.stride2, p.before2, p.period2, p.whole2); }
    if (RANK > 3u) { walk = along(walk, p.size3, p.stride3, p.before3, p.period3, p.whole3); }
    if (RANK > 4u) { walk = along(walk, p.size4, p.stride4, p.before4, p.period4, p.whole4); }
    if (RANK > 5u) { walk = along(walk, p.size5, p.stride5, p.before5, p.period5, p.whole5); }
    var value = p.value;
    if (walk.inside) { value = x[p.xBase + u32(walk.place)]; }
    y[p.yBase + element] = value;
  }
}
