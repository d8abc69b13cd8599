import { expect } from 'chai';
import { buildAttackGraph } from '../../src/attacks/attackGraph.js';
import { attackNames, attacks } from '../../src/attacks/index.js';
import type { AttackDefinition, AttackName, AttackOptions } from '../../src/attacks/index.js';
import { settle } from '../../src/attacks/options.js';
import { layOut } from '../../src/attacks/schedule.js';
import { inputTransforms } from '../../src/attacks/transfer.js';
import type { Node } from '../../src/graph/types.js';
import { bentModel } from './support.js';

const model = { definition: bentModel(6, 4), weights: new Map() };

/** A node that draws random numbers, but not that which goes back through the same ones. */
type Drawing = Node<'random'> | Node<'randomResizePad'>;
const draws = (node: Node): node is Drawing =>
  node.op === 'random' || (node.op === 'randomResizePad' && !(node as Node<'randomResizePad'>).attrs.transposed);

/** Segments of which a draw has the same stream and counter as one before it in the run. */
function drawnAgain(options: Partial<AttackOptions>): string[] {
  const settings = settle({ model, eps: 0.1, batch: 2, ...options });
  const { runs, rows, columns } = layOut(settings);
  const nodes = buildAttackGraph(model.definition, settings, 2, columns).graph.nodes.filter(draws);
  const seen = new Set<string>();
  const again = new Set<string>();
  for (const { segment, row = 0, repeat = 1 } of runs)
    for (let at = row; at < row + repeat; at++)
      for (const { attrs } of nodes.filter((node) => node.segment === segment)) {
        const { stream, step } = attrs;
        const key = `${stream} ${typeof step === 'number' ? step : rows[at]![step.step]!}`;
        if (seen.has(key)) again.add(segment);
        seen.add(key);
      }
  return [...again].sort();
}

describe('random numbers of an attack', () => {
  const few = { samples: 2, scales: 2, spectra: 2, shuffles: 2, structures: 2, warps: 2, directions: 2 };
  const definitionOf = (name: AttackName): AttackDefinition => attacks[name];

  it('are drawn once: every start, step, sample and copy has its own', () => {
    for (const name of attackNames as AttackName[]) {
      const { plan, steps, parameters, sampling, transforms = [] } = definitionOf(name);
      const own = Object.assign({}, parameters, sampling?.parameters, ...transforms.map((each) => each.parameters));
      const options = {
        attack: name,
        parameters: Object.fromEntries(Object.entries(few).filter(([option]) => option in (own as object))),
        ...(steps === undefined && { steps: 3 }),
        ...(plan === undefined && { randomStart: true, eot: 2 }),
        ...((plan === undefined || plan.restarts === true) && { restarts: 3 }),
      };
      // Admix mixes one image in at several sizes, and SimBA goes on from where an image began.
      const shared = { admix: ['copy'], simba: ['down', 'up'] }[name as string] ?? [];
      expect(drawnAgain(options), name).to.deep.equal(shared);
    }
  });

  it('so has each of several transforms that draw by themselves', () => {
    const nearest = inputTransforms['di-nearest'];
    for (const base of [attacks.ifgsm, attacks.noisy, attacks.difgsm])
      for (const transforms of [[nearest], [nearest, nearest], [nearest, inputTransforms.di]]) {
        const attack = { ...base, name: 'mine', transforms };
        expect(drawnAgain({ attack, steps: 2, eot: 2 }), `${base.name}, ${transforms.length}`).to.deep.equal([]);
      }
  });
});
