// Windows that divide the input evenly: window o of `out` covers [floor(o in / out), ceil((o + 1) in / out)).
// The windows that cover a pixel are given by the same formula with the sizes exchanged.
//#import "pool/params.wgsl"

fn share(at: i32, whole: i32, parts: i32) -> vec2i {
  return vec2i(at * whole / parts, ((at + 1) * whole + parts - 1) / parts);
}

fn windowRows(oh: i32) -> vec2i { return share(oh, p.inH, p.outH); }
fn windowCols(ow: i32) -> vec2i { return share(ow, p.inW, p.outW); }
fn windowArea(oh: i32, ow: i32) -> i32 {
  let rows = windowRows(oh);
  let cols = windowCols(ow);
  return (rows.y - rows.x) * (cols.y - cols.x);
}

fn coverRows(h: i32) -> vec2i { return share(h, p.outH, p.inH); }
fn coverCols(w: i32) -> vec2i { return share(w, p.outW, p.inW); }
