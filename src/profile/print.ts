import { expectGraph, expectMembers, expectProgram } from '../arguments.js';
import { resolveView } from '../graph/graph.js';
import type { Graph } from '../graph/graph.js';
import { byteLength, elementBytes, imagePitch, pixelCount } from '../graph/types.js';
import type { Node, Tensor, TensorView } from '../graph/types.js';
import type { Group } from '../kernels/types.js';
import type { DispatchSchedule } from '../plan/schedule.js';
import type { Program } from '../program/program.js';
import { rulesOf } from './profile.js';
import { directionNames } from './table.js';
import { bytesText, digits, textTable } from './textTable.js';

const shapeText = (tensor: Tensor): string =>
  `${tensor.dtype === 'f32' ? '' : `${tensor.dtype} `}[${tensor.shape.join(', ')}]`;
const label = (tensor: Tensor): string => `%${tensor.id} ${tensor.name}`;

/** An op as readers know it: activations by their function. */
const shownOp = ({ op, attrs }: Node): string =>
  op === 'activation' || op === 'unary' ? String((attrs as { readonly kind: string }).kind) : op;

/** Attributes in short: numbers, words and lists; rules and functions by name. */
function attributes(node: Node): string {
  const show = (value: unknown): string => {
    if (Array.isArray(value)) return `[${value.map(show).join(', ')}]`;
    if (typeof value !== 'object' || value === null) return String(value);
    if ('step' in value) return `step.${String(value.step)}`;
    if ('rule' in value && typeof value.rule === 'object') return (value.rule as { name: string }).name;
    if ('name' in value) return String(value.name);
    return JSON.stringify(value);
  };
  return Object.entries(node.attrs)
    .map(([name, value]) => `${name}=${show(value)}`)
    .join(' ');
}

/**
 * The tensor that a view is a part of, where it begins there, and how far apart its images lie where others lie
 * between them.
 */
function viewText({ base, offset, pitch }: TensorView): string {
  const apart = pitch === undefined ? '' : `, images ${pitch} apart`;
  return `${label(base)} from element ${offset} on${apart}`;
}

/** All tensors that lie in others: the graph's views, then those that were put into others' channels. */
function viewsOf(
  graph: Graph,
  places: DispatchSchedule['places'],
): { readonly tensor: Tensor; readonly view: TensorView }[] {
  return [...graph.tensors, ...places.values()].flatMap((tensor) =>
    tensor.view === undefined ? [] : [{ tensor, view: tensor.view }],
  );
}

const overwritten = ({ inputs, mutates }: Node): string =>
  mutates.length === 0 ? '' : ` overwrites ${mutates.map((slot) => `%${inputs[slot]!.id}`).join(', ')}`;

/**
 * What is stored between runs and what lies inside other tensors, and the graph's nodes in running order, one line
 * each: results, op, operands, layer, direction, segment, rule and attributes. `places` has what a compiled program
 * put inside wider tensors.
 */
export function printGraph(graph: Graph, places: DispatchSchedule['places'] = new Map(), width = Infinity): string {
  expectGraph(graph);
  const lines = graph.nodes.map((node) => ({
    results: node.outputs.map((tensor) => `${label(tensor)} ${shapeText(tensor)}`).join(', '),
    call: `${node.op}(${node.inputs.map((tensor) => `%${tensor.id}`).join(', ')})${overwritten(node)}`,
    attributes: attributes(node),
    layer: node.layer || '-',
    direction: directionNames[node.direction] ?? node.direction,
    segment: node.segment,
    rule: node.rule || '-',
  }));
  const stored = graph.tensors
    .filter((tensor) => tensor.kind !== 'value' && tensor.view === undefined)
    .map((tensor) => `${label(tensor)} ${shapeText(tensor)} ${tensor.kind}`);
  const views = viewsOf(graph, places).map(
    ({ tensor, view }) => `${label(tensor)} ${shapeText(tensor)} is ${viewText(view)}`,
  );
  return [
    ...stored,
    '',
    ...views,
    ...(views.length === 0 ? [] : ['']),
    textTable(
      [
        { title: 'results', value: (line) => line.results },
        { title: 'node', value: (line) => line.call },
        { title: 'layer', value: (line) => line.layer },
        { title: 'direction', value: (line) => line.direction },
        { title: 'segment', value: (line) => line.segment },
        { title: 'rule', value: (line) => line.rule },
        { title: 'attributes', value: (line) => line.attributes },
      ],
      lines,
      width,
    ),
    '',
    `outputs: ${[...graph.outputs].map(([name, tensor]) => `${name} = %${tensor.id}`).join(', ') || 'none'}`,
  ].join('\n');
}

/**
 * What is narrowed to 16 bits wherever it is stored; values that fusion keeps inside a kernel are not stored at all.
 */
