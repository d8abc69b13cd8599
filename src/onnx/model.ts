import type { Graph } from '../graph/graph.js';
import type { Tensor } from '../graph/types.js';
import type { Branch, NetBuilder } from '../nn/builder.js';
import type { StateDict } from '../nn/model.js';
import type { ActivationKind } from '../graph/functions.js';
import type { ActivationPosition, BranchPlace, PositionKind } from '../rules/positions.js';
import { emitStep } from './lower/emit.js';
import type { EmitTarget } from './lower/emitContext.js';
import type { DataValue, Step } from './lower/steps.js';
import type { FoundBranch } from './recognize/branches.js';
import { UniqueNames, modulePath, stageAndBlock } from './recognize/names.js';
import { findActivations } from './recognize/activations.js';
import { producersOf } from './recognize/rewrite.js';
import type { HostTensor } from './types.js';
import { assignWeights, batchNormModule } from './weights.js';
import type { Weight } from './weights.js';

/** What a model is built from. */
export interface ImportedSteps {
  readonly steps: readonly Step[];
  readonly x: DataValue;
  readonly logits: DataValue;
  /** Batch size that the steps are written for. */
  readonly batch: number;
  readonly branches: readonly FoundBranch[];
  readonly classes: number;
  /** What the file says about its activations, where it does. */
  readonly described?: { readonly positions: readonly ActivationPosition[]; readonly branches: readonly BranchPlace[] };
}

/** An activation's place. */
interface Place {
  readonly stage?: string;
  readonly block?: number;
  readonly kind: PositionKind;
  readonly index?: number;
}

/** Layer names of steps: module paths where nodes have names, otherwise operators with numbers. */
function layerNames(
  steps: readonly Step[],
  activations: ReadonlyMap<Step, ActivationKind>,
  described: ReadonlyMap<Step, ActivationPosition>,
): Map<Step, string> {
  const counts = new Map<string, number>();
  const unique = new UniqueNames();
  return new Map(
    steps.map((step) => {
      let name = described.get(step)?.name ?? modulePath(step.node);
      if (name === undefined) {
        const kind = step.node.op.toLowerCase();
        counts.set(kind, (counts.get(kind) ?? 0) + 1);
        name = `${kind}${counts.get(kind)}`;
      }
      return [step, activations.has(step) ? unique.unique(name) : name];
    }),
  );
}

/** Where each activation stands: inside a branch, behind an addition, in the classifier, or before the first branch. */
function places(
  source: ImportedSteps,
  names: ReadonlyMap<Step, string>,
  activations: ReadonlyMap<Step, ActivationKind>,
  described: ReadonlyMap<Step, ActivationPosition>,
): Map<Step, Place> {
  const { steps, branches } = source;
  const producers = producersOf(steps);
  const inside = new Set(branches.flatMap((branch) => branch.steps));
  const additions = new Set(branches.map((branch) => branch.addition).filter(({ op }) => op === 'binary'));
  const firstBranch = steps.findIndex((step) => inside.has(step));
  return new Map(
    steps.flatMap((step, i): [Step, Place][] => {
      if (!activations.has(step)) return [];
      const known = described.get(step);
      if (known !== undefined) return [[step, known]];
      const from = producers.get(step.inputs[0] as DataValue);
      const kind: PositionKind = inside.has(step)
        ? 'branch'
        : from !== undefined && additions.has(from)
          ? 'post-addition'
          : step.output.shape.length === 2
            ? 'classifier'
            : i < firstBranch
              ? 'stem'
              : 'conv';
      return [[step, { ...stageAndBlock(names.get(step)!), kind }]];
    }),
  );
}

/** What the file says about each activation; nothing unless it fits what was found. */
function descriptions(
  activations: ReadonlyMap<Step, ActivationKind>,
  described: readonly ActivationPosition[] | undefined,
): Map<Step, ActivationPosition> {
  const found = [...activations];
  const fits = described?.length === found.length && found.every(([, kind], i) => described[i]!.activation === kind);
  return new Map(fits ? found.map(([step], i) => [step, described[i]!]) : []);
}

/** The name of a branch: the block that its ReLUs share, otherwise that of its addition. */
function branchName(
  branch: FoundBranch,
  names: ReadonlyMap<Step, string>,
): { name: string; stage?: string; block?: number } {
  const inner = branch.steps.map((step) => stageAndBlock(names.get(step)!));
  const place = inner.find(({ block }) => block !== undefined) ?? inner[0] ?? {};
  const name = place.block === undefined ? `${names.get(branch.addition)}` : `${place.stage}.${place.block}`;
  return { ...place, name };
}

