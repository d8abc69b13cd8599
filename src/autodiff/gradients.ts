import { expectGraph, expectMembers } from '../arguments.js';
import { check, LinbpError } from '../errors.js';
import type { Graph } from '../graph/graph.js';
import type { Node, OpName, Region, Tensor } from '../graph/types.js';
import type { BackwardContext, OpDefinition } from '../ops/definition.js';
import { opTable } from '../ops/table.js';
import type { RegionContext, RegionBackward, BackwardSelection } from '../graph/backward.js';
import { attentionMaps, dependents, interiorOf } from './region.js';
import type { Interior } from './region.js';

/** What {@link gradients} differentiates, and with respect to what. */
export interface GradientOptions {
  /** Output [N] of a `loss` node, or, with `seed`, a custom objective. */
  readonly loss: Tensor;
  /**
   * A tensor the objective depends on (usually the logits) and the objective's gradient there, already scaled; for
   * objectives that are no `loss` node.
   */
  readonly seed?: { readonly at: Tensor; readonly gradient: Tensor };
  /** Factor of the sum of the per-sample losses that is differentiated: 1 for the sum, 1/N for the mean. */
  readonly scale: number;
  /** Tensors whose gradients are wanted; nothing else is computed. */
  readonly targets: readonly Tensor[];
  /** The backward of each activation, and of max-pools, regions and edges where the selection has one. */
  readonly rules: BackwardSelection;
  /**
   * Told what rules measure on the way, such as `alpha.layer3.1` [N] by block matching; without it nothing is
   * computed for this.
   */
  readonly observe?: (name: string, value: Tensor) => void;
}

/** One walk over nodes in reverse: which gradients are known, which are wanted, and under which rules. */
interface Pass {
  readonly rules: BackwardSelection;
  /** Tensors whose gradients are wanted or lead to wanted ones. */
  readonly reached: ReadonlySet<Tensor>;
  gradientOf(tensor: Tensor): Tensor | undefined;
  accumulate(tensor: Tensor, gradient: Tensor): void;
  /** Results of nodes that no rule changes, shared by the walks over one region from one gradient. */
  readonly known?: Map<Node, { readonly gradient: Tensor; readonly contributions: readonly (Tensor | undefined)[] }>;
}

class Differentiation {
  private readonly graph: Graph;
  private readonly options: GradientOptions;
  /** The nodes that there were before any of the backward. */
  private readonly forward: readonly Node[];
  private readonly interiors = new Map<Region, Interior>();

  constructor(graph: Graph, options: GradientOptions) {
    this.graph = graph;
    this.options = options;
    this.forward = [...graph.nodes];
  }

  run(): Map<Tensor, Tensor> {
    const { targets, rules } = this.options;
    const found = new Map<Tensor, Tensor>();
    const reached = dependents(this.forward, targets, this.constants(rules));
    this.checkTargets(reached);
    const pass: Pass = {
      rules,
      reached,
      gradientOf: (tensor) => found.get(tensor),
      accumulate: (tensor, gradient) => this.add(found, tensor, gradient),
    };
    this.begin(pass);
    this.walk(this.forward, pass);
    return new Map(
      targets.map((target) => {
        const gradient = found.get(target);
        check(gradient !== undefined, 'bad-argument', `the loss does not depend on ${target.name}`, target.name);
        return [target, gradient];
      }),
    );
  }

  /** Nodes that pass no gradient. */
  private constants(rules: BackwardSelection): ReadonlySet<Node> {
    if (rules.fixedAttention !== true) return new Set();
    const maps = attentionMaps(this.forward);
    check(maps.size > 0, 'unknown-layer', 'pna acts on attention maps; the network has none', 'rule');
    return maps;
  }

  /** A region's rule defines what leaves by the region's input and nothing else. */
  private checkTargets(reached: ReadonlySet<Tensor>): void {
    const { rules, targets } = this.options;
    if (rules.region === undefined) return;
    for (const region of this.graph.regions) {
      const rule = rules.region(region);
      if (rule === undefined || !reached.has(region.output)) continue;
      const inside = this.interior(region);
      const target = targets.find((tensor) => tensor.kind === 'parameter' || inside.tensors.has(tensor));
      if (target === undefined) continue;
      const message =
        `the rule ${rule.name} at ${region.name} gives a gradient of its input only, none of ${target.name}` +
        (target.kind === 'parameter' ? ': it cannot train; it is for attacks and for gradients of images' : '');
      throw new LinbpError('bad-argument', message, { field: target.name });
    }
  }

