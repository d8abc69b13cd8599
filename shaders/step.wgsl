// The step row: 64 words that change from step to step of a repeated segment. Word 0 is the step's number.
@group(0) @binding(0) var<uniform> stepRow: array<vec4<u32>, 16>;
fn stepU32(word: u32) -> u32 { return stepRow[word / 4u][word % 4u]; }
fn stepF32(word: u32) -> f32 { return bitcast<f32>(stepU32(word)); }
