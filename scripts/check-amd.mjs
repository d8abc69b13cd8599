/**
 * Compiles what linbp runs for AMD GPUs, on a machine without one, and reads what the compiler made of it. Mesa's RADV
 * compiles for any family that RADV_FORCE_FAMILY names; a Vulkan layer (scripts/amd/nullQueue.c) stands in for the
 * hardware. Nothing is computed: this proves neither results nor times. It finds kernels that are compiled wrong or
 * badly: registers spilled, multiply-adds missing from an inner loop, loads narrower than written, too many registers,
 * and an inverse throughput (the compiler's estimate of cycles) more than 3 % above scripts/amd/throughput.json.
 *
 *   node scripts/check-amd.mjs [--short] [--families A,B] [--only WORD] [--update] [--figures] [--root DIR]
 *
 * `--short` compiles LeNet-5 and ResNet-20 for two families. `--update` writes the table of throughputs anew,
 * `--figures` prints the largest kernels of ResNet-50 as a table, `--root` checks another build of linbp. Needs gcc,
 * libvulkan-dev and mesa-vulkan-drivers 25; without them it is skipped and says why. Exit code 1 where a pipeline is
 * bad.
 */
import { spawn, spawnSync } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { faultsOf } from './amd/expect.mjs';
import { readRun } from './amd/isa.mjs';

const { values: options } = parseArgs({
  options: {
    short: { type: 'boolean', default: false },
    families: { type: 'string' },
    only: { type: 'string' },
    update: { type: 'boolean', default: false },
    figures: { type: 'boolean', default: false },
    root: { type: 'string' },
  },
});
const here = dirname(fileURLToPath(import.meta.url));
const root = options.root === undefined ? dirname(here) : resolve(options.root);
const driver = '/usr/share/vulkan/icd.d/radeon_icd.json';
const tablePath = join(here, 'amd', 'throughput.json');

const allFamilies = ['polaris10', 'vega20', 'navi21', 'navi31', 'gfx1201'];
const shortWorkloads = ['lenet5 train 64', 'lenet5 attack 64', 'resnet20 train 128', 'resnet20 attack 128'];
const longWorkloads = [
  ...shortWorkloads,
  'resnet50 train 128',
  'resnet50 attack 128',
  'resnet50_imagenet train 32',
  'densenet121 train 64',
  'densenet121 attack 64',
  'mobilenet_v2 train 128',
  'mobilenet_v2 attack 128',
  'candidates',
];
const families = options.families?.split(',') ?? (options.short ? ['navi31', 'vega20'] : allFamilies);
const workloads = (options.short ? shortWorkloads : longWorkloads).filter((name) => name.includes(options.only ?? ''));

/** How much an inverse throughput may rise above the table. */
const mostRise = 1.03;

function skip(reason) {
  console.log(`check:amd is skipped: ${reason}`);
  process.exit(0);
}

/** Builds the layer and returns the environment in which a driver without hardware compiles. */
function prepare(folder) {
  if (process.platform !== 'linux' || process.arch !== 'x64') skip('it needs Linux on x86-64');
  if (!existsSync(driver)) skip(`${driver} is missing (apt-get install mesa-vulkan-drivers)`);
  const library = join(folder, 'libnullqueue.so');
  const gcc = spawnSync('gcc', ['-O1', '-shared', '-fPIC', '-o', library, join(here, 'amd', 'nullQueue.c')], {
    encoding: 'utf8',
  });
  if (gcc.error !== undefined) skip('there is no gcc (apt-get install gcc libvulkan-dev)');
  if (gcc.status !== 0)
    skip(`the layer does not compile (apt-get install libvulkan-dev): ${gcc.stderr.split('\n')[0]}`);
  const layer = {
    name: 'VK_LAYER_LINBP_null_queue',
    type: 'GLOBAL',
    library_path: library,
    api_version: '1.3.239',
    implementation_version: '1',
    description: 'allocates ordinary memory, records and submits nothing',
    functions: {
      vkGetInstanceProcAddr: 'null_queue_instance_proc',
      vkGetDeviceProcAddr: 'null_queue_device_proc',
    },
  };
  writeFileSync(join(folder, 'layer.json'), JSON.stringify({ file_format_version: '1.1.2', layer }));
  return {
    ...process.env,
    VK_LAYER_PATH: folder,
    VK_INSTANCE_LAYERS: layer.name,
    VK_DRIVER_FILES: driver,
    XDG_RUNTIME_DIR: folder,
    MESA_SHADER_CACHE_DISABLE: 'true',
    RADV_DEBUG: 'asm,shaderstats',
    LINBP_SELFTEST: 'off',
    LINBP_TUNING: 'off',
  };
}

/** Compiles all workloads for a family; resolves to what was written. */
function compile(family, env, folder) {
  const log = join(folder, `${family}.log`);
  const file = openSync(log, 'w');
  const child = spawn(process.execPath, [join(here, 'amd', 'compile.mjs'), root, ...workloads], {
    env: { ...env, RADV_FORCE_FAMILY: family },
    stdio: ['ignore', 'ignore', file],
  });
  return new Promise((done) => {
    child.on('close', (code) => {
      closeSync(file);
      done({ code, text: readFileSync(log, 'utf8') });
    });
  });
}

