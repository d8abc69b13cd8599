import { check } from '../errors.js';
import { ensureWritableFile, writeFileAtomic } from '../io/atomic.js';
import type { Program } from '../program/program.js';
import { measureCeilings } from '../profile/ceilings.js';
import { dotOf, printGraph, printPasses, printPlan, printProgram } from '../profile/print.js';
import { profileInTurns, profileProgram } from '../profile/profile.js';
import type { DispatchProfile, Profile } from '../profile/profile.js';
import { describeShader, fitsKernel } from '../profile/shader.js';
import { formatProfile } from '../profile/table.js';
import { traceOf } from '../profile/trace.js';
import { formatTurns, timeInTurns } from '../profile/turns.js';
import type { StepTimes } from '../profile/turns.js';
import { createWorkload } from '../profile/workloads.js';
import type { Workload, WorkloadOptions } from '../profile/workloads.js';
import type { PlannedProgram } from '../report/index.js';
import { splitRules } from './ruleList.js';
import type { Device } from '../runtime/device.js';
import { choiceName, problemsOf, tuneProgram, TuningTable } from '../tune/index.js';
import type { TunedProblem } from '../tune/index.js';
import {
  chosenModel,
  chosenRules,
  chosenWeights,
  compileProgress,
  deviceOptions,
  stepBatchOption,
  ruleHelp,
  ruleNeeded,
  whatOption,
  modelOptions,
  openDevice,
  precisionOption,
  shownAdapter,
} from './common.js';
import { expectOnce, integer, openFlag, text } from './options.js';
import type { OptionValues } from './options.js';
import { packageVersion } from '../version.js';
import { didYouMean } from '../names.js';
import { defineVerb } from './verb.js';
import type { VerbContext } from './verb.js';

const views = ['graph', 'passes', 'plan', 'program'] as const;

const options = {
  ...modelOptions,
  rule: text({
    help: `${ruleHelp}; several, joined by commas, in turns`,
    placeholder: 'RULE,..',
    byDefault: 'bp,linbp',
  }),
  ...whatOption,
  ...precisionOption,
  ...stepBatchOption,
  repeats: integer({ help: 'timed runs, of which medians are taken', byDefault: 7, min: 1, max: 1000 }),
  turns: openFlag(
    'also time whole steps of the rules alternately (default with several); --no-turns frees each before the next',
  ),
  ceilings: openFlag('measure copy bandwidth and best matmul first (default); --no-ceilings skips this'),
  shader: text({
    help: 'show a kernel instead, such as gemm/convRows: linked WGSL, constants, candidates',
    placeholder: 'NAME',
  }),
  print: text({ help: `print instead: ${views.join(', ')}`, placeholder: 'VIEW' }),
  dot: text({ help: 'write the graph of the first rule for Graphviz', placeholder: 'FILE' }),
  html: text({ help: 'write a report', placeholder: 'FILE' }),
  trace: text({ help: 'write a trace for Perfetto and chrome://tracing', placeholder: 'FILE' }),
  ...deviceOptions,
} as const;

type ProfileValues = OptionValues<typeof options>;

type View = (typeof views)[number];

function printView(program: Program, view: View, width: number): string {
  const { schedule } = program;
  switch (view) {
    case 'graph':
      return printGraph(schedule.graph, schedule.places, width);
    case 'passes':
      return printPasses(schedule, width);
    case 'plan':
      return printPlan(program, width);
    case 'program':
      return printProgram(program, width);
  }
}

interface ShaderContext {
  readonly repeats: number;
  readonly signal: AbortSignal;
  readonly onProgress: (done: number, total: number, what: string) => void;
}

/** What `--shader` shows. */
interface ShaderReport {
  /** Where a kernel runs, its figures and its linked WGSL. */
  readonly description: string;
  /** The times of its dispatches. */
  readonly dispatches: readonly DispatchProfile[];
  /** The candidates for each product that it computes. */
  readonly candidates: readonly TunedProblem[];
}

async function reportShader(
  { program, segments, row }: Workload,
  name: string,
  context: ShaderContext,
): Promise<ShaderReport> {
  const description = describeShader(program, name);
  const { dispatches } = await profileProgram(program, { segments, row, repeats: context.repeats });
  const mine = dispatches.filter((dispatch) => fitsKernel(`${dispatch.kernel} ${dispatch.variant}`.trim(), name));
  return { description, dispatches: mine, candidates: await timeCandidates(program, name, context) };
}

/** Candidates for the products that a kernel computes, each checked against the reference and timed. */
async function timeCandidates(
  program: Program,
  name: string,
  { repeats, signal, onProgress }: ShaderContext,
): Promise<readonly TunedProblem[]> {
  const fitting = [...problemsOf(program)].filter(([, { source }]) =>
    fitsKernel(`${source.kernel} ${source.variant}`.trim(), name),
  );
  if (fitting.length === 0) return [];
  const only = new Set(fitting.map(([key]) => key));
  return tuneProgram(program, { table: new TuningTable(), only, rounds: Math.max(3, repeats), signal, onProgress });
}

