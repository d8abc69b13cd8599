/** Reads what RADV writes with RADV_DEBUG=asm,shaderstats and scripts/amd/compile.mjs between: a list of pipelines. */

const multiplyAdd = /\bv_(?:dual_)?(?:pk_)?(?:fmac|fma|mac|mad|fmamk|fmaak|madmk|madak)(?:_legacy)?_f32/g;
const multiply = /\bv_(?:dual_)?(?:pk_)?mul_f32/g;
const matrix = /\bv_wmma_f32/g;
const sharedLoad = /\bds_(?:read|load)2?(?:st64)?_(?:2addr_(?:stride64_)?)?[bu]\d+/g;
const sharedStore = /\bds_(?:write|store)2?(?:st64)?_(?:2addr_(?:stride64_)?)?b\d+/g;
const bufferLoad = /\bbuffer_load_(?:dwordx?\d?|b\d+|format_\w+|[us]?byte|[us]?short\w*|u8|u16|d16\w*)/g;

/** Bits that an instruction of a family moves. */
function bitsOf(name) {
  const words = /dword(?:x(\d))?$/.exec(name);
  if (words !== null) return 32 * Number(words[1] ?? 1);
  return Number(/[bu](\d+)$/.exec(name)?.[1] ?? 32) * (/2(?:st64)?_b|_2addr_/.test(name) ? 2 : 1);
}

/**
 * Blocks of straight-line code, in the disassembler's notation, or in that of the compiler's own listing, which it
 * falls back to for GPUs that the disassembler does not know yet: each with the loops around it, the innermost first.
 */
function blocksOf(text) {
  const blocks = [];
  for (const line of text.split('\n')) {
    const label = /^BB(\d+):?\s*$/.exec(line);
    if (label !== null) blocks.push({ id: Number(label[1]), lines: [], back: undefined });
    else if (blocks.length > 0 && /^\s+\S/.test(line)) {
      const block = blocks.at(-1);
      block.lines.push(line);
      const target = /^\ts_c?branch\w* (?:block:)?BB(\d+)/.exec(line);
      if (target !== null && Number(target[1]) <= block.id) block.back = Number(target[1]);
    }
  }
  const loops = blocks.filter(({ back }) => back !== undefined).map(({ id, back }) => ({ from: back, to: id }));
  // a loop may be left and begun again in several places: one per head, with its last end
  const ends = new Map();
  for (const { from, to } of loops) ends.set(from, Math.max(to, ends.get(from) ?? 0));
  const whole = [...ends].map(([from, to]) => ({ from, to })).sort((a, b) => a.to - a.from - (b.to - b.from));
  return blocks.map((block) => ({
    ...block,
    loops: whole.filter(({ from, to }) => from <= block.id && block.id <= to),
  }));
}

const count = (lines, pattern) => lines.reduce((sum, line) => sum + (line.match(pattern)?.length ?? 0), 0);
const widths = (lines, pattern) => lines.flatMap((line) => (line.match(pattern) ?? []).map(bitsOf));

/** The loop in whose own blocks, without those of loops inside it, most products are made; undefined without any. */
function innerLoop(blocks) {
  const own = new Map();
  for (const { lines, loops } of blocks) {
    const loop = loops[0];
    if (loop !== undefined) own.set(loop, (own.get(loop) ?? 0) + count(lines, multiplyAdd) + count(lines, matrix));
  }
  const best = [...own].sort((a, b) => b[1] - a[1])[0];
  return best === undefined || best[1] === 0 ? undefined : best[0];
}

const stat = (text, name) => Number(new RegExp(`^${name}: (\\d+)`, 'm').exec(text)?.[1] ?? NaN);

function readPipeline(text) {
  const end = text.indexOf('\n');
  const { label, code } = JSON.parse(text.slice(0, end));
  const blocks = blocksOf(text.slice(end));
  const inner = innerLoop(blocks);
  const own = blocks.filter(({ loops }) => inner !== undefined && loops[0] === inner).flatMap(({ lines }) => lines);
  const nest = blocks.find(({ loops }) => loops[0] === inner)?.loops ?? [];
  // operands are staged in the loop around it, or in it where its turns are unrolled into a stage
  const stage = nest[1] ?? nest[0];
  const staging = blocks
    .filter(({ loops }) => stage !== undefined && loops.includes(stage))
    .flatMap(({ lines }) => lines);
  return {
    label,
    code,
    multiplyAdds: count(own, multiplyAdd),
    multiplies: count(own, multiply),
    matrices: count(own, matrix),
    all: count(
      blocks.flatMap(({ lines }) => lines),
      multiplyAdd,
    ),
    sharedLoads: widths(own, sharedLoad),
    stagedLoads: widths(staging, bufferLoad),
    stagedStores: widths(staging, sharedStore),
    vgprs: stat(text, 'VGPRs'),
    spills: stat(text, 'Spilled VGPRs') + stat(text, 'Spilled SGPRs'),
    scratch: stat(text, 'Scratch size'),
    shared: stat(text, 'LDS size'),
    occupancy: stat(text, 'Subgroups per SIMD'),
    instructions: stat(text, 'Instructions'),
    throughput: stat(text, 'Inverse Throughput'),
    memory: stat(text, 'VMEM'),
  };
}

/** What a run of compile.mjs wrote, by workload: its pipelines and dispatches. */
export function readRun(text) {
  return text
    .split(/^@@workload /m)
    .slice(1)
    .map((part) => {
      const dispatches = /^@@dispatches (.*)$/m.exec(part)?.[1];
      return {
        workload: part.slice(0, part.indexOf('\n')),
        complete: /^@@end$/m.test(part),
        dispatches: dispatches === undefined ? [] : JSON.parse(dispatches),
        pipelines: part
          .split(/^@@pipeline /m)
          .slice(1)
          .map(readPipeline),
      };
    });
}
