import { onlyChoice } from '../../choices/table.js';
import { LinbpError } from '../../errors.js';
import type { OpName } from '../../graph/types.js';
import { roundsOperands, tileKey } from '../../kernels/choice.js';
import type { KernelChoice } from '../../kernels/problem.js';
import type { DispatchSchedule, ScheduledDispatch } from '../../plan/schedule.js';
import type { Device } from '../../runtime/device.js';
import { chainGraph, epilogueChains, halfChains } from './chains.js';
import type { Chain } from './chains.js';
import { opGraph, sampleNumbers, testedOps } from './ops.js';
import type { Feeds } from './ops.js';
import { firstDifference } from './probe.js';
import type { Compiler } from './probe.js';
import { layerOf, productGraph, productKey, smallerLayers, testedChoice, usualLayers } from './products.js';
import type { ProductLayer } from './products.js';
import { VerdictStore } from './store.js';
import type { WrongKernel } from './store.js';

/** Milliseconds after which testing the usual kernels stops; what is left follows in the next process. */
const mostMilliseconds = 7000;
/** Tests under way at a time: while one compiles another runs. */
const together = 4;
/** Largest relative distance from float64 of what is rounded to f16, which has 11 bits. */
const halfTolerance = 1e-3;

/** The environment's `LINBP_SELFTEST`. */
export type SelfTestMode = 'off' | 'auto' | 'force';

function modeWanted(): SelfTestMode {
  const mode = process.env['LINBP_SELFTEST'] || 'auto';
  if (mode === 'off' || mode === 'auto' || mode === 'force') return mode;
  throw new LinbpError('bad-argument', `LINBP_SELFTEST: expected off, auto or force, got "${mode}"`, {
    field: 'LINBP_SELFTEST',
  });
}

/** One test: a name that verdicts are kept under, and what it does. */
interface Test {
  readonly name: string;
  /** Returns the kernels that are wrong; undefined where no problem is small enough to test them on. */
  readonly run: () => Promise<WrongKernel[] | undefined>;
}

/** What is known about a device. */
export interface SelfTestReport {
  readonly mode: SelfTestMode;
  /** Tests passed and kernels that failed, in this process or before. */
  readonly right: number;
  readonly wrong: readonly WrongKernel[];
  /** Tests that this process ran, and their seconds. */
  readonly ran: number;
  readonly seconds: number;
  /** Whether the usual kernels have all been tested. */
  readonly complete: boolean;
  /** Whether the verdicts are kept for later processes. */
  readonly kept: boolean;
}

/**
 * The test of a device's kernels. The first time that linbp meets an adapter with a driver, the usual kernels and those
 * that a program is about to use run on small problems and are compared with float64; the verdicts are kept in the
 * user's cache. A wrong kernel is not used again on that device. Where nothing can be kept, only what a program is
 * about to use is tested.
 */
export class SelfTest {
  private static readonly all = new WeakMap<Device, SelfTest>();

  readonly mode: SelfTestMode;
  /** Tiles, and kernels with all their tiles, that are never used on this device. */
  readonly refused = new Set<string>();
  private readonly device: Device;
  private readonly right = new Set<string>();
  private readonly wrong = new Map<string, WrongKernel>();
  private readonly untested = new Set<string>();
  private store: VerdictStore | undefined;
  private kept = false;
  private complete = false;
  private ran = 0;
  private milliseconds = 0;
  private loading: Promise<void> | undefined;
  private queue: Promise<void> = Promise.resolve();

  private constructor(device: Device) {
    this.device = device;
    this.mode = modeWanted();
  }

  /** The one of a device. Throws `bad-argument` for an unknown `LINBP_SELFTEST`. */
  static of(device: Device): SelfTest {
    let own = SelfTest.all.get(device);
    if (own === undefined) SelfTest.all.set(device, (own = new SelfTest(device)));
    return own;
  }