function candidateLines({ key, layer, op, usual, candidates }: TunedProblem): string[] {
  return [
    '',
    `candidates for ${layer || '(no layer)'}, ${op}: ${key}`,
    ...[...candidates]
      .sort((left, right) => (left.microseconds ?? Infinity) - (right.microseconds ?? Infinity))
      .map((candidate) => {
        const time =
          candidate.refused ??
          `${candidate.microseconds!.toFixed(1)} us, ${candidate.error.toExponential(1)} from the reference`;
        return `  ${choiceName(candidate.choice)}: ${time}${candidate.choice === usual ? ' (runs here)' : ''}`;
      }),
  ];
}

function shaderText({ description, dispatches, candidates }: ShaderReport): string {
  const times = dispatches.map(
    ({ variant, layer, direction, microseconds, gflops }) =>
      `  ${variant || '(plain)'}, ${layer}, ${direction}: ${microseconds.toFixed(1)} us, ${gflops.toFixed(2)} GFLOP/s`,
  );
  return [description, '', 'times in this program', ...times, ...candidates.flatMap(candidateLines)].join('\n');
}

async function writeReport(
  path: string,
  values: ProfileValues,
  device: Device,
  { profiled, turns }: ProfiledRules,
): Promise<void> {
  // The charting library is loaded only where something is drawn.
  const report = await import('../report/index.js');
  const { comparisonTable, turnsTable, facts, figures, machineFacts, page, pageFooter, profileBody } = report;
  const { profileSentences, ruleLayerChart, ruleName, verdictList } = report;
  const profiles = profiled.map(({ profile }) => profile);
  const work = { train: 'a training step', attack: 'a PGD step', forward: 'a forward pass' }[values.what];
  const comparison = [
    comparisonTable(profiles),
    ...(turns.length === 0 ? [] : [turnsTable(turns)]),
    figures([{ figure: ruleLayerChart(profiles), caption: 'Time by layer and rule' }]),
  ];
  await writeFileAtomic(
    path,
    page({
      title: `Profile of ${values.model}`,
      subtitle: `${work} at batch ${values.batch} on ${device.adapterInfo.description}`,
      sections: [
        { title: 'What was found', body: verdictList(profileSentences(profiles, turns, work)) },
        ...(profiles.length > 1 ? [{ title: 'Comparison', body: comparison.join('\n') }] : []),
        ...profiled.map(({ profile, program }) => ({
          title: ruleName(profile.label),
          body: profileBody(profile, program),
        })),
        { title: 'Machine', body: facts(machineFacts(device.adapterInfo, packageVersion())) },
      ],
      footer: pageFooter('profile'),
    }),
  );
}

interface Profiled {
  readonly profile: Profile;
  /** Of the program, which is destroyed by then. */
  readonly program: PlannedProgram;
}

interface ProfiledRules {
  readonly profiled: readonly Profiled[];
  /** Empty for a single rule and with `--no-turns`. */
  readonly turns: readonly StepTimes[];
}

/**
 * Profiles the rules in turns and then times whole steps of all of them in turns, the first once more as a control;
 * with `--no-turns` one rule after another.
 */
async function profileRules(
  values: ProfileValues,
  rules: readonly string[],
  workloads: Omit<WorkloadOptions, 'rule'>,
  context: VerbContext,
): Promise<ProfiledRules> {
  const { progress, print, signal } = context;
  const { repeats, what } = values;
  if (values.ceilings !== false) progress.line('measuring copy bandwidth and matmul');
  const ceilings = values.ceilings === false ? undefined : await measureCeilings(workloads.device);
  const profiled: Profiled[] = [];
  const inTurns = (values.turns ?? true) && rules.length > 1;
  const kept: (Workload & { readonly label: string })[] = [];
  const profileKept = async (): Promise<void> => {
    const takers = kept.map(({ program, segments, row, label }) => ({
      program,
      options: { segments, row, repeats, label, ...(ceilings && { ceilings }) },
    }));
    for (const [index, profile] of (await profileInTurns(takers)).entries()) {
      const { plan, schedule } = takers[index]!.program;
      print(formatProfile(profile, context.width));
      print('');
      profiled.push({ profile, program: { plan, schedule } });
    }
  };
  try {
    for (const rule of rules) {
      if (signal.aborted) break;
      progress.line(`${inTurns ? 'compiling' : 'profiling'} ${what} under ${rule}`);
      kept.push({ ...(await createWorkload(what, { ...workloads, rule })), label: rule });
      progress.clear();
      if (inTurns) continue;
      await profileKept();
      kept.pop()!.destroy();
    }
    if (inTurns && kept.length > 0) {
      progress.line(`profiling ${what} under ${kept.map(({ label }) => label).join(' and ')} in turns`);
      await profileKept();
    }
    // The first once more, which shows how far apart equal programs come out.
    const takers = [
      ...kept,
      ...kept.slice(0, 1).map((first) => ({ ...first, label: `${first.label} again (control)` })),
    ];
    const turns = inTurns && !signal.aborted ? await timeInTurns(takers, repeats) : [];
    if (turns.length > 0) print(formatTurns(turns, repeats, context.width));
    return { profiled, turns };
  } finally {
    for (const workload of kept) workload.destroy();
  }
}

