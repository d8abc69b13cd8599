// The pointwise operations behind a product.

//#region bindings
//#endregion

// The place of an output value, handed to the epilogue, or of the first of ABREAST neighbors; `index` counts elements
// of the whole tensor, `slot` the columns at work at a time.
struct Place { channel: u32, image: u32, pixel: u32, index: u32, slot: u32 }

//#region epilogue
alias Values = f32;
alias MaskWords = u32;
const ABREAST = 1u;
fn valuesOf(numbers: vec4f) -> Values { return numbers.x; }
fn finish(value: Values, at: Place) -> Values { return value; }
//#endregion