  /** The gradient that everything starts from. */
  private begin(pass: Pass): void {
    const { loss, scale, seed } = this.options;
    if (seed !== undefined) {
      const fits = seed.gradient.dtype === 'f32' && seed.gradient.shape.join() === seed.at.shape.join();
      const shapes =
        `the gradient at ${seed.at.name} must be f32 ` +
        `[${seed.at.shape.join(', ')}], got [${seed.gradient.shape.join(', ')}]`;
      check(fits, 'bad-shape', shapes, 'gradient');
      if (pass.reached.has(seed.at)) pass.accumulate(seed.at, seed.gradient);
      return;
    }
    const logits = lossNode(loss).inputs[0]!;
    if (pass.reached.has(logits)) pass.accumulate(logits, lossSeed(this.graph, { loss, scale }).gradient);
  }

  private add(found: Map<Tensor, Tensor>, tensor: Tensor, gradient: Tensor): void {
    const before = found.get(tensor);
    const direction = tensor.kind === 'parameter' ? 'weightGradient' : 'inputGradient';
    found.set(
      tensor,
      before === undefined
        ? gradient
        : this.graph.scope({ direction }, () => this.graph.one('add', [before, gradient], {})),
    );
  }

  /** Goes through nodes backwards; `inside` is the region that they belong to. */
  private walk(nodes: readonly Node[], pass: Pass, inside?: Region): void {
    const { region: regionRule, edge: edgeRule } = pass.rules;
    const regions = regionRule === undefined && edgeRule === undefined ? [] : this.graph.regions;
    const ending = new Map(
      regions.filter((region) => regionRule?.(region) ?? edgeRule?.(region)).map((region) => [region.output, region]),
    );
    if (inside !== undefined) ending.delete(inside.output);
    const done = new Map<Node, Region>();
    for (const node of [...nodes].reverse()) {
      const gradient = pass.gradientOf(node.outputs[0]!);
      if (gradient === undefined || !node.inputs.some((input) => pass.reached.has(input))) continue;
      const owner = done.get(node);
      check(
        owner === undefined,
        'bad-argument',
        `${owner?.name} has more than one output: ${node.layer || node.op} is used outside, too`,
        node.layer,
      );
      const region = node.outputs.map((output) => ending.get(output)).find((each) => each !== undefined);
      if (region !== undefined && pass.reached.has(region.input)) {
        for (const each of this.interior(region).nodes) if (each !== node) done.set(each, region);
        this.passRegion(region, gradient, pass);
      } else this.passNode(node, gradient, pass);
    }
  }

  private passNode(node: Node, gradient: Tensor, pass: Pass): void {
    const { graph } = this;
    const { backward } = opTable[node.op] as unknown as OpDefinition<OpName>;
    if (backward === undefined) {
      const where = node.layer === '' ? '' : ` (${node.layer})`;
      throw new LinbpError('bad-argument', `${node.op}${where} has no backward`, { field: node.layer || node.op });
    }
    // A region's rule may be what asks for this walk; what the node's own backward emits is not of that rule.
    graph.scope({ layer: node.layer, direction: 'inputGradient', rule: '' }, () => {
      const context: BackwardContext = {
        graph,
        needs: (index) => node.inputs[index] !== undefined && pass.reached.has(node.inputs[index]),
        outputGradient: (index) => pass.gradientOf(node.outputs[index]!),
        rule: pass.rules,
        maskOf: (relu) => graph.addMask(relu),
      };
      const known = pass.known?.get(node);
      const contributions = known?.gradient === gradient ? known.contributions : backward(context, node, gradient);
      // Rules apply to these two, and several outputs have several gradients: what they give depends on more than
      // `gradient`.
      if (node.op !== 'activation' && node.op !== 'maxPool2d' && node.outputs.length === 1)
        pass.known?.set(node, { gradient, contributions });
      node.inputs.forEach((input, index) => {
        const contribution = contributions[index];
        if (contribution !== undefined && pass.reached.has(input)) pass.accumulate(input, contribution);
      });
    });
  }

  /**
   * The gradient that a region passes to its input: by the region's own rule, or node by node, and then the edge's
   * rule.
   */
  private passRegion(region: Region, g: Tensor, pass: Pass): void {
    const { graph } = this;
    const rule = pass.rules.region?.(region);
    const edge = pass.rules.edge?.(region);
    const scope = { layer: region.name, direction: 'inputGradient', rule: '' } as const;
    let gradient = rule === undefined ? this.throughRegion(region, g, pass) : this.byRule(rule, region, g, pass);
    if (edge !== undefined)
      gradient = graph.scope({ ...scope, rule: edge.name }, () => edge.emit(graph, region, gradient));
    graph.scope(scope, () => pass.accumulate(region.input, gradient));
  }

