import { expect } from 'chai';
import { LinbpError } from '../../src/errors.js';
import { lenet5, mlp } from '../../src/nn/zoo/mnist.js';
import { groupNodes } from '../../src/passes/fuse.js';
import { checkPlan } from '../../src/plan/check.js';
import { plan } from '../../src/plan/plan.js';
import type { Placement, Plan } from '../../src/plan/plan.js';
import { schedule } from '../../src/plan/schedule.js';
import type { Tensor } from '../../src/graph/types.js';
import { gradientGraph } from '../support/networks.js';
import { plainDevice } from '../support/plainDevice.js';

function scheduled(definition = lenet5, fuse = true) {
  const { graph } = gradientGraph(definition, { batch: 2, rule: 'bp', what: 'train' });
  return schedule(graph, groupNodes(graph, fuse), plainDevice, () => 1);
}

const edited = (original: Plan, change: (placements: Map<Tensor, Placement>) => void): Plan => {
  const placements = new Map(original.placements);
  change(placements);
  return { ...original, placements };
};

describe('memory plan', () => {
  it('passes its checker and shares memory, for both networks, fused and unfused', () => {
    for (const definition of [mlp, lenet5]) {
      for (const fuse of [true, false]) {
        const work = scheduled(definition, fuse);
        const made = plan(work);
        checkPlan(work, made);
        expect(made.bytes).to.be.below(plan(work, { aliasing: false }).bytes);
        for (const place of made.placements.values()) expect(place.offset % 256).to.equal(0);
      }
    }
  });

  it('never needs less than the values alive at one time', () => {
    const work = scheduled();
    const made = plan(work);
    for (let index = 0; index < work.dispatches.length; index++) {
      let alive = 0;
      for (const [tensor, life] of made.lifetimes)
        if (life.first <= index && index <= life.last) alive += made.placements.get(tensor)!.bytes;
      expect(made.bytes).to.be.at.least(alive);
    }
  });

  it('splits arenas at the largest buffer', () => {
    const work = scheduled();
    const largest = Math.max(...[...plan(work).placements.values()].map((place) => place.bytes));
    const made = plan(work, { maxArena: largest });
    checkPlan(work, made);
    for (const arena of made.arenas) expect(arena).to.be.at.most(largest);
  });

  describe('the checker refuses', () => {
    const work = scheduled();
    const made = plan(work);
    const refuse = (broken: Plan, words: RegExp): void => {
      expect(() => checkPlan(work, broken)).to.throw(LinbpError, words);
    };
    /** Two values of one arena that are alive at the same time. */
    const together = (): [Tensor, Tensor] => {
      for (const [left, a] of made.placements) {
        for (const [right, b] of made.placements) {
          const [first, second] = [made.lifetimes.get(left)!, made.lifetimes.get(right)!];
          if (left !== right && a.arena === b.arena && first.first < second.first && second.first < first.last)
            return [left, right];
        }
      }
      throw new Error('no two values live together');
    };

    it('two live values on the same bytes', () => {
      const [left, right] = together();
      refuse(
        edited(made, (map) => map.set(right, { ...map.get(right)!, offset: map.get(left)!.offset })),
        /finds|overlap|written/,
      );
    });
    it('an arena that is read and written by one dispatch', () => {
      const dispatch = work.dispatches.find(
        (each) =>
          each.operands.some((o) => o.access === 'write' && made.placements.has(o.tensor)) &&
          each.operands.some((o) => o.access === 'read' && made.placements.has(o.tensor)),
      )!;
      const input = dispatch.operands.find((o) => o.access === 'read' && made.placements.has(o.tensor))!.tensor;
      const output = dispatch.operands.find((o) => o.access === 'write' && made.placements.has(o.tensor))!.tensor;
      const moved: Placement = {
        ...made.placements.get(output)!,
        arena: made.placements.get(input)!.arena,
        offset: made.arenas[made.placements.get(input)!.arena]!,
      };
      const wide = {
        ...edited(made, (map) => map.set(output, moved)),
        arenas: made.arenas.map((size) => size + 2 ** 24),
      };
      refuse(wide, /is written .* and read/);
    });
    it('an offset that is not a multiple of 256', () => {
      const [tensor] = [...made.placements.keys()];
      refuse(
        edited(made, (map) => map.set(tensor!, { ...map.get(tensor!)!, offset: map.get(tensor!)!.offset + 4 })),
        /not a multiple of 256/,
      );
    });
    it('a value that leaves its arena', () => {
      const [tensor] = [...made.placements.keys()];
      refuse(
        edited(made, (map) => map.set(tensor!, { ...map.get(tensor!)!, offset: 2 ** 30 })),
        /outside its arena/,
      );
    });
  });
});
