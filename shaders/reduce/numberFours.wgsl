// What a lane of a reduction reads at a time: four neighbors.
alias Number = vec4f;
const WIDTH = 4u; // values in it

fn total(number: Number) -> f32 { return (number.x + number.y) + (number.z + number.w); }
fn leader(number: Number) -> f32 { return number.x; }
