// The target class of a sample, where the loss takes targets beside labels.
//#import "loss/logits.wgsl"
@group(1) @binding(4) var<storage, read> targets: array<u32>;
fn targetOf(seat: Seat) -> u32 { return targets[p.targetsBase + seat.sample]; }
