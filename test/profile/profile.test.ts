import { expect } from 'chai';
import type { LinbpError } from '../../src/errors.js';
import { Graph } from '../../src/graph/graph.js';
import { initialState } from '../../src/nn/model.js';
import { modelDefinition } from '../../src/nn/zoo/index.js';
import { splitRules } from '../../src/cli/ruleList.js';
import { dotOf, printGraph, printPlan, printProgram } from '../../src/profile/print.js';
import { profileInTurns, profileProgram } from '../../src/profile/profile.js';
import type { Profile } from '../../src/profile/profile.js';
import { describeShader } from '../../src/profile/shader.js';
import { formatProfile } from '../../src/profile/table.js';
import { bytesText, digits, durationText, textTable } from '../../src/profile/textTable.js';
import { middleRun } from '../../src/profile/unprofiled.js';
import { traceOf } from '../../src/profile/trace.js';
import { formatTurns, timeInTurns } from '../../src/profile/turns.js';
import type { StepTimes } from '../../src/profile/turns.js';
import { createWorkload } from '../../src/profile/workloads.js';
import type { Workload } from '../../src/profile/workloads.js';
import { Program } from '../../src/program/program.js';
import { Device } from '../../src/runtime/device.js';
import type { PipelineRequest } from '../../src/runtime/pipelines.js';
import { sharedDevice } from '../support/device.js';

