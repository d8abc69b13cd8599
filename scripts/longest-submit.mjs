/**
 * Times the submits of a network's training and attack steps: nothing that the device does at a stretch may take so
 * long that a driver's watchdog ends it, or that nothing else gets a turn. Needs a build.
 *
 *   node scripts/longest-submit.mjs [--model NAME] [--batch N] [--what train,attack] [--steps N] [--most MS]
 *       [--dispatches] [--json FILE]
 *
 * By default one step each of ResNet-50 at batch 8 is timed, after two that compile and measure. With `--most`, exit
 * code 1 where a submit took longer. `--dispatches` lists the longest dispatches too.
 */
import { writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';

const { values: options } = parseArgs({
  options: {
    model: { type: 'string', default: 'resnet50_imagenet' },
    batch: { type: 'string', default: '8' },
    what: { type: 'string', default: 'train,attack' },
    steps: { type: 'string', default: '1' },
    most: { type: 'string' },
    dispatches: { type: 'boolean', default: false },
    json: { type: 'string' },
  },
});
const dist = (path) => import(new URL(`../dist/src/${path}.js`, import.meta.url));
const { Device, initialState, modelDefinition } = await dist('index');
const { createWorkload } = await dist('profile/workloads');

const batch = Number(options.batch);
const device = await Device.open();
const definition = modelDefinition(options.model);
const weights = initialState(definition, 0);
const results = [];

const cores = availableParallelism();

/**
 * The submits of one step in milliseconds, by the clock and by the processors' time over their number, which is what
 * they take on a quiet machine that computes on its CPU; with the step's own time and the processors'.
 */
async function step({ program, segments, row }) {
  const submits = [];
  const [began, processor] = [performance.now(), process.cpuUsage()];
  let last = processor;
  await program.run(
    segments.map((segment) => ({ segment, row })),
    {
      onSubmitted: (milliseconds) => {
        const { user, system } = process.cpuUsage(last);
        last = process.cpuUsage();
        submits.push({ milliseconds, quiet: (user + system) / 1e3 / cores });
      },
    },
  );
  const milliseconds = performance.now() - began;
  const { user, system } = process.cpuUsage(processor);
  return { submits, milliseconds, processorMilliseconds: (user + system) / 1e3 };
}

/**
 * The dispatches that take most of the processors' time, each submitted alone, which other load does not change much.
 */
async function longestDispatches({ program, segments, row }) {
  const times = [];
  for (const dispatch of segments.flatMap((segment) => program.segmentDispatches(segment))) {
    const before = process.cpuUsage();
    program.submitOne(dispatch, row);
    await device.idle();
    const { user, system } = process.cpuUsage(before);
    times.push({ dispatch, milliseconds: (user + system) / 1e3 });
  }
  return times
    .sort((a, b) => b.milliseconds - a.milliseconds)
    .slice(0, 15)
    .map(({ dispatch: { source }, milliseconds }) => ({
      kernel: `${source.kernel} ${source.variant}`,
      layer: `${source.group.anchor.layer} ${source.group.anchor.direction}`,
      processorMs: number(milliseconds),
      gigaflops: number(source.flops / milliseconds / 1e6),
      operations: Math.round(source.flops),
      bytes: Math.round(source.bytes),
      workgroups: source.workgroups.join('x'),
    }));
}

const number = (value) => Number(value.toFixed(1));
for (const kind of options.what.split(',')) {
  const workload = await createWorkload(kind, { device, definition, weights, rule: 'bp', batch });
  await step(workload);
  const steps = [];
  for (let count = 0; count < Number(options.steps); count++) steps.push(await step(workload));
  const submits = steps.flatMap((each) => each.submits);
  const sorted = (of) => submits.map(of).sort((a, b) => b - a);
  const [clock, quiet] = [sorted(({ milliseconds }) => milliseconds), sorted((each) => each.quiet)];
  const result = {
    what: kind,
    model: options.model,
    batch,
    adapter: device.adapterInfo.description,
    steps: steps.length,
    dispatches: workload.program.dispatches.length,
    submits: submits.length,
    longestSubmitMs: number(clock[0]),
    medianSubmitMs: number(clock[clock.length >> 1]),
    longestSubmitProcessorMs: number(quiet[0]),
    stepMs: number(steps.reduce((sum, { milliseconds }) => sum + milliseconds, 0) / steps.length),
    processorMs: number(
      steps.reduce((sum, { processorMilliseconds }) => sum + processorMilliseconds, 0) / steps.length,
    ),
  };
  if (options.dispatches) result.longestDispatches = await longestDispatches(workload);
  workload.destroy();
  results.push(result);
  console.log(
    `${kind} step of ${options.model}, batch ${batch}: ${result.submits} submits of ${result.dispatches} dispatches, ` +
      `longest ${result.longestSubmitMs} ms, median ${result.medianSubmitMs} ms, ` +
      `longest by ${cores} processors' time ${result.longestSubmitProcessorMs} ms; ` +
      `step ${result.stepMs} ms, ${result.processorMs} ms of processors`,
  );
  for (const each of result.longestDispatches ?? [])
    console.log(
      `  ${each.processorMs} ms of processors  ${each.gigaflops} GFLOP/s  ${each.operations / 1e6} M  ` +
        `${each.workgroups}  ${each.kernel}  ${each.layer}`,
    );
}
device.destroy();
if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(results, null, 2)}\n`);
if (options.most !== undefined && results.some(({ longestSubmitMs }) => longestSubmitMs > Number(options.most)))
  process.exitCode = 1;
