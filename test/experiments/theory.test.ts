import { expect } from 'chai';
import { theory } from '../../src/experiments/theory.js';
import { smallest } from './support.js';

describe('theory as an experiment', () => {
  it('says what the simulations and both theorems show, with a map up to and beyond the bound @slow', async () => {
    const result = await theory.run(await smallest({ seed: 0 }));
    // Three modes of the attack and training: at 400 and 10 repeats the intervals are clear of zero.
    expect(result.statements.slice(0, 4).map(({ verdict }) => verdict)).to.deep.equal([
      'holds',
      'holds',
      'holds',
      'holds',
    ]);
    const [first, , second] = result.statements.slice(4);
    expect([first!.verdict, second!.verdict]).to.deep.equal(['holds', 'holds']);
    const { theorems } = result.figures as {
      theorems: { map: { values: number[]; verdicts: string[]; violating: number[][] } }[];
    };
    for (const { map } of theorems) {
      const at = (eta: number): number => map.values.indexOf(eta);
      for (const eta of [0.05, 1]) expect(Math.max(...map.violating[at(eta)]!), `eta ${eta}`).to.equal(0);
      expect(map.verdicts[at(1)]).to.equal('every draw');
      expect(map.verdicts[at(3.5)]).to.equal('fails');
    }
    expect(
      result.maps!.map(({ values, rows, columns }) => [
        values.length === rows.length,
        values[0]!.length === columns.length,
      ]),
    ).to.deep.equal([
      [true, true],
      [true, true],
    ]);
    expect(result.curves.map(({ lines }) => lines.length)).to.deep.equal([2, 2, 2, 2]);
  });
});