  /**
   * Tests what a schedule needs and is not known yet. Returns whether it uses kernels that are wrong, so that it has
   * to be compiled again with {@link refused}. Throws `unsupported` where a wrong kernel has nothing to take its place.
   */
  async admit(scheduled: DispatchSchedule, compiler: Compiler): Promise<boolean> {
    if (this.mode === 'off') return false;
    await this.load();
    await this.test(() => [
      ...this.productTests(scheduled, compiler),
      ...(this.kept
        ? this.usualTests(compiler)
        : [...this.opTests(opsOf(scheduled), compiler), ...this.chainTests(chainsOf(scheduled), compiler)]),
      ...(scheduled.dispatches.some(storesHalves) ? this.chainTests(halfChains, compiler) : []),
    ]);
    for (const dispatch of scheduled.dispatches) {
      const found = this.wrongIn(dispatch);
      if (found !== undefined)
        throw new LinbpError(
          'unsupported',
          `${describe(found, this.device)}, and no other computes ${found.test}; use another device ` +
            '(--adapter), or --device reference',
          { field: dispatch.kernel },
        );
    }
    return scheduled.dispatches.some(({ tuning }) => tuning !== undefined && this.refuses(tuning.choice));
  }

  /** What is wrong in a dispatch and nothing can take the place of. */
  private wrongIn(dispatch: ScheduledDispatch): WrongKernel | undefined {
    const half = storesHalves(dispatch);
    const names = new Set<string>(half ? [halfName(dispatch.kernel)] : []);
    if (dispatch.tuning === undefined) names.add(dispatch.kernel);
    const fused = new Set(dispatch.group.followers.map(({ op }) => op));
    for (const chain of epilogueChains) if (chain.follow.every((op) => fused.has(op))) names.add(epilogueName(chain));
    return [...this.wrong.values()].find((each) => isAll(each) && names.has(each.kernel));
  }

  private refuses(choice: KernelChoice): boolean {
    return this.refused.has(tileKey(choice)) || this.refused.has(choice.kernel);
  }

  /** Tests all usual kernels, whether or not the result can be kept, and says what is known. */
  async report(compiler: Compiler): Promise<SelfTestReport> {
    if (this.mode !== 'off') {
      await this.load();
      await this.test(() => this.usualTests(compiler));
    }
    const { mode, ran, complete, kept } = this;
    const [right, wrong] = [this.right.size, [...this.wrong.values()]];
    return { mode, right, wrong, ran, seconds: this.milliseconds / 1000, complete, kept };
  }

  private load(): Promise<void> {
    this.loading ??= (async () => {
      this.store = await VerdictStore.of(this.device);
      const { right, wrong, complete } = await this.store.read();
      this.kept = await this.store.writable();
      if (this.mode === 'force') return;
      this.complete = complete;
      for (const name of right) this.right.add(name);
      for (const [name, kernel] of wrong) this.refuse(name, kernel);
    })();
    return this.loading;
  }

  /** Takes in that a kernel is wrong. A second tile of one kernel that is wrong gives up all its tiles. */
  private refuse(name: string, found: WrongKernel): void {
    const { kernel, tile } = found;
    const before = [...this.wrong.values()].filter((each) => each.kernel === kernel);
    this.wrong.set(name, found);
    if (tile !== undefined) this.refused.add(tile);
    if (tile !== undefined && before.some((each) => each.tile !== tile)) this.refused.add(kernel);
    if (before.length > 0) return;
    const next = tile === undefined ? '' : '; another kernel takes its place';
    process.emitWarning(`${describe(found, this.device)}${next}`, { code: 'LINBP_SELFTEST' });
  }

  /** Runs the tests whose outcome is unknown, one program's after another's. */
  private test(list: () => readonly Test[]): Promise<void> {
    const turn = this.queue.then(() => this.runAll(list()));
    this.queue = turn.catch(() => undefined);
    return turn;
  }

  private async runAll(tests: readonly Test[]): Promise<void> {
    const names = new Set<string>();
    const open = tests.filter(({ name }) => {
      if (names.has(name) || [this.right, this.wrong, this.untested].some((known) => known.has(name))) return false;
      names.add(name);
      return true;
    });
    const finishes = !this.complete && tests.some(({ name }) => name === lastUsual);
    if (open.length === 0 && !finishes) return;
    const began = performance.now();
    const failed = new Map<string, WrongKernel>();
    const passed = new Set<string>();
    let next = 0;
    const work = async (): Promise<void> => {
      while (next < open.length) {
        const { name, run } = open[next++]!;
        const usual = name.startsWith(usualPrefix);
        if (usual && performance.now() - began > mostMilliseconds) continue;
        const wrong = await run();
        if (wrong === undefined) this.untested.add(name);
        if (wrong === undefined || name === lastUsual) continue;
        this.ran += 1;
        if (wrong.length === 0) passed.add(name);
        for (const [index, kernel] of wrong.entries()) failed.set(index === 0 ? name : `${name} ${index}`, kernel);
      }
    };
    await Promise.all(Array.from({ length: together }, work));
    for (const name of passed) this.right.add(name);
    for (const [name, kernel] of failed) this.refuse(name, kernel);
    this.milliseconds += performance.now() - began;
    this.complete ||= finishes && open.every(({ name }) => name === lastUsual || passed.has(name) || failed.has(name));
    await this.keep();
  }

