import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import type { LinbpError } from '../../src/errors.js';
import { Graph } from '../../src/graph/graph.js';
import type { Tensor } from '../../src/graph/types.js';
import { chooseAmong, orderOf, unfit } from '../../src/kernels/choice.js';
import { sumOrders } from '../../src/kernels/problem.js';
import type { KernelChoice, TuningProblem } from '../../src/kernels/problem.js';
import { bp } from '../../src/rules/builtin.js';
import { kernelDevice } from '../../src/program/kernelDevice.js';
import { Program } from '../../src/program/program.js';
import type { Device } from '../../src/runtime/device.js';
import type { PipelineRequest } from '../../src/runtime/pipelines.js';
import { candidates, refinements } from '../../src/tune/candidates.js';
import {
  deviceTuning,
  readTuning,
  setDeviceTuning,
  shippedName,
  shippedTuning,
  tuningIdentity,
  writeTuning,
} from '../../src/choices/stored.js';
import type { TuningIdentity } from '../../src/choices/stored.js';
import { agreed, choiceName, onlyChoice, problemKey, sameChoice, TuningTable } from '../../src/choices/table.js';
import type { TunedEntry } from '../../src/choices/table.js';
import { TimedProblem } from '../../src/tune/trial.js';
import { problemsOf, tuneProgram } from '../../src/tune/tuner.js';
import { randomArray, relativeError } from '../support/compare.js';
import { sharedDevice } from '../support/device.js';

const plainConv = { stride: [1, 1], padding: [1, 1, 1, 1], dilation: [1, 1], groups: 1 } as const;

/** A convolution with bias and mask, its input gradient through the mask, and its weight gradient. */
function layerGraph(batch: number): Graph {
  const graph = new Graph();
  const [x, w, b] = [
    graph.input('x', [batch, 5, 9, 9]),
    graph.parameter('w', [20, 5, 3, 3]),
    graph.parameter('b', [20]),
  ];
  const [y, mask] = graph.add('activation', [graph.one('conv2d', [x, w, b], plainConv)], {
    kind: 'relu',
    mask: true,
  }) as [Tensor, Tensor];
  const g = graph.one('activationBackward', [graph.input('g', y.shape), mask], { kind: 'relu', rule: bp });
  graph.output('y', y);
  graph.output('dx', graph.one('conv2dInputGradient', [g, w], { ...plainConv, inputShape: x.shape }));
  const [dw, db] = graph.add('conv2dWeightGradient', [g, x], { ...plainConv, weightShape: w.shape, bias: true });
  graph.output('dw', dw!);
  graph.output('db', db!);
  return graph;
}

/** The outputs of a graph under the device's choices, for the same inputs each time. */
async function outputs(
  graph: Graph,
  device: Device,
  inputs: ReadonlyMap<Tensor, Float32Array>,
): Promise<Map<string, Float32Array>> {
  using program = await Program.compile(graph, { device });
  for (const [tensor, values] of inputs) program.write(tensor, values);
  await program.run([{ segment: 'main' }]);
  const results = new Map<string, Float32Array>();
  for (const name of graph.outputs.keys()) results.set(name, await program.read(name));
  return results;
}

const inputsOf = (graph: Graph): Map<Tensor, Float32Array> =>
  new Map(
    graph.tensors
      .filter(({ kind }) => kind !== 'value')
      .map((tensor) => [tensor, randomArray(tensor.shape.reduce((all, size) => all * size, 1))]),
  );

/** Runs `body` on a device whose pipelines of one kernel and variant are tampered with. */
async function withPipelines<T>(
  device: Device,
  change: (request: PipelineRequest) => PipelineRequest,
  body: () => Promise<T>,
): Promise<T> {
  const pipeline = device.pipeline.bind(device);
  device.pipeline = (request) => pipeline(change(request));
  try {
    return await body();
  } finally {
    device.pipeline = pipeline;
  }
}

