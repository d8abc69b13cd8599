// How SG lanes share what each of them has loaded; replaced where lanes share nothing, or where a subgroup holds
// several such shares.
//#region enable
enable subgroups;
//#endregion

//#region broadcast
fn broadcast(value: f32, lane: u32, source: u32) -> f32 { return subgroupShuffle(value, source); }
//#endregion