function printPrecision(graph: Graph, width: number): string {
  const values = graph.nodes.flatMap((node) =>
    node.outputs.filter(({ view }) => view === undefined).map((tensor) => ({ tensor, node })),
  );
  const half = values.filter(({ tensor }) => tensor.dtype === 'f16');
  const title = `precision ${graph.precision ?? 'f32'}: ${half.length} of ${values.length} values in f16`;
  if (half.length === 0) return title;
  return [
    title,
    textTable(
      [
        { title: 'value', value: ({ tensor }) => label(tensor) },
        { title: 'shape', value: ({ tensor }) => `[${tensor.shape.join(', ')}]` },
        { title: 'bytes', value: ({ tensor }) => String(byteLength(tensor)), align: 'right' },
        { title: 'layer', value: ({ node }) => node.layer || '-' },
        { title: 'direction', value: ({ node }) => directionNames[node.direction] ?? node.direction },
        { title: 'written by', value: ({ node }) => node.op },
      ],
      half,
      width,
    ),
  ].join('\n');
}

/** The nodes of each kernel, with what was fused into it and what it still stores. */
function printFusion(groups: readonly Group[], width: number): string {
  return [
    `fusion: ${groups.reduce((sum, group) => sum + 1 + group.followers.length, 0)} nodes in ${groups.length} kernels`,
    textTable(
      [
        { title: '#', value: ({ index }) => String(index), align: 'right' },
        { title: 'segment', value: ({ group }) => group.anchor.segment },
        { title: 'layer', value: ({ group }) => group.anchor.layer || '-' },
        { title: 'direction', value: ({ group }) => directionNames[group.anchor.direction] ?? group.anchor.direction },
        { title: 'nodes', value: ({ group }) => [group.anchor, ...group.followers].map(shownOp).join(' > ') },
        { title: 'also stored', value: ({ group }) => group.kept.map(label).join(', ') || '-' },
      ],
      groups.map((group, index) => ({ group, index })),
      width,
    ),
  ].join('\n');
}

/** What was put inside wider tensors and is not copied therefore. */
function printWindows(places: DispatchSchedule['places'], width: number): string {
  const title = `windows: ${places.size} values inside wider ones`;
  if (places.size === 0) return title;
  const first = ({ shape, view }: Tensor): number => view!.offset / pixelCount(shape);
  return [
    title,
    textTable<Tensor>(
      [
        { title: 'value', value: label },
        { title: 'shape', value: shapeText },
        { title: 'inside', value: ({ view }) => `${label(view!.base)} ${shapeText(view!.base)}` },
        { title: 'channels', value: (tensor) => `${first(tensor)} to ${first(tensor) + tensor.shape[1]! - 1}` },
        { title: 'pitch', value: (tensor) => String(imagePitch(tensor)), align: 'right' },
      ],
      [...places.values()],
      width,
    ),
  ].join('\n');
}

/** What each pass made of the graph, in the order in which they run: precision, fusion, windows. */
export function printPasses(schedule: DispatchSchedule, width = Infinity): string {
  expectMembers(schedule, 'schedule', { graph: 'object', groups: 'list', places: 'map' });
  const { graph, groups, places } = schedule;
  return [printPrecision(graph, width), printFusion(groups, width), printWindows(places, width)].join('\n\n');
}

/**
 * Tensors that lie inside values of the plan: their first byte in the arena, and the bytes from one image to the next
 * where others lie between.
 */
function printPlannedViews({ plan, schedule: { graph, places } }: Program, width: number): string[] {
  const rows = viewsOf(graph, places).flatMap(({ tensor }) => {
    const { root, offset } = resolveView(tensor);
    const place = plan.placements.get(root);
    return place === undefined ? [] : [{ tensor, root, place, begin: place.offset + elementBytes(tensor) * offset }];
  });
  if (rows.length === 0) return [];
  return [
    '',
    textTable(
      [
        { title: 'view', value: ({ tensor }) => tensor.name },
        { title: 'shape', value: ({ tensor }) => shapeText(tensor) },
        { title: 'inside', value: ({ root }) => root.name },
        { title: 'arena', value: ({ place }) => String(place.arena), align: 'right' },
        { title: 'offset', value: ({ begin }) => String(begin), align: 'right' },
        {
          title: 'pitch',
          value: ({ tensor }) =>
            tensor.view!.pitch === undefined ? '-' : String(elementBytes(tensor) * imagePitch(tensor)),
          align: 'right',
        },
      ],
      rows,
      width,
    ),
  ];
}

/**
 * Where each value lies and for how long, in order of first use, and what lies inside them; offsets and pitches are
 * bytes.
 */
