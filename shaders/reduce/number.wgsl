// What a lane of a reduction reads at a time.
alias Number = f32;
const WIDTH = 1u; // values in it

fn total(number: Number) -> f32 { return number; }
fn leader(number: Number) -> f32 { return number; }