  private async keep(): Promise<void> {
    if (!this.kept) return;
    try {
      await this.store!.add({ right: this.right, wrong: this.wrong, complete: this.complete }, this.mode === 'force');
    } catch {
      // Somebody took the folder away meanwhile: the next process tests again.
      this.kept = false;
    }
  }

  /** Tests of the products of a schedule. */
  private productTests({ dispatches }: DispatchSchedule, compiler: Compiler): Test[] {
    return dispatches.flatMap(({ group, tuning }) => {
      const layer = tuning === undefined ? undefined : layerOf(group);
      return layer === undefined ? [] : this.productTest(layer, tuning!.choice, compiler);
    });
  }

  private productTest(layer: ProductLayer, choice: KernelChoice, compiler: Compiler, prefix = ''): Test[] {
    if (this.refuses(choice)) return [];
    const { device } = this;
    const tested = testedChoice(choice);
    const run = async (): Promise<WrongKernel[] | undefined> => {
      for (const smaller of smallerLayers(layer, choice)) {
        const graph = productGraph(smaller);
        const options = { device, choices: onlyChoice(tested), untested: true };
        const { dispatches } = await compiler.schedule(graph, options);
        // A small problem may be one that the kernel cannot compute.
        if (!dispatches.some(({ tuning }) => tuning !== undefined && sameTile(tuning.choice, tested))) continue;
        const feeds: Feeds = new Map(
          graph.tensors.filter(({ kind }) => kind === 'input').map((tensor) => [tensor, sampleNumbers(tensor)]),
        );
        const allowed = roundsOperands(choice.kernel) ? halfTolerance : undefined;
        const error = await outcome(firstDifference(graph, feeds, compiler, options, allowed));
        const test = `${layer.op} ${layer.kernel.join('x')}`;
        return error === undefined ? [] : [{ kernel: choice.kernel, tile: tileKey(choice), test, error }];
      }
      return undefined;
    };
    return [{ name: `${prefix}${productKey(layer, choice)}`, run }];
  }

  /** Tests of the usual products and of all ops. */
  private usualTests(compiler: Compiler): Test[] {
    if (this.complete) return [];
    const { device } = this;
    const products = usualLayers().map((layer): Test => {
      const run = async (): Promise<WrongKernel[]> => {
        const { dispatches } = await compiler.schedule(productGraph(layer), { device, untested: true });
        const wrong: WrongKernel[] = [];
        const tests = dispatches.flatMap(({ tuning }) =>
          tuning === undefined ? [] : this.productTest(layer, tuning.choice, compiler),
        );
        for (const test of tests) {
          if (this.right.has(test.name)) continue;
          const found = await test.run();
          if (found?.length === 0) this.right.add(test.name);
          wrong.push(...(found ?? []));
        }
        return wrong;
      };
      const { op, inner, outer, size, kernel } = layer;
      return { name: `${usualPrefix}${op} ${inner} ${outer} ${size.join('x')} ${kernel.join('x')}`, run };
    });
    const fused = this.chainTests(epilogueChains, compiler);
    return [
      ...products,
      ...this.opTests(testedOps, compiler),
      ...fused,
      { name: lastUsual, run: () => Promise.resolve([]) },
    ];
  }

  /** Tests of fused epilogues, or of what is stored in 16 bits. */
  private chainTests(chains: readonly Chain[], compiler: Compiler): Test[] {
    return chains.map((chain): Test => {
      const half = chain.precision === 'f16';
      const options = { device: this.device, precision: chain.precision };
      const run = async (): Promise<WrongKernel[]> => {
        const { graph, feeds } = chainGraph(chain);
        const allowed = half ? halfTolerance : undefined;
        const error = await outcome(firstDifference(graph, feeds, compiler, options, allowed));
        if (error === undefined) return [];
        const test = `${chain.name}${half ? ', f16' : ', fused'}`;
        const { dispatches } = await compiler.schedule(chainGraph(chain).graph, { ...options, untested: true });
        if (half)
          return dispatches.filter(storesHalves).map(({ kernel }) => ({ kernel: halfName(kernel), test, error }));
        // Where the general kernel runs it right, the usual one was wrong, else the epilogue is.
        const again = chainGraph(chain);
        const general = { ...options, choices: onlyChoice(generalChoice) };
        if ((await outcome(firstDifference(again.graph, again.feeds, compiler, general))) !== undefined)
          return [{ kernel: epilogueName(chain), test, error }];
        return dispatches.flatMap(({ kernel, group, tuning }) =>
          group.followers.length > 0 && tuning !== undefined
            ? [{ kernel, test, error, tile: tileKey(tuning.choice) }]
            : [],
        );
      };
      return { name: half ? `half ${chain.name}` : `${usualPrefix}fused ${chain.name}`, run };
    });
  }

