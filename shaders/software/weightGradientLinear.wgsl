// Weight gradient of a linear layer, C[row, col] = sum over images of A[image, row] * B[image, col], for processors,
// where a result costs as much to store as many products: stored in fours, outside of all branches, by a short loop.
// It addresses the sums by a variable, which keeps them in memory, where so many would be anyway. Tiles and lanes
// past an end are moved back to it: they compute results again and store the same numbers. The sum runs over the
// images. The bias gradient is summed up by the first workgroup of a row of them.
//#import "gemm/lanes.wgsl"
//#import "gemm/weightParameters.wgsl"

const TM = 16u; //#given rows (outputs of the layer) of an invocation, no more than there are
const TN = 8u; //#given neighboring columns (inputs of the layer) of an invocation, no more than there are
const WX = 8u; //#given lanes of a workgroup, along the columns
const SG = 8u; //#given lanes that share their gradient loads

@group(1) @binding(1) var<storage, read> a: array<f32>;
@group(1) @binding(2) var<storage, read> b: array<vec4f>;
@group(1) @binding(3) var<storage, read_write> c: array<vec4f>;
//#region bindings
@group(1) @binding(4) var<storage, read_write> biasGradient: array<f32>;
//#endregion

@compute @workgroup_size(WX)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u,
//#region lane
  @builtin(subgroup_invocation_id) lane: u32
//#endregion
) {
//#region laneless
//#endregion
  let row0 = min(group.y * TM, p.rows - TM);
  let column = min((group.x * WX + local.x) * TN, p.columns - TN);
  var aRows: array<u32, TM>;
  for (var g = 0u; g < TM / SG; g++) { aRows[g] = p.aBase + row0 + g * SG + lane % SG; }

  var acc: array<array<f32, TN>, TM>;
  var aOffset = 0u;
  var offset = p.bBase + column;
  for (var image = 0u; image < p.pixels; image++) {
    var right: array<f32, TN>;
    for (var v = 0u; v < TN / 4u; v++) {
      let four = b[offset / 4u + v];
      for (var i = 0u; i < 4u; i++) { right[4u * v + i] = four[i]; }
    }
    // all loads before the products: a driver that branches in loads keeps the sums in place only in what is not
    // branched
    var left: array<f32, TM / SG>;
    for (var g = 0u; g < TM / SG; g++) { left[g] = a[aRows[g] + aOffset]; }
    for (var g = 0u; g < TM / SG; g++) {
      for (var i = 0u; i < SG; i++) {
        let value = broadcast(left[g], lane, i);
        for (var j = 0u; j < TN; j++) { acc[g * SG + i][j] += value * right[j]; }
      }
    }
    aOffset += p.aPixel;
    offset += p.bW;
  }
  let first = p.cBase + row0 * p.columns + column;
  for (var i = 0u; i < p.tileRows; i++) {
    for (var v = 0u; v < TN / 4u; v++) {
      c[(first + i * p.columns) / 4u + v] = vec4f(acc[i][4u * v], acc[i][4u * v + 1u], acc[i][4u * v + 2u],
        acc[i][4u * v + 3u]);
    }
  }
//#region bias
  if (group.x == 0u) {
    for (var g = 0u; g < TM / SG; g++) {
      var sum = 0.0;
      for (var image = 0u; image < p.pixels; image++) { sum += a[aRows[g] + image * p.aPixel]; }
      biasGradient[p.biasBase + row0 + g * SG + lane % SG] = sum;
    }
  }
//#endregion
}