/** The forward pass over steps, and the weights that it takes. */
export function buildFrom(source: ImportedSteps): {
  build: (net: NetBuilder, x: Tensor) => Tensor;
  weights: StateDict;
  /** Names of the activations. */
  found: ReadonlySet<string>;
} {
  const activations = findActivations(source.steps);
  const described = descriptions(activations, source.described?.positions);
  // Branches are told apart by what is inside.
  const known = new Map(
    described.size === 0 ? [] : source.described?.branches.map((each) => [each.activations.join(), each.name]),
  );
  const names = layerNames(source.steps, activations, described);
  const weights = assignWeights(source.steps, (step) => names.get(step)!);
  const positions = places(source, names, activations, described);
  const unique = new UniqueNames();
  const branches = source.branches.map((branch) => {
    const named = branchName(branch, names);
    const inside = branch.steps.filter((step) => activations.has(step)).map((step) => names.get(step)!);
    return { ...branch, ...named, name: unique.unique(known.get(inside.join()) ?? named.name) };
  });
  const build = (net: NetBuilder, x: Tensor): Tensor => {
    const target = modelTarget(net, weights, names, positions, x.shape[0]! / source.batch);
    const values = new Map<DataValue, Tensor>([[source.x, x]]);
    for (const step of source.steps) {
      net.layer(names.get(step)!, () => emitStep(step, values, target));
      for (const branch of branches) if (branch.output === step.output) mark(net, branch, values, names, activations);
    }
    const logits = values.get(source.logits)!;
    return logits.shape.length === 2 ? logits : net.flatten(logits);
  };
  const state = new Map([...weights.values()].map(({ key, shape, data }) => [key, { shape, data }]));
  return { build, weights: state, found: new Set([...activations.keys()].map((step) => names.get(step)!)) };
}

type NamedBranch = FoundBranch & { readonly name: string; readonly stage?: string; readonly block?: number };

function mark(
  net: NetBuilder,
  { name, stage, block, input, output, steps }: NamedBranch,
  values: ReadonlyMap<DataValue, Tensor>,
  names: ReadonlyMap<Step, string>,
  activations: ReadonlyMap<Step, ActivationKind>,
): void {
  const branch: Branch = {
    name,
    ...(stage !== undefined && { stage }),
    ...(block !== undefined && { block }),
    activations: steps.filter((step) => activations.has(step)).map((step) => names.get(step)!),
    input: values.get(input)!,
    output: values.get(output)!,
  };
  net.branches.push(branch);
  net.graph.regions.push(branch);
}

function modelTarget(
  net: NetBuilder,
  weights: ReadonlyMap<HostTensor, Weight>,
  names: ReadonlyMap<Step, string>,
  positions: ReadonlyMap<Step, Place>,
  scale: number,
): EmitTarget {
  const graph: Graph = net.graph;
  const made = new Map<string, Tensor>();
  const parameter = ({ key, shape, kind, fanIn }: Weight): Tensor => {
    let tensor = made.get(key);
    if (tensor === undefined) made.set(key, (tensor = net.parameter(key, shape, kind, fanIn)));
    return tensor;
  };
  const fixed = (tensor: HostTensor, shape: readonly number[]): Tensor =>
    graph.constant(tensor.origin ?? 'constant', tensor.data as unknown as readonly number[], shape);
  return {
    graph,
    scale,
    constant: (tensor, shape = tensor.shape) => {
      const weight = weights.get(tensor);
      const plain = weight === undefined ? fixed(tensor, shape.length === 0 ? [1] : shape) : parameter(weight);
      if (plain.shape.length === shape.length || weight === undefined) return plain;
      return graph.one('reshape', [plain], { shape });
    },
    activation: (step, x, kind, { values, slopes }) => {
      const place = positions.get(step);
      if (place === undefined) return undefined;
      const options = {
        ...(values !== undefined && { values }),
        ...(slopes !== undefined && { slopes }),
        ...(place.index !== undefined && { index: place.index }),
      };
      return net.at(place, () => net.activation(names.get(step)!, x, kind, options));
    },
    batchNorm: (step, x) => {
      const own = step as unknown as Step;
      const key = weights.get((step.inputs[1] as { tensor: HostTensor }).tensor)!.key;
      const module = batchNormModule(own) ?? key.replace(/\.weight$/, '');
      return net.batchNorm(module, x, { epsilon: step.attributes.epsilon });
    },
    preprocess: (step, x) => {
      const { order, scale: factors, shift } = step.attributes;
      const inOrder = order.every((from, to) => from === to);
      return net.preprocess(x, factors, shift, inOrder ? undefined : order);
    },
  };
}