  private opTests(ops: readonly OpName[], compiler: Compiler): Test[] {
    const { device } = this;
    return ops.map((op): Test => {
      const run = async (): Promise<WrongKernel[]> => {
        const { graph, feeds } = opGraph(op);
        const { dispatches } = await compiler.schedule(graph, { device, untested: true });
        let blamed = dispatches;
        const error = await outcome(
          firstDifference(graph, feeds, compiler, { device }).then((found) => {
            const touches = (node: (typeof graph.nodes)[number]): boolean =>
              node.outputs.includes(found!.tensor) || node.mutates.some((slot) => node.inputs[slot] === found!.tensor);
            if (found !== undefined)
              blamed = dispatches.filter(({ group }) => [group.anchor, ...group.followers].some(touches));
            return found;
          }),
        );
        if (error === undefined) return [];
        return [...new Set(blamed.map(({ kernel }) => kernel))].map((kernel) => ({ kernel, test: op, error }));
      };
      return { name: `${usualPrefix}op ${op}`, run };
    });
  }
}

const usualPrefix = 'usual ';
/** A test that nothing fails: with it all usual kernels are through. */
const lastUsual = 'all usual kernels';

const sameTile = (left: KernelChoice, right: KernelChoice): boolean => tileKey(left) === tileKey(right);

/** Whether a kernel is wrong as such, not with one tile of several. */
const isAll = ({ tile }: WrongKernel): boolean => tile === undefined;

/** What an epilogue is called that is wrong in whatever kernel. */
const epilogueName = ({ name }: Chain): string => `epilogue ${name}`;

/** The choice that every device has, for a product of at least 16 rows. */
const generalChoice: KernelChoice = { kernel: 'gemm/conv', rows: 16, columns: 4, lanes: 8, share: 1 };

/** What a kernel is called where it stores in 16 bits: it may be wrong there only. */
const halfName = (kernel: string): string => `${kernel} f16`;

const storesHalves = ({ operands }: ScheduledDispatch): boolean =>
  operands.some(({ tensor }) => tensor.dtype === 'f16');

/** Tests of epilogues with ops that a schedule's epilogues have. */
function chainsOf({ groups }: DispatchSchedule): Chain[] {
  const fused = new Set(groups.flatMap(({ followers }) => followers.map(({ op }) => op)));
  return epilogueChains.filter(({ follow }) => follow.some((op) => fused.has(op)));
}

/** Ops that {@link opGraph} tests, of those that a schedule has. */
function opsOf({ groups, dispatches }: DispatchSchedule): OpName[] {
  const alone = new Set(dispatches.filter(({ tuning }) => tuning === undefined).map(({ group }) => group));
  const found = new Set<OpName>();
  for (const group of groups) {
    if (alone.has(group)) found.add(group.anchor.op);
    for (const node of group.followers) found.add(node.op);
  }
  return testedOps.filter((op) => found.has(op));
}

/** How results differ, in words; undefined where they do not. What a driver refuses is wrong, too. */
async function outcome(difference: ReturnType<typeof firstDifference>): Promise<string | undefined> {
  try {
    const found = await difference;
    return found === undefined ? undefined : `relative error ${found.error.toExponential(1)}`;
  } catch (cause) {
    if (!(cause instanceof LinbpError) || cause.code !== 'gpu-error') throw cause;
    return cause.message.split('\n')[0]!;
  }
}

const describe = ({ kernel, tile, test, error }: WrongKernel, { adapterInfo }: Device): string =>
  `kernel ${tile ?? kernel} is wrong on ` +
  `"${adapterInfo.description || adapterInfo.device}" (${error} in the self-test, ${test})`;
