import { elementCount } from '../graph/types.js';
import type { ElementwiseFunction, Tensor } from '../graph/types.js';
import { countQueries } from './estimates.js';
import { leadOf, marginObjective } from './nearest.js';
import { orNaN } from './numbers.js';
import { map } from './transformParts.js';
import { projectOnBall } from './stages.js';
import type { AttackPlan, StageContext } from './stages.js';

/*
 * SimBA: C. Guo et al., "Simple black-box adversarial attacks", ICML 2019, in the pixel basis: one pixel after another
 * is moved up, or else down, where that lowers the lead of the label. No pixel comes twice before all have come; each
 * image begins at a place of its own.
 */

const pixelAt: ElementwiseFunction = {
  name: 'movedPixel',
  inputs: ['x', 'place', 'u'],
  scalars: ['at', 'pixels', 'amount'],
  prelude: `  let first = floor(u * pixels);
  let chosen = first + at - select(0.0, pixels, first + at >= pixels);`,
  results: ['x + select(0.0, amount, place == chosen)'],
  reference: (x, place, u, at, pixels, amount) => {
    const chosen = (Math.floor(u! * pixels!) + at!) % pixels!;
    return [x! + (place === chosen ? amount! : 0)];
  },
};

/** Images that fool, and those whose pixel has gone up, ask nothing. */
const accepted: ElementwiseFunction = {
  name: 'acceptLower',
  inputs: ['best', 'fooled', 'lead', 'moved'],
  scalars: ['start'],
  prelude: '  let better = start > 0.5 || (fooled < 0.5 && moved < 0.5 && lead < best);',
  results: [
    'select(best, lead, better)',
    'select(fooled, 1.0, better && lead < 0.0)',
    'orNaN(select(0.0, 1.0, better), lead)',
  ],
  reference: (best, fooled, lead, moved, start) => {
    const better = start! > 0.5 || (fooled! < 0.5 && moved! < 0.5 && lead! < best!);
    return [better ? lead! : best!, better && lead! < 0 ? 1 : fooled!, orNaN(Number(better), lead!)];
  },
};

const keep: ElementwiseFunction = {
  name: 'keepAccepted',
  inputs: ['x', 'proposal', 'better'],
  scalars: [],
  results: ['orNaN(select(x, proposal, better > 0.5), better)'],
  reference: (x, proposal, better) => [orNaN(better! > 0.5 ? proposal! : x!, better!)],
};

function build(stage: StageContext, x: Tensor): void {
  const { graph, clean, segment, parameters } = stage;
  const samples = [clean.shape[0]!];
  const pixels = elementCount(clean.shape.slice(1));
  const [lead, fooled, moved] = ['lead', 'fooled', 'moved'].map((name) => stage.state(name, samples)) as [
    Tensor,
    Tensor,
    Tensor,
  ];
  const judge = (proposal: Tensor, start: number): Tensor => {
    countQueries(stage, 1, moved);
    const own = leadOf(stage, marginObjective(stage, stage.forward(proposal).logits, stage.aims));
    const inputs = [lead, fooled, own, moved];
    const [better] = graph.add('map', inputs, { fn: accepted, scalars: [start], targets: [0, 1, 'new'] });
    graph.add('map', [x, proposal, better!], { fn: keep, scalars: [], targets: [0] });
    return better!;
  };
  const proposal = (sign: 1 | -1): Tensor => {
    const places = Array.from({ length: elementCount(clean.shape) }, (_, i) => i % pixels);
    const place = graph.constant(`places ${sign}`, places, clean.shape);
    const u = stage.random(samples, 'uniform', stage.draws[0]);
    const scalars = [{ step: 'at' }, pixels, sign * parameters['amount']!];
    return projectOnBall(stage, map(stage, pixelAt, [x, place, u], scalars));
  };
  segment('start', () => void judge(x, 1));
  segment('up', () => {
    stage.set(moved, 0);
    graph.add('assign', [judge(proposal(1), 0), moved], {});
  });
  segment('down', () => void judge(proposal(-1), 0));
}

/** A stride that meets every pixel before it comes back. */
function strideOf(pixels: number): number {
  const divisor = (a: number, b: number): number => (b === 0 ? a : divisor(b, a % b));
  let stride = Math.max(1, Math.round(pixels * 0.6180339887));
  while (divisor(stride, pixels) !== 1) stride++;
  return stride;
}

export const simbaPlan: AttackPlan = {
  fields: { at: 'f32' },
  build,
  phases({ steps, pixels }) {
    const count = elementCount([...pixels]);
    const stride = strideOf(count);
    const rows = Array.from({ length: steps }, (_, step) => ({ at: (step * stride) % count }));
    return [
      { segment: 'start', rows: [{}] },
      ...rows.flatMap((row) => [
        { segment: 'up', rows: [row] },
        { segment: 'down', rows: [row] },
      ]),
    ];
  },
  cost: ({ steps }) => ({ gradients: 0, forwards: 2 * steps + 1 }),
};