/** Work that no compiler can take out, in front of a kernel's own; uniform, so that barriers stay legal. */
function slowed(code: string): string {
  const waste =
    '{ var waste = 1u; for (var i = 0u; i < 1500000u; i++) { waste ^= waste << 13u; waste ^= waste >> ' +
    '17u; waste ^= waste << 5u; } if (waste == 0u) { return; } }';
  const slow = code.replace(/(fn main\([\s\S]*?\)\s*\{)/, `$1\n  ${waste}\n`);
  expect(slow).to.not.equal(code);
  return slow;
}

/** Runs `body` on a device that compiles pipelines of this kernel with wasted work. */
async function withSlowKernel<T>(device: Device, kernel: string, body: () => Promise<T>): Promise<T> {
  const pipeline = device.pipeline.bind(device);
  device.pipeline = (request: PipelineRequest) =>
    pipeline(request.label?.startsWith(kernel) === true ? { ...request, code: slowed(request.code) } : request);
  try {
    return await body();
  } finally {
    device.pipeline = pipeline;
  }
}

const definition = modelDefinition('mlp');
const weights = initialState(definition, 1);

describe('profiler', () => {
  let device: Device;
  let workload: Workload;
  let profile: Profile;

  before(async () => {
    device = await sharedDevice();
    workload = await createWorkload('train', { device, definition, weights, rule: 'bp', batch: 8 });
    const { program, segments, row } = workload;
    profile = await profileProgram(program, { segments, row, repeats: 3, label: 'bp' });
  });
  after(() => workload?.destroy());

  it('tells how far it is, and stops where the signal fires', async () => {
    const graph = new Graph();
    const x = graph.input('x', [4]);
    graph.output('y', graph.one('unary', [x], { kind: 'relu' }));
    const program = await Program.compile(graph, { device: await sharedDevice() });
    const stop = new AbortController();
    const told: (readonly [number, number])[] = [];
    const onProgress = (done: number, total: number): void => {
      told.push([done, total]);
      if (told.length === 5) stop.abort();
    };
    await profileProgram(program, { repeats: 2, onProgress, signal: stop.signal });
    expect(told).to.deep.equal([1, 2, 3].map((done) => [done, 3]));
    const failed = await profileProgram(program, { repeats: 9, onProgress, signal: stop.signal }).then(
      () => 'nothing',
      (error: LinbpError) => error.code,
    );
    expect(failed).to.equal('aborted');
    expect(told).to.have.length(5);
    program.destroy();
  });

  it('sums dispatches and gaps to last end minus first begin', () => {
    expect(profile.dispatches).to.have.length(workload.program.dispatches.length);
    expect(profile.passMicroseconds + profile.gapMicroseconds).to.be.closeTo(profile.spanMicroseconds, 1e-6);
    const inside = profile.dispatches.reduce(
      (sum, { beginMicroseconds, endMicroseconds }) => sum + endMicroseconds - beginMicroseconds,
      0,
    );
    expect(inside).to.be.closeTo(profile.passMicroseconds, 1e-6);
    expect(profile.dispatches.at(-1)!.endMicroseconds).to.be.closeTo(profile.spanMicroseconds, 1e-9);
    expect(profile.wallMicroseconds).to.be.closeTo(
      profile.encodeMicroseconds + profile.submitMicroseconds + profile.waitMicroseconds,
      1e-6,
    );
    if (device.features.has('timestamp-query')) expect(profile.method).to.equal('timestamps');
  });

  it('takes wall time from one run, as the sum of the medians of its parts may be longer than any run', () => {
    const runs = [
      [9, 1, 2],
      [1, 9, 3],
      [4, 3, 3],
      [9, 9, 1],
      [1, 1, 9],
    ] as const;
    expect(middleRun(runs)).to.deep.equal([9, 1, 2]);
    expect(middleRun(runs.slice(1, 3))).to.deep.equal([4, 3, 3]);
  });

  it('takes turns with that of another program', async () => {
    const { program, segments, row } = workload;
    const other = await createWorkload('forward', { device, definition, weights, rule: 'bp', batch: 8 });
    try {
      const order: number[] = [];
      const watched = (each: Program, name: number): Program =>
        new Proxy(each, {
          get(target, key) {
            const value: unknown = Reflect.get(target, key, target);
            if (key !== 'encode') return typeof value === 'function' ? (value.bind(target) as unknown) : value;
            return (...args: Parameters<Program['encode']>) => {
              if (order.at(-1) !== name) order.push(name);
              target.encode(...args);
            };
          },
        });
      const takers = [
        { program: watched(program, 0), options: { segments, row, repeats: 3, label: 'step' } },
        {
          program: watched(other.program, 1),
          options: { segments: other.segments, row: other.row, repeats: 2, label: 'forward' },
        },
      ];
      const found = await profileInTurns(takers);
      expect(order).to.deep.equal([0, 1, 0, 1, 0, 1, 0]);
      expect(found.map(({ label, repeats }) => [label, repeats])).to.deep.equal([
        ['step', 3],
        ['forward', 2],
      ]);
      expect(found[0]!.dispatches.map(({ layer }) => layer)).to.deep.equal(
        profile.dispatches.map(({ layer }) => layer),
      );
      const before = device.counters.submits;
      const wrong = { program, options: { repeats: 0 } };
      const error = await profileInTurns([takers[0]!, wrong]).then(
        () => undefined,
        (thrown: unknown) => thrown as LinbpError,
      );
      expect(error?.code).to.equal('bad-range');
      expect(device.counters.submits, 'before anything runs').to.equal(before);
    } finally {
      other.destroy();
    }
  });

  it('times the segments it is told', async () => {
    const own = await profileProgram(workload.program, {
      repeats: 1,
      row: workload.row,
      segments: workload.segments,
    });
    expect(own.dispatches.map(({ kernel, layer }) => `${kernel} ${layer}`)).to.deep.equal(
      profile.dispatches.map(({ kernel, layer }) => `${kernel} ${layer}`),
    );
    expect(own.spanMicroseconds).to.be.above(0);
  });

  it('has the same totals by layer, kernel and direction', () => {
    for (const totals of [profile.byLayer, profile.byKernel, profile.byDirection]) {
      expect(totals.reduce((sum, total) => sum + total.microseconds, 0)).to.be.closeTo(
        profile.medianMicroseconds,
        1e-6,
      );
      expect(totals.reduce((sum, total) => sum + total.dispatches, 0)).to.equal(profile.dispatches.length);
    }
    for (const dispatch of profile.dispatches) {
      expect(dispatch.microseconds).to.be.within(dispatch.minMicroseconds, dispatch.maxMicroseconds);
      if (dispatch.microseconds > 0)
        expect(dispatch.gflops).to.be.closeTo(dispatch.flops / dispatch.microseconds / 1e3, 1e-9);
    }
    expect(profile.dispatches.map((dispatch) => dispatch.rule)).to.include('bp');
  });

  it('names a kernel that was slowed on purpose first', async () => {
    for (const kernel of ['loss/lossBackward', 'reduce/record']) {
      const found = await withSlowKernel(device, kernel, async () => {
        const slow = await createWorkload('train', { device, definition, weights, rule: 'bp', batch: 8 });
        try {
          return await profileProgram(slow.program, { segments: slow.segments, repeats: 3 });
        } finally {
          slow.destroy();
        }
      });
      expect(found.byKernel[0]!.name).to.equal(kernel);
      const longest = [...found.dispatches].sort((left, right) => right.microseconds - left.microseconds)[0]!;
      expect(longest.kernel).to.equal(kernel);
    }
  });

  it('prints every dispatch and both sides of the sum', () => {
    const lines = formatProfile(profile).split('\n');
    for (const dispatch of profile.dispatches) {
      expect(
        lines.some((line) => line.includes(dispatch.kernel) && line.includes(dispatch.microseconds.toFixed(1))),
      ).to.equal(true);
    }
    expect(formatProfile(profile)).to.include(`${profile.spanMicroseconds.toFixed(3)} us`);
  });

  it('times whole steps in turns: the first is its own measure, and a slower program is found', async () => {
    const linear = await createWorkload('train', { device, definition, weights, rule: 'linbp', batch: 8 });
    const slow = await withSlowKernel(device, 'loss/lossBackward', () =>
      createWorkload('train', { device, definition, weights, rule: 'bp', batch: 8 }),
    );
    try {
      const takers = Object.entries({ bp: workload, linbp: linear, slow }).map(([label, each]) => ({ label, ...each }));
      const [bp, linbp, slower] = (await timeInTurns(takers, 3)) as [StepTimes, StepTimes, StepTimes];
      expect([bp.ratio, bp.minRatio, bp.maxRatio]).to.deep.equal([1, 1, 1]);
      for (const each of [bp, linbp, slower]) {
        expect(each.minMicroseconds).to.be.above(0).and.at.most(each.microseconds);
        expect(each.microseconds).to.be.at.most(each.maxMicroseconds);
        expect(each.ratio).to.be.within(each.minRatio, each.maxRatio);
      }
      expect(slower.minRatio).to.be.above(1);
      expect(linbp.dispatches).to.be.at.most(bp.dispatches);
      expect(linbp.savedForBackwardBytes).to.be.below(bp.savedForBackwardBytes);
      expect(linbp.planBytes).to.be.at.most(bp.planBytes);
      const lines = formatTurns([bp, linbp], 3).split('\n');
      expect(lines[0]).to.contain('medians of 3 rounds');
      expect(lines[1]).to.contain('of bp');
      expect(lines.slice(3).map((line) => line.split(' ')[0])).to.deep.equal(['bp', 'linbp']);
    } finally {
      linear.destroy();
      slow.destroy();
    }
  });

  it('makes a trace with a row per layer and an arrow into the backward', () => {
    const trace = JSON.parse(JSON.stringify(traceOf([profile]))) as ReturnType<typeof traceOf>;
    const slices = trace.traceEvents.filter((event) => event.ph === 'X');
    expect(slices).to.have.length(profile.dispatches.length);
    expect(slices.every((event) => event.dur! >= 0 && event.ts! >= 0)).to.equal(true);
    const names = trace.traceEvents.filter((event) => event.name === 'thread_name').map((event) => event.args!['name']);
    expect(names).to.include('layer1.0');
    const [starts, ends] = ['s', 'f'].map((phase) => trace.traceEvents.filter((event) => event.ph === phase));
    expect(starts!.length).to.be.greaterThan(2);
    for (const start of starts!) {
      const end = ends!.find((event) => event.id === start.id)!;
      expect(end.ts!).to.be.greaterThan(start.ts!);
      for (const event of [start, end]) {
        expect(
          slices.some(
            (slice) => slice.tid === event.tid && slice.ts! <= event.ts! && event.ts! <= slice.ts! + slice.dur!,
          ),
        ).to.equal(true);
      }
    }
  });

  it('makes a trace whose slices and gaps fill the time between its ends', () => {
    const slices = traceOf([profile]).traceEvents.filter((event) => event.ph === 'X');
    const inOrder = [...slices].sort((left, right) => left.ts! - right.ts!);
    const begin = Math.min(...slices.map(({ ts }) => ts!));
    const end = Math.max(...slices.map(({ ts, dur }) => ts! + dur!));
    const inside = slices.reduce((sum, { dur }) => sum + dur!, 0);
    const gaps = inOrder.slice(1).reduce((sum, { ts }, i) => sum + ts! - (inOrder[i]!.ts! + inOrder[i]!.dur!), 0);
    expect(end - begin).to.be.closeTo(inside + gaps, 1e-6);
    expect(inside).to.be.closeTo(profile.passMicroseconds, 1e-6);
    expect(gaps).to.be.closeTo(profile.gapMicroseconds, 1e-6);
    expect(end - begin).to.be.closeTo(profile.spanMicroseconds, 1e-6);
    // What the Trace Event format asks for, so that viewers open it.
    for (const event of traceOf([profile, profile]).traceEvents) {
      expect(event.name).to.be.a('string');
      expect(Number.isInteger(event.pid) && Number.isInteger(event.tid)).to.equal(true);
      if (event.ph !== 'M') expect(Number.isFinite(event.ts)).to.equal(true);
    }
    expect(new Set(traceOf([profile, profile]).traceEvents.map(({ pid }) => pid)).size).to.equal(2);
  });

  it('prints graph, passes, plan, program and shaders', () => {
    const { program } = workload;
    const { graph } = program.schedule;
    for (const node of graph.nodes) expect(printGraph(graph)).to.include(`${node.op}(`);
    expect(printPlan(program)).to.include(bytesText(program.plan.bytes));
    for (const { source } of program.dispatches) expect(printProgram(program)).to.include(source.kernel);
    const dot = dotOf(graph);
    expect(dot.match(/[{]/g)!.length).to.equal(dot.match(/[}]/g)!.length);
    const kernel = program.dispatches.find(({ source }) => source.kernel.startsWith('gemm/'))!.source;
    const shown = describeShader(program, kernel.kernel);
    expect(shown)
      .to.include('workgroup size')
      .and.to.match(/\n *1 {2}/);
    expect(() => describeShader(program, 'nothing/such')).to.throw(/no kernel "nothing\/such"/);
  });

  it('refuses repeats, rows and segments that cannot be meant', async () => {
    const codes = [];
    for (const options of [{ repeats: 0 }, { row: 1e6 }, { segments: ['elsewhere'] }]) {
      codes.push(await profileProgram(workload.program, options).catch((error: { code: string }) => error.code));
    }
    expect(codes).to.deep.equal(['bad-range', 'bad-range', 'bad-argument']);
  });

  it('falls back to wall clock and says so', async () => {
    using plain = await Device.open({ features: [] });
    const graph = new Graph();
    const a = graph.input('a', [96, 96]);
    graph.output('c', graph.one('matmul', [a, a], { transposeA: false, transposeB: false }));
    using program = await Program.compile(graph, { device: plain });
    const found = await profileProgram(program, { repeats: 2 });
    expect(found.method).to.equal('wall-clock');
    expect(formatProfile(found)).to.include('no timestamp-query');
  });
});

describe('profiler text', () => {
  it('aligns tables', () => {
    const rows = [
      { name: 'a', value: 5 },
      { name: 'longer', value: 1234 },
    ];
    const table = textTable<(typeof rows)[number]>(
      [
        { title: 'name', value: (row) => row.name },
        { title: 'n', value: (row) => String(row.value), align: 'right' },
      ],
      rows,
    );
    expect(table).to.equal('name       n\n------  ----\na          5\nlonger  1234');
  });

  it('writes numbers with a steady number of digits', () => {
    expect([1234.5, 123.45, 12.345, 1.2345, 0.5].map((value) => digits(value))).to.deep.equal([
      '1235',
      '123.5',
      '12.35',
      '1.234',
      '0.500',
    ]);
    expect(bytesText(1536)).to.equal('1.5 KiB');
    expect([12.3, 4560, 7.89e6].map(durationText)).to.deep.equal(['12.3 us', '4.56 ms', '7.89 s']);
  });

  it('splits lists of rules at rule names only', () => {
    expect(splitRules('bp,linbp:from=3_1,match=block,lambda=1,leaky:a=0.5')).to.deep.equal([
      'bp',
      'linbp:from=3_1,match=block,lambda=1',
      'leaky:a=0.5',
    ]);
    expect(splitRules('bp,linpb,leaky:a=0.5')).to.deep.equal(['bp', 'linpb', 'leaky:a=0.5']);
    expect(splitRules('linbp:only=fc.1,fc.3+silu,bp')).to.deep.equal(['linbp:only=fc.1,fc.3+silu', 'bp']);
  });
});
