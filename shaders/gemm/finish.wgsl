// The pointwise operations behind a product.

//#region bindings
//#endregion

// The place of one output value, handed to the epilogue; `index` counts elements of the whole tensor.
struct Place { channel: u32, image: u32, pixel: u32, index: u32 }

//#region epilogue
fn finish(value: f32, at: Place) -> f32 { return value; }
//#endregion