/** What can be compared between runs: inverse throughputs by workload and label, the largest first. */
function throughputs(runs) {
  const found = {};
  for (const { workload, pipelines } of runs)
    for (const { label, throughput } of pipelines) ((found[workload] ??= {})[label] ??= []).push(throughput);
  for (const labels of Object.values(found)) for (const values of Object.values(labels)) values.sort((a, b) => b - a);
  return found;
}

/** Labels whose inverse throughput rose, in words, and how many are not in the table. */
function compareWith(table, found) {
  const risen = [];
  let fresh = 0;
  for (const [workload, labels] of Object.entries(found))
    for (const [label, values] of Object.entries(labels)) {
      const before = table?.[workload]?.[label];
      if (before === undefined) {
        fresh++;
        continue;
      }
      // where the number of pipelines differs, only the largest can be compared
      const pairs =
        before.length === values.length ? values.map((value, at) => [before[at], value]) : [[before[0], values[0]]];
      for (const [old, now] of pairs)
        if (now > mostRise * old) risen.push(`${workload}: ${label}: inverse throughput ${now}, was ${old}`);
    }
  return { risen, fresh };
}

/** The table as JSON, a label a line. */
const formatTable = (table) =>
  `{\n${Object.entries(table)
    .map(
      ([family, ofFamily]) =>
        `  ${JSON.stringify(family)}: {\n${Object.entries(ofFamily)
          .map(
            ([workload, labels]) =>
              `    ${JSON.stringify(workload)}: {\n${Object.entries(labels)
                .sort(([a], [b]) => (a < b ? -1 : 1))
                .map(([label, values]) => `      ${JSON.stringify(label)}: ${JSON.stringify(values)}`)
                .join(',\n')}\n    }`,
          )
          .join(',\n')}\n  }`,
    )
    .join(',\n')}\n}\n`;

/** The ten kernels that do most of a ResNet-50 training step: what the compiler says of each. */
function printFigures(family, runs) {
  const run = runs.find(({ workload }) => workload.startsWith('resnet50 train'));
  if (run === undefined) return;
  // numbers of splits are parameters: pipelines do not differ in them
  const named = (label) => label.replace(/ split\d+$/, '');
  const flops = new Map();
  for (const dispatch of run.dispatches)
    flops.set(named(dispatch.label), (flops.get(named(dispatch.label)) ?? 0) + dispatch.flops);
  const all = [...flops.values()].reduce((sum, count) => sum + count, 0);
  const largest = [...flops].sort((a, b) => b[1] - a[1]).slice(0, 10);
  console.log(
    `\n${family}, ${run.workload}\n\n| kernel | share of flops | VGPRs | subgroups a SIMD | inverse throughput |`,
  );
  console.log('| --- | --- | --- | --- | --- |');
  for (const [label, count] of largest) {
    const of = run.pipelines.filter((pipeline) => named(pipeline.label) === label);
    const figure = (name) => [...new Set(of.map((pipeline) => pipeline[name]))].join(', ');
    const share = `${((100 * count) / all).toFixed(1)} %`;
    console.log(`| ${label} | ${share} | ${figure('vgprs')} | ${figure('occupancy')} | ${figure('throughput')} |`);
  }
}

const folder = mkdtempSync(join(tmpdir(), 'linbp-amd-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
const env = prepare(folder);
const table = existsSync(tablePath) ? JSON.parse(readFileSync(tablePath, 'utf8')) : {};
const bad = [];
for (const family of families) {
  const began = performance.now();
  const { code, text } = await compile(family, env, folder);
  const runs = readRun(text);
  const incomplete = runs.length < workloads.length || runs.some(({ complete }) => !complete);
  if (runs.length === 0 && !text.includes('@@pipeline') && /is no AMD GPU|No GPU/.test(text))
    skip(`this Mesa does not compile for ${family} (25.0 does; 26 no longer knows RADV_FORCE_FAMILY)`);
  const faults = runs.flatMap(({ workload, pipelines }) =>
    pipelines.flatMap((pipeline) => faultsOf(pipeline).map((fault) => `${workload}: ${pipeline.label}: ${fault}`)),
  );
  if (code !== 0 || incomplete) faults.push(`compiling ended with code ${code}: ${text.trim().slice(-600)}`);
  const found = throughputs(runs);
  const { risen, fresh } = compareWith(table[family], found);
  if (options.update) table[family] = { ...table[family], ...found };
  else faults.push(...risen);
  const count = runs.reduce((sum, { pipelines }) => sum + pipelines.length, 0);
  const seconds = ((performance.now() - began) / 1000).toFixed(0);
  console.log(
    `${family}: ${count} pipelines in ${seconds} s, ${faults.length} faults, ${fresh} kernels not in the table`,
  );
  for (const fault of [...new Set(faults)].slice(0, 40)) console.log(`  ${fault}`);
  if (options.update) for (const rise of risen) console.log(`  now in the table: ${rise}`);
  if (options.figures) printFigures(family, runs);
  bad.push(...faults);
}
if (options.update) writeFileSync(tablePath, formatTable(table));
console.log('This is what a compiler says. Results and times are not shown by it.');
process.exitCode = bad.length === 0 ? 0 : 1;
