// Number of the workgroup in a one-dimensional grid that is folded into rows of 65535, the most that an axis may have.
fn blockOf(group: vec3u) -> u32 { return group.y * 65535u + group.x; }