  /**
   * J^T g node by node; gradients of what the region takes from outside, such as its parameters, go to the outer pass.
   */
  private throughRegion(region: Region, g: Tensor, pass: Pass): Tensor {
    const inside = this.interior(region);
    const own = new Map([[region.output, g]]);
    this.walk(
      inside.nodes,
      {
        ...pass,
        gradientOf: (tensor) => own.get(tensor),
        accumulate: (tensor, gradient) =>
          tensor === region.input || inside.tensors.has(tensor)
            ? this.add(own, tensor, gradient)
            : pass.accumulate(tensor, gradient),
      },
      region,
    );
    return this.atInput(region, own);
  }

  private byRule(rule: RegionBackward, region: Region, g: Tensor, pass: Pass): Tensor {
    const { graph } = this;
    const inside = this.interior(region);
    const side = inside.nodes
      .flatMap((node) => node.inputs)
      .find((input) => input !== region.input && !inside.tensors.has(input) && pass.reached.has(input));
    check(side === undefined, 'bad-argument', `${region.name} has more than one input: ${side?.name}`, region.name);
    const reached = dependents(inside.nodes, [region.input], this.constants(pass.rules));
    const known: NonNullable<Pass['known']> = new Map();
    const context: RegionContext = {
      graph,
      differentiate: (gradient, rules = pass.rules) => {
        const own = new Map([[region.output, gradient]]);
        const accumulate = (tensor: Tensor, part: Tensor): void => this.add(own, tensor, part);
        this.walk(inside.nodes, { rules, reached, known, gradientOf: (tensor) => own.get(tensor), accumulate }, region);
        return this.atInput(region, own);
      },
      observe: (name, value) => this.options.observe?.(`${name}.${region.name}`, value()),
    };
    return graph.scope({ layer: region.name, direction: 'inputGradient', rule: rule.name }, () =>
      rule.emit(context, region, g),
    );
  }

  private atInput(region: Region, own: ReadonlyMap<Tensor, Tensor>): Tensor {
    const gradient = own.get(region.input);
    check(gradient !== undefined, 'internal', `no gradient reaches the input of ${region.name}`, region.name);
    return gradient;
  }

  private interior(region: Region): Interior {
    let interior = this.interiors.get(region);
    if (interior === undefined) this.interiors.set(region, (interior = interiorOf(this.forward, region)));
    return interior;
  }
}

/** The node that made a loss. Throws `bad-argument` where that is no `loss` node. */
function lossNode(loss: Tensor): Node<'loss'> {
  const node = loss.producer as Node<'loss'> | undefined;
  check(
    node?.op === 'loss',
    'bad-argument',
    `gradients start from the output of a loss, not from ${loss.name}`,
    loss.name,
  );
  return node;
}

/**
 * Where {@link gradients} begins for a loss: its logits, and `scale` times the gradient of the sum of losses there.
 * With `raised`, gradients of images that the network is certain of are kept away from denormal numbers.
 * Throws `bad-argument` where the loss is not the output of a `loss` node.
 */
export function lossSeed(
  graph: Graph,
  { loss, scale, raised = false }: Pick<GradientOptions, 'loss' | 'scale'> & { readonly raised?: boolean },
): NonNullable<GradientOptions['seed']> {
  const { inputs, attrs, layer } = lossNode(loss);
  const gradient = graph.scope({ layer, direction: 'inputGradient' }, () =>
    graph.one('lossBackward', inputs, { kind: attrs.kind, scale, ...(raised && { raised }) }),
  );
  return { at: inputs[0]!, gradient };
}

/**
 * Emits the nodes that compute d(scale * sum of loss)/d(target) for each target, walking the graph's nodes in
 * reverse, and returns the gradients by target. They are added to the current segment, in the layer of the forward
 * node they belong to. Where a tensor is used more than once its gradients are added, the one of the latest use first.
 *
 * Where the selection has a rule for a region of the graph, or for the edge into it, the region's part of the
 * gradient at its input is computed by itself. Region rules define that gradient only.
 *
 * Throws `bad-argument` when the loss is not a loss, a target does not influence it, an op between them has no
 * backward, or a parameter's gradient is wanted under a region rule.
 */
export function gradients(graph: Graph, options: GradientOptions): Map<Tensor, Tensor> {
  expectGraph(graph);
  expectMembers(options, 'options', { targets: 'list', rules: 'function' });
  return new Differentiation(graph, options).run();
}