describe('tuner', () => {
  let device: Device;
  before(async () => {
    device = await sharedDevice();
  });
  afterEach(async () =>
    setDeviceTuning(device, (await shippedTuning(tuningIdentity(device.adapterInfo))).table ?? new TuningTable()),
  );

  const matmul = (): Graph => {
    const graph = new Graph();
    graph.output(
      'c',
      graph.one('matmul', [graph.input('a', [24, 40]), graph.input('b', [40, 70])], {
        transposeA: false,
        transposeB: false,
      }),
    );
    return graph;
  };

  it('refuses a candidate whose result is wrong, however fast it is', async () => {
    setDeviceTuning(device, new TuningTable());
    using program = await Program.compile(matmul(), { device });
    const { problem, choice: usual } = [...problemsOf(program).values()][0]!.source.tuning!;
    const others = candidates(problem, usual, kernelDevice(device)).filter((choice) => !sameChoice(choice, usual));
    const poisoned = choiceName(others.find(({ kernel }) => kernel === 'gemm/conv')!).split(' share')[0]!;
    const wrong = (request: PipelineRequest): PipelineRequest =>
      request.label?.trim() === poisoned
        ? { ...request, code: request.code.replace('k < p.inner;', 'k < p.inner - 1u;') }
        : request;
    const table = new TuningTable();
    const [result] = await withPipelines(device, wrong, () => tuneProgram(program, { table, rounds: 3 }));
    const refused = result!.candidates.filter((candidate) => candidate.refused !== undefined);
    expect(refused.map(({ choice }) => choiceName(choice).split(' share')[0])).to.deep.equal([poisoned]);
    expect(refused[0]!.refused).to.include('reference');
    expect(refused[0]!.error).to.be.above(1e-3);
    expect(refused[0]!.microseconds).to.equal(undefined);
    expect(choiceName(result!.chosen)).to.not.include(poisoned);
    expect(table.entries.size).to.equal(1);
    expect(await tuneProgram(program, { table, rounds: 3 }), 'known problems are left alone').to.deep.equal([]);
  });

  it('times a repeated candidate by the mean of those behind the first', async () => {
    setDeviceTuning(device, new TuningTable());
    const problem = new TimedProblem(matmul(), device);
    using program = await Program.compile(matmul(), { device });
    const trial = await problem.trial(program.dispatches[0]!.source.tuning!.choice);
    try {
      await trial.sample();
      const before = trial.shortest;
      trial.repeat(20);
      expect(trial.microseconds).to.deep.equal([]);
      const dispatches = device.counters.dispatches;
      const mean = await trial.run();
      expect(device.counters.dispatches - dispatches).to.equal(21 * trial.program.dispatches.length);
      expect(trial.microseconds).to.deep.equal([mean]);
      // of one, not of twenty
      expect(mean)
        .to.be.above(0)
        .and.below(10 * before);
    } finally {
      trial.destroy();
      problem.destroy();
    }
  });

  it('finds a candidate that is faster by far', async () => {
    setDeviceTuning(device, new TuningTable());
    using plain = await Program.compile(matmul(), { device });
    const usual = plain.dispatches[0]!.source;
    const waste =
      'var waste = 1u; for (var i = 0u; i < 60000u; i++) { waste ^= ' +
      'waste << 13u; waste ^= waste >> 17u; waste ^= waste << 5u; }';
    const slow = (request: PipelineRequest): PipelineRequest => {
      if (request.label?.trim() !== `${usual.kernel} ${usual.variant}`.trim()) return request;
      return {
        ...request,
        code: request.code.replace(
          '  let channelGroup =',
          `  ${waste} if (waste == 0u) { return; }\n  let channelGroup =`,
        ),
      };
    };
    const result = await withPipelines(device, slow, async () => {
      using program = await Program.compile(matmul(), { device });
      return (await tuneProgram(program, { table: new TuningTable(), rounds: 3 }))[0]!;
    });
    expect(choiceName(result.usual)).to.equal(choiceName(usual.tuning!.choice));
    expect(choiceName(result.chosen)).to.not.equal(choiceName(result.usual));
    expect(result.microseconds).to.be.below(result.usualMicroseconds / 2);
  });

  it('programs use the choices, and the second and the last candidate give the results of the usual one', async () => {
    const graph = layerGraph(3);
    const inputs = inputsOf(graph);
    setDeviceTuning(device, new TuningTable());
    const usual = await outputs(graph, device, inputs);
    using program = await Program.compile(graph, { device });
    const problems = [...problemsOf(program).values()].map(({ source }) => source.tuning!);
    expect(problems.map(({ choice }) => orderOf(choice.kernel))).to.deep.equal(['rows', 'rows', 'weights']);
    const lists = problems.map(({ problem, choice }) => candidates(problem, choice, kernelDevice(device)));
    expect(Math.min(...lists.map((list) => list.length))).to.be.above(3);
    // One candidate of each list at a time, from both ends, to keep the number of pipelines down.
    for (const pick of [1, -1]) {
      const table = new TuningTable();
      for (const [index, { problem }] of problems.entries()) {
        table.set(problem, { choice: lists[index]!.at(pick)!, microseconds: 1, usualMicroseconds: 2 });
      }
      setDeviceTuning(device, table);
      using tuned = await Program.compile(graph, { device });
      const used = [...problemsOf(tuned).values()].map(({ source }) => choiceName(source.tuning!.choice));
      expect(used).to.deep.equal(lists.map((list) => choiceName(list.at(pick)!)));
      const results = await outputs(graph, device, inputs);
      for (const [name, values] of usual) expect(relativeError(results.get(name)!, values), name).to.be.below(1e-5);
    }
  });

  it('writes out loops in other ways with the same results to the bit @slow', async () => {
    const graph = layerGraph(3);
    const inputs = inputsOf(graph);
    setDeviceTuning(device, new TuningTable());
    using program = await Program.compile(graph, { device });
    const problems = [...problemsOf(program).values()].map(({ source }) => source.tuning!);
    const plain = ({ problem, choice }: (typeof problems)[number]): KernelChoice =>
      candidates(problem, choice, kernelDevice(device)).find(
        ({ kernel }) => kernel === 'gemm/conv' || kernel === 'gemm/weightGradient',
      )!;
    const lists = problems.map((tuning) => refinements(tuning.problem, plain(tuning), [], kernelDevice(device)));
    const other = lists.map((list) => list.filter(({ unroll }) => unroll !== undefined).map(({ unroll }) => unroll!));
    const ways = other[0]!;
    expect(ways.length).to.be.above(0);
    for (const list of other) expect(list).to.deep.equal(ways);
    const run = async (unroll?: KernelChoice['unroll']): Promise<Map<string, Float32Array>> => {
      const table = new TuningTable();
      for (const tuning of problems)
        table.set(tuning.problem, {
          choice: { ...plain(tuning), ...(unroll && { unroll }) },
          microseconds: 1,
          usualMicroseconds: 2,
        });
      setDeviceTuning(device, table);
      return outputs(graph, device, inputs);
    };
    const usual = await run();
    for (const unroll of ways) expect(await run(unroll), unroll).to.deep.equal(usual);
  });

  it('keeps the order of sums where that is asked for, and measures choices of another order anew @slow', async () => {
    setDeviceTuning(device, new TuningTable());
    const graph = new Graph();
    graph.output(
      'y',
      graph.one('conv2d', [graph.input('x', [1, 8, 8, 8]), graph.parameter('w', [8, 8, 3, 3])], plainConv),
    );
    using program = await Program.compile(graph, { device });
    const { problem, choice } = [...problemsOf(program).values()][0]!.source.tuning!;
    const winograd = candidates(problem, choice, kernelDevice(device)).find(
      ({ kernel }) => kernel === 'gemm/winogradF4',
    )!;
    const table = new TuningTable();
    table.set(problem, { choice: winograd, microseconds: 1, usualMicroseconds: 2 });
    expect(await tuneProgram(program, { table, rounds: 3 })).to.deep.equal([]);
    const found: string[] = [];
    const [result] = await tuneProgram(program, {
      table,
      rounds: 3,
      keepOrder: true,
      onResult: ({ key }) => found.push(key),
    });
    const order = orderOf(choice.kernel);
    expect(result!.candidates.map((candidate) => orderOf(candidate.choice.kernel)))
      .to.include(order)
      .and.to.not.include('winograd4');
    expect(orderOf(table.find(problem)!.kernel)).to.equal(order);
    expect(table.order(problem)).to.equal(order);
    expect(found).to.deep.equal([problemKey(problem)]);
  });

  it('tries what earlier runs found, and nothing else, where that is asked for', async () => {
    setDeviceTuning(device, new TuningTable());
    using program = await Program.compile(matmul(), { device });
    const { problem, choice: usual } = [...problemsOf(program).values()][0]!.source.tuning!;
    const earlier = ['gemm/conv 8x4', 'gemm/conv 16x2'].map((name) => {
      const table = new TuningTable();
      const choice = candidates(problem, usual, kernelDevice(device)).find((each) =>
        choiceName(each).startsWith(name),
      )!;
      table.set(problem, { choice, microseconds: 1, usualMicroseconds: 2 });
      return table;
    });
    const [result] = await tuneProgram(program, {
      table: new TuningTable(),
      rounds: 3,
      among: [...earlier, earlier[0]!, new TuningTable()],
    });
    expect(result!.candidates.map(({ choice }) => choiceName(choice))).to.deep.equal(
      [usual, ...earlier.map((table) => table.find(problem)!)].map(choiceName),
    );
  });

  it('keeps what was finished before it was aborted @slow', async () => {
    setDeviceTuning(device, new TuningTable());
    using program = await Program.compile(layerGraph(1), { device });
    const table = new TuningTable();
    const abort = new AbortController();
    const found: string[] = [];
    const onResult = ({ key }: { readonly key: string }): void => {
      found.push(key);
      abort.abort();
    };
    await tuneProgram(program, { table, rounds: 3, signal: abort.signal, onResult }).then(
      () => expect.fail('not aborted'),
      (error: LinbpError) => expect(error.code).to.equal('aborted'),
    );
    expect(found).to.have.length(1);
    expect([...table.entries.keys()]).to.deep.equal(found);
  });

  it('keeps the order of a layer at batch sizes that were not tuned', async () => {
    setDeviceTuning(device, new TuningTable());
    using program = await Program.compile(layerGraph(3), { device });
    const { problem, choice } = [...problemsOf(program).values()][0]!.source.tuning!;
    const other = candidates(problem, choice, kernelDevice(device)).find(({ kernel }) => kernel === 'gemm/conv')!;
    const table = new TuningTable();
    table.set(problem, { choice: other, microseconds: 1, usualMicroseconds: 2 });
    setDeviceTuning(device, table);
    using large = await Program.compile(layerGraph(9), { device });
    const found = [...problemsOf(large).values()][0]!.source.tuning!;
    expect(problemKey(found.problem)).to.not.equal(problemKey(problem));
    expect(found.choice.kernel).to.equal('gemm/conv');
  });

  it('does not run a choice that cannot run', async () => {
    const base = {
      layer: 'any',
      batch: 4,
      kernels: ['gemm/conv'],
      writesMask: true,
      rows: 20,
      width: 9,
      taps: 3,
      lines: 1,
    } as const;
    const problem: TuningProblem = base;
    const usual: KernelChoice = { kernel: 'gemm/conv', rows: 16, columns: 4, lanes: 8, share: 1 };
    const capability = kernelDevice(device);
    expect(unfit(usual, problem, capability)).to.equal(undefined);
    for (const software of [true, false]) {
      const reason = unfit({ ...usual, rows: 32 }, problem, { ...capability, software, plainCompiler: false });
      expect(reason === undefined, 'many rows are for the CPU').to.equal(software);
    }
    const changes: Partial<KernelChoice>[] = [
      { kernel: 'gemm/convRows' },
      { kernel: 'constructor' as never },
      { rows: 8 },
      { rows: 12 },
      { rows: 64 },
      // no whole words of a mask
      { rows: 40 },
      { rows: 32, unroll: 'none' },
      { share: 64 },
      { share: 3 },
      { columns: 0 },
      { columns: 2.5 },
      { columns: 64 },
      { lanes: 7 },
      { lanes: 1024 },
      { splits: 2 },
      { splits: NaN },
      { unroll: 'some' as never },
      { stage: { ranks: 2, depth: 16, vectors: true } },
    ];
    for (const change of changes) {
      expect(unfit({ ...usual, ...change }, problem, capability), JSON.stringify(change)).to.be.a('string');
      const choices = onlyChoice({ ...usual, ...change });
      expect(chooseAmong(problem, { ...capability, choices }, [usual]), JSON.stringify(change)).to.equal(usual);
    }
  });
});