/** What is looked at instead of timed, as printed and for `--json`. */
interface Looked {
  /** By name of the view. */
  readonly printed?: Readonly<Record<string, string>>;
  readonly shader?: ShaderReport;
}

/** Looks at the first rule's program: writes its graph, prints a view of it, shows one of its kernels. */
async function look(
  values: ProfileValues,
  rule: string,
  workloads: Omit<WorkloadOptions, 'rule'>,
  { print, progress, signal, width }: VerbContext,
): Promise<Looked> {
  const { dot, print: view, shader, repeats, what } = values;
  progress.line(`looking at ${what}${what === 'forward' ? '' : ` under ${rule}`}`);
  const workload = await createWorkload(what, { ...workloads, rule });
  progress.clear();
  try {
    const { program } = workload;
    if (dot !== undefined) await writeFileAtomic(dot, dotOf(program.schedule.graph));
    const shown = (width: number): string => printView(program, view as View, width);
    const printed = view === undefined ? undefined : { [view]: shown(Infinity) };
    if (view !== undefined) print(shown(width));
    if (shader === undefined) return { ...(printed && { printed }) };
    const onProgress = (done: number, total: number, candidate: string): void =>
      progress.update('candidates', done / total, candidate);
    const report = await reportShader(workload, shader, { repeats, signal, onProgress });
    progress.clear();
    print(shaderText(report));
    return { ...(printed && { printed }), shader: report };
  } finally {
    workload.destroy();
  }
}

/**
 * Refuses what only makes sense where dispatches are timed, next to `--print` or `--shader`, which show a program
 * instead. Throws `unknown-option` or `bad-argument`.
 */
function checkCombination({ print, shader, html, trace, turns, ceilings }: ProfileValues): void {
  const known = print === undefined || (views as readonly string[]).includes(print);
  check(
    known,
    'unknown-option',
    `--print must be ${views.join(', ')}; got "${print}"${didYouMean(print ?? '', views)}`,
    'print',
  );
  const instead = print !== undefined ? '--print' : shader !== undefined ? '--shader' : undefined;
  if (instead === undefined) return;
  const timed = Object.entries({ html, trace, turns: turns === true, ceilings: ceilings === true }).find(
    ([, given]) => given !== undefined && given !== false,
  );
  check(
    timed === undefined,
    'bad-argument',
    `--${timed?.[0]} needs the times of a whole step, and ${instead} shows a program instead`,
    timed?.[0] ?? '',
  );
}

/** `linbp profile`: per-shader times, and what the compiler made of a model. */
export const profileVerb = defineVerb({
  name: 'profile',
  summary: 'times every shader of a step, and shows graph, passes, plan, program and WGSL',
  examples: [
    'linbp profile --model lenet5 --rule bp,linbp --html profile.html',
    'linbp profile --model lenet5 --what attack --print plan',
  ],
  options,
  needs: ruleNeeded,
  notes: [
    '',
    'Times are GPU timestamps where the device has them. --trace opens in ui.perfetto.dev; --dot is for "dot -Tsvg".',
  ],
  async run(values, context) {
    const definition = await chosenModel(values);
    const rules =
      values.what === 'forward' ? ['bp'] : splitRules(values.rule).map((rule) => chosenRules(rule, definition).written);
    checkCombination(values);
    expectOnce(rules, 'rule');
    check(
      values.turns !== true || rules.length > 1,
      'bad-argument',
      '--turns compares several rules, such as --rule bp,linbp',
      'turns',
    );
    for (const path of [values.dot, values.html, values.trace]) if (path !== undefined) await ensureWritableFile(path);
    const weights = await chosenWeights(definition, values, context.progress);
    const device = await openDevice(values);
    try {
      const onCompile = compileProgress(context.progress);
      const workloads = { device, definition, weights, batch: values.batch, precision: values.precision, onCompile };
      const result = { adapter: shownAdapter(device), settings: { rules } };
      const looking = values.print !== undefined || values.shader !== undefined;
      const looked = looking || values.dot !== undefined ? await look(values, rules[0]!, workloads, context) : {};
      if (looking) return { ...result, interrupted: context.signal.aborted, fields: { ...looked } };
      const results = await profileRules(values, rules, workloads, context);
      const profiles = results.profiled.map(({ profile }) => profile);
      if (values.trace !== undefined) await writeFileAtomic(values.trace, JSON.stringify(traceOf(profiles)));
      if (values.html !== undefined && profiles.length > 0) await writeReport(values.html, values, device, results);
      // The fields of the first rule stand at the top, those of all rules in `profiles`.
      return {
        ...result,
        interrupted: context.signal.aborted,
        fields: { ...profiles[0], profiles, turns: results.turns },
      };
    } finally {
      device.destroy();
    }
  },
});