export function printPlan(program: Program, width = Infinity): string {
  expectProgram(program);
  const { plan } = program;
  const rows = [...plan.placements]
    .map(([tensor, place]) => ({ tensor, place, life: plan.lifetimes.get(tensor)! }))
    .sort(
      (left, right) =>
        left.life.first - right.life.first ||
        left.place.arena - right.place.arena ||
        left.place.offset - right.place.offset,
    );
  return [
    ...plan.arenas.map((bytes, index) => `arena ${index}: ${bytesText(bytes)}`),
    `${bytesText(plan.bytes)} planned; without sharing ` +
      `${bytesText(rows.reduce((sum, { place }) => sum + place.bytes, 0))}; saved for the backward pass ` +
      `${bytesText(plan.savedForBackwardBytes)}`,
    '',
    textTable(
      [
        { title: 'value', value: ({ tensor }) => tensor.name },
        { title: 'shape', value: ({ tensor }) => shapeText(tensor) },
        { title: 'bytes', value: ({ tensor }) => String(byteLength(tensor)), align: 'right' },
        { title: 'arena', value: ({ place }) => String(place.arena), align: 'right' },
        { title: 'offset', value: ({ place }) => String(place.offset), align: 'right' },
        { title: 'first', value: ({ life }) => String(life.first), align: 'right' },
        { title: 'last', value: ({ life }) => String(life.last), align: 'right' },
      ],
      rows,
      width,
    ),
    ...printPlannedViews(program, width),
  ].join('\n');
}

/** The dispatches of a program in running order, with their kernels and sizes. */
export function printProgram(program: Program, width = Infinity): string {
  expectProgram(program);
  const pipelines = new Set(program.dispatches.map(({ pipeline }) => pipeline)).size;
  return [
    `${program.dispatches.length} dispatches, ${pipelines} pipelines`,
    textTable(
      [
        { title: '#', value: ({ index }) => String(index), align: 'right' },
        { title: 'segment', value: ({ source }) => source.segment },
        { title: 'layer', value: ({ source }) => source.group.anchor.layer || '-' },
        {
          title: 'direction',
          value: ({ source }) => directionNames[source.group.anchor.direction] ?? source.group.anchor.direction,
        },
        { title: 'kernel', value: ({ source }) => source.kernel },
        { title: 'variant', value: ({ source }) => source.variant },
        { title: 'rule', value: ({ source }) => rulesOf(source) || '-' },
        { title: 'workgroups', value: ({ source }) => source.workgroups.join('x'), align: 'right' },
        { title: 'MFLOP', value: ({ source }) => digits(source.flops / 1e6, 3), align: 'right' },
        { title: 'KiB', value: ({ source }) => digits(source.bytes / 1024, 3), align: 'right' },
        { title: 'reads', value: ({ source }) => names(source.operands, 'read') },
        { title: 'writes', value: ({ source }) => names(source.operands, 'write') },
      ],
      program.dispatches.map(({ source }, index) => ({ source, index })),
      width,
    ),
  ].join('\n');
}

function names(
  operands: readonly { readonly tensor: Tensor; readonly access: string }[],
  access: 'read' | 'write',
): string {
  const found = operands
    .filter((operand) => (operand.access === 'read') === (access === 'read'))
    .map((operand) => operand.tensor.name);
  return found.join(', ') || '-';
}

const quote = (text: string): string => `"${text.replace(/["\\]/g, '\\$&').replace(/\n/g, '\\n')}"`;
const directionColors: Readonly<Record<string, string>> = {
  data: '#e8ecef',
  forward: '#d7ece6',
  inputGradient: '#e4ddf5',
  weightGradient: '#f6dbe6',
  update: '#eceae4',
  attack: '#f5ecc9',
};

/** The graph in Graphviz' language: `dot -Tsvg` draws it. Nodes are colored by direction, one cluster a segment. */
export function dotOf(graph: Graph): string {
  expectGraph(graph);
  const segments = [...new Set(graph.nodes.map((node) => node.segment))];
  const lines = [
    'digraph linbp {',
    '  rankdir=TB;',
    '  node [shape=box, style="rounded,filled", fontname="Helvetica", fontsize=10];',
    '  edge [fontname="Helvetica", fontsize=8];',
  ];
  for (const [index, segment] of segments.entries()) {
    lines.push(`  subgraph cluster_${index} {`, `    label=${quote(segment)};`);
    for (const node of graph.nodes.filter((each) => each.segment === segment)) {
      lines.push(
        `    n${node.id} [label=${quote(`${node.op}\n${node.layer}`)}, ` +
          `fillcolor=${quote(directionColors[node.direction] ?? '#ffffff')}];`,
      );
    }
    lines.push('  }');
  }
  for (const tensor of graph.tensors) {
    if (tensor.kind === 'value' || tensor.view !== undefined) continue;
    lines.push(
      `  t${tensor.id} [label=${quote(`${tensor.name}\n${shapeText(tensor)}`)}, shape=ellipse, fillcolor="#ffffff"];`,
    );
  }
  for (const node of graph.nodes) {
    for (const input of node.inputs) {
      let source = input;
      while (source.producer === undefined && source.view !== undefined) source = source.view.base;
      const from = source.producer === undefined ? `t${source.id}` : `n${source.producer.id}`;
      lines.push(`  ${from} -> n${node.id} [label=${quote(input.shape.join('x'))}];`);
    }
  }
  return [...lines, '}', ''].join('\n');
}