describe('stored choices', () => {
  let device: Device;
  const folder = mkdtempSync(join(tmpdir(), 'linbp-tune-'));
  const path = join(folder, 'choices.json');
  const entry = {
    choice: { kernel: 'gemm/conv', rows: 8, columns: 4, lanes: 8, share: 1 },
    microseconds: 5,
    usualMicroseconds: 6,
  } as const;
  before(async () => {
    device = await sharedDevice();
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  it('come back as they were stored', async () => {
    const identity = tuningIdentity(device.adapterInfo);
    expect(await readTuning(join(folder, 'none.json'), identity)).to.deep.equal({});
    const table = new TuningTable();
    table.entries.set('product 1', entry);
    table.orders.set('product', 'taps');
    await writeTuning(path, identity, table);
    const { table: found, warning } = await readTuning(path, identity);
    expect(warning).to.equal(undefined);
    expect([...found!.entries]).to.deep.equal([...table.entries]);
    expect([...found!.orders]).to.deep.equal([...table.orders]);
  });

  it('come back whatever the order of sums', async () => {
    const identity = tuningIdentity(device.adapterInfo);
    const table = new TuningTable();
    for (const order of sumOrders) table.orders.set(`product ${order}`, order);
    await writeTuning(path, identity, table);
    expect([...(await readTuning(path, identity)).table!.orders]).to.have.deep.members([...table.orders]);
  });

  it('are forgotten with the orders of layers that have no other', () => {
    const table = new TuningTable();
    for (const key of ['product 1 n4', 'product 1 mask n8', 'product 2 n4']) table.entries.set(key, entry);
    for (const layer of ['product 1', 'product 2']) table.orders.set(layer, 'taps');
    table.forget(['product 1 n4', 'product 2 n4', 'unknown n1']);
    expect([...table.entries.keys()]).to.deep.equal(['product 1 mask n8']);
    expect([...table.orders]).to.deep.equal([['product 1', 'taps']]);
    table.forget(['product 1 mask n8']);
    expect(table.orders.size).to.equal(0);
  });

  it('are common to tables that chose the same and found it faster', () => {
    const of = (entries: Readonly<Record<string, TunedEntry>>): TuningTable => {
      const table = new TuningTable();
      for (const [key, value] of Object.entries(entries)) table.entries.set(key, value);
      return table;
    };
    const slow = { ...entry, microseconds: 6 };
    const other = { ...entry, choice: { ...entry.choice, columns: 8 } };
    const common = agreed([
      of({ 'both n4': entry, 'one n4': entry, 'once slow n4': entry, 'different n4': entry, 'three mask n4': entry }),
      of({
        'both n4': { ...entry, microseconds: 4 },
        'once slow n4': slow,
        'different n4': other,
        'three mask n4': entry,
      }),
      of({ 'three mask n4': entry }),
    ]);
    expect([...common.entries]).to.deep.equal([
      ['both n4', entry],
      ['three mask n4', entry],
    ]);
    expect([...common.orders]).to.deep.equal([
      ['both', 'taps'],
      ['three', 'taps'],
    ]);
    expect(agreed([common]).entries.size).to.equal(0);
  });

  it('are ignored with a warning when stale or damaged', async () => {
    const identity = tuningIdentity(device.adapterInfo);
    for (const field of Object.keys(identity) as (keyof typeof identity)[]) {
      const { table, warning } = await readTuning(path, { ...identity, [field]: 'other' });
      expect(table, field).to.equal(undefined);
      expect(warning, field).to.include(field);
    }
    const whole = readFileSync(path, 'utf8');
    // a file of before processors counted is one of no kind
    const plain = { ...identity, processor: '' };
    writeFileSync(path, whole.replace(/^ *"processor": .*\n/m, ''));
    expect((await readTuning(path, plain)).warning).to.equal(undefined);
    expect((await readTuning(path, { ...plain, processor: 'avx512' })).warning).to.include('processor');
    expect(shippedName({ vendor: 'a', architecture: 'b' })).to.equal('a-b.json');
    writeFileSync(path, whole);
    const document = JSON.parse(whole) as Record<string, unknown>;
    const damaged = [
      whole.slice(0, whole.length / 2),
      '',
      'null',
      '[]',
      JSON.stringify({ ...document, format: 99 }),
      JSON.stringify({ ...document, entries: [] }),
      JSON.stringify({ ...document, entries: { x: { ...entry, choice: { ...entry.choice, rows: 'many' } } } }),
      JSON.stringify({ ...document, entries: { x: { ...entry, microseconds: null } } }),
      ...[null, {}, { ranks: 2, depth: '16', vectors: true }, { ranks: 2, depth: 16 }].map((stage) =>
        JSON.stringify({ ...document, entries: { x: { ...entry, choice: { ...entry.choice, stage } } } }),
      ),
      JSON.stringify({ ...document, orders: { x: 'backwards' } }),
      JSON.stringify({ ...document, identity: undefined }),
    ];
    for (const text of damaged) {
      writeFileSync(path, text);
      const { table, warning } = await readTuning(path, identity);
      expect(table, text).to.equal(undefined);
      expect(warning, text).to.match(/ignored/);
    }
  });

  it('come with the package for a kind of adapter', async () => {
    const kind = { vendor: 'Some Vendor', architecture: '../arch', processor: 'fast' };
    const file = join(folder, shippedName(kind));
    expect(await shippedTuning(kind, folder)).to.deep.equal({});
    expect(shippedName({ ...kind, processor: '' })).to.equal('some-vendor-..-arch.json');
    const table = new TuningTable();
    table.entries.set('product 1 n4', entry);
    await writeTuning(file, { ...tuningIdentity(device.adapterInfo), ...kind, version: '0.0.0' }, table);
    expect([...(await shippedTuning(kind, folder)).table!.entries]).to.deep.equal([...table.entries]);
    // another processor's
    expect(await shippedTuning({ ...kind, processor: '' }, folder)).to.deep.equal({});
    for (const text of ['', '{}', '{ "entries": { "x": 1 }, "orders": {} }']) {
      writeFileSync(file, text);
      expect((await shippedTuning(kind, folder)).table, text).to.equal(undefined);
      expect((await shippedTuning(kind, folder)).warning, text).to.match(/damaged/);
    }
  });

  it('of the package name kernels that there are, found faster than the usual ones', async () => {
    const shipped = fileURLToPath(new URL('../../../tuning/', import.meta.url));
    const files = readdirSync(shipped).filter((name) => name.endsWith('.json'));
    expect(files).to.include('mesa-software.json');
    for (const name of files) {
      const { identity } = JSON.parse(readFileSync(join(shipped, name), 'utf8')) as { identity: TuningIdentity };
      expect(shippedName(identity)).to.equal(name);
      const { table } = await shippedTuning(identity);
      expect(table!.entries.size, name).to.be.above(0);
      for (const { choice, microseconds, usualMicroseconds } of table!.entries.values()) {
        expect(microseconds).to.be.below(usualMicroseconds);
        expect(sumOrders).to.include(orderOf(choice.kernel));
      }
    }
    const own = (await shippedTuning(tuningIdentity(device.adapterInfo))).table ?? new TuningTable();
    expect([...(await deviceTuning(device)).entries]).to.deep.equal([...own.entries]);
  });
});
