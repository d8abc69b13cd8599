// Windows of a fixed size and stride. Ranges are (first, end) along one axis.
//#import "pool/params.wgsl"
const EXCLUDE_PADDING = false;

// First input row or column of a window, which may lie in the padding.
fn windowTop(oh: i32) -> i32 { return oh * p.strideH - p.padTop; }
fn windowLeft(ow: i32) -> i32 { return ow * p.strideW - p.padLeft; }

// The part of a window inside the input.
fn windowRows(oh: i32) -> vec2i { return vec2i(max(windowTop(oh), 0), min(windowTop(oh) + p.kernelH, p.inH)); }
fn windowCols(ow: i32) -> vec2i { return vec2i(max(windowLeft(ow), 0), min(windowLeft(ow) + p.kernelW, p.inW)); }

// Pixels of a window with its padding, without what hangs over the padded edge (PyTorch's divisor in ceil mode), or
// without any padding.
fn windowArea(oh: i32, ow: i32) -> i32 {
  var height = min(windowTop(oh) + p.kernelH, p.inH + p.padBottom) - windowTop(oh);
  var width = min(windowLeft(ow) + p.kernelW, p.inW + p.padRight) - windowLeft(ow);
  if (EXCLUDE_PADDING) {
    height = windowRows(oh).y - windowRows(oh).x;
    width = windowCols(ow).y - windowCols(ow).x;
  }
  return height * width;
}

// The windows that cover an input pixel.
fn coverRows(h: i32) -> vec2i { return covering(h + p.padTop, p.kernelH, p.strideH, p.outH); }
fn coverCols(w: i32) -> vec2i { return covering(w + p.padLeft, p.kernelW, p.strideW, p.outW); }
fn covering(at: i32, kernel: i32, stride: i32, count: i32) -> vec2i {
  return vec2i(select((at - kernel) / stride + 1, 0, at < kernel), min(at / stride + 1, count));
}
