import { expect } from 'chai';
import { LinbpError } from '../../src/errors.js';
import {
  angleBetween,
  bpField,
  clipToBox,
  effectiveStep,
  expectedLinbpDistance,
  expectedOneLayerGradient,
  expectedTwoLayerGradient,
  l1Distance,
  linbpCoordinateDistance,
  linbpDistance,
  linbpField,
  populationDynamics,
  stepSizeCondition,
} from '../../src/theory/closedForm.js';
import { normalDistribution, studentQuantile95 } from '../../src/theory/gaussian.js';
import { theoremDefaults } from '../../src/theory/theorems.js';

const fresh = (count: number, scale = 1): number[] =>
  Array.from({ length: count }, () => scale * (2 * Math.random() - 1));

function expectClose(actual: ArrayLike<number>, expected: readonly number[], tolerance = 1e-6): void {
  expect(actual.length).to.equal(expected.length);
  expected.forEach((value, i) => expect(actual[i]).to.be.closeTo(value, tolerance));
}

function expectCode(code: string, work: () => unknown): void {
  expect(work).to.throw(LinbpError).with.property('code', code);
}

describe('closed forms of the theory', () => {
  it('gives the test vectors of both fields', () => {
    expectClose(bpField([1, 0], [0, 1]), [0.340845, -0.25]);
    expectClose(linbpField([1, 0], [0, 1]), [0.5, -0.5]);
    expectClose(bpField([1, 0], [-1, 0]), [0.5, 0]);
    expectClose(linbpField([1, 0], [-1, 0]), [1, 0]);
    const point = fresh(5);
    expectClose(bpField(point, point), [0, 0, 0, 0, 0], 1e-15);
    expectClose(linbpField(point, point), [0, 0, 0, 0, 0], 0);
  });

  it('scales with both points and turns with them', () => {
    const [x, y, r, s] = fresh(4) as [number, number, number, number];
    const scale = 0.1 + Math.random();
    const field = bpField([x, y], [r, s]);
    expectClose(
      bpField([scale * x, scale * y], [scale * r, scale * s]),
      Array.from(field, (value) => scale * value),
      1e-12,
    );
    const angle = 7 * Math.random();
    const turn = (a: number, b: number): number[] => [
      Math.cos(angle) * a - Math.sin(angle) * b,
      Math.sin(angle) * a + Math.cos(angle) * b,
    ];
    expectClose(bpField(turn(x, y), turn(r, s)), turn(field[0]!, field[1]!), 1e-12);
  });

  it('is a numerical integral over the half-planes in two dimensions', () => {
    const a = fresh(2);
    const target = fresh(2);
    // E[x D(xa) (relu(xa) - relu(xb))] over directions; the radius contributes E[r^2] = 2.
    const sums = { bp: [0, 0], linbp: [0, 0] };
    const count = 200_000;
    for (let k = 0; k < count; k++) {
      const direction = [Math.cos((2 * Math.PI * (k + 0.5)) / count), Math.sin((2 * Math.PI * (k + 0.5)) / count)];
      const z = direction[0]! * a[0]! + direction[1]! * a[1]!;
      const error = Math.max(z, 0) - Math.max(direction[0]! * target[0]! + direction[1]! * target[1]!, 0);
      for (const j of [0, 1]) {
        sums.linbp[j]! += (2 * error * direction[j]!) / count;
        if (z > 0) sums.bp[j]! += (2 * error * direction[j]!) / count;
      }
    }
    expectClose(expectedOneLayerGradient('bp', a, target), sums.bp, 1e-4);
    expectClose(expectedOneLayerGradient('linbp', a, target), sums.linbp, 1e-4);
  });

  it('multiplies by d2 d3 for two layers, and divides by d1 as coded', () => {
    const x = fresh(6);
    const target = fresh(6);
    for (const rule of ['bp', 'linbp'] as const) {
      const one = Array.from(expectedOneLayerGradient(rule, x, target));
      expectClose(
        expectedTwoLayerGradient(rule, x, target, { d2: 5, d3: 4 }),
        one.map((value) => 20 * value),
        1e-12,
      );
      expectClose(
        expectedTwoLayerGradient(rule, x, target, { d2: 5, d3: 4 }, { asCoded: true }),
        one.map((value) => (20 / 6) * value),
        1e-12,
      );
    }
    expect(effectiveStep(0.5, 'training')).to.equal(0.5);
    expect(effectiveStep(1e-3, { d1: 100, d2: 20, d3: 10 })).to.be.closeTo(0.2, 1e-12);
    expect(effectiveStep(1e-3, { d1: 100, d2: 20, d3: 10 }, { asCoded: true })).to.be.closeTo(0.002, 1e-12);
  });

  it('keeps angles exact near 0 and pi', () => {
    expect(angleBetween([1, 0], [1, 1e-9])).to.be.closeTo(1e-9, 1e-20);
    expect(angleBetween([1, 0], [-1, 1e-9])).to.be.closeTo(Math.PI - 1e-9, 1e-15);
    expect(angleBetween([2, 0], [0, 3])).to.be.closeTo(Math.PI / 2, 1e-15);
  });

  it('lets LinBP follow max(q^t |D|, |D| - eps), with and without a clip', () => {
    const start = fresh(20, 2);
    const target = fresh(20, 2);
    for (const eta of [0.01 + Math.random(), 2]) {
      for (const eps of [0.1 + Math.random(), undefined]) {
        const { distances, end } = populationDynamics({ rule: 'linbp', start, target, eta, steps: 60, eps });
        distances.forEach((distance, t) =>
          expect(distance).to.be.closeTo(linbpDistance(start, target, t, eta, eps), 1e-5),
        );
        start.forEach((value, i) => {
          const expected = linbpCoordinateDistance(target[i]! - value, 60, eta, eps);
          expect(Math.abs(end[i]! - target[i]!)).to.be.closeTo(expected, 1e-9);
        });
      }
    }
  });

  it('never lets a step under BP leave the box', () => {
    const start = fresh(8, 2);
    const { end } = populationDynamics({
      rule: 'bp',
      start,
      target: fresh(8, 2),
      eta: 3 * Math.random() + 0.01,
      steps: 40,
      eps: 0.3,
    });
    start.forEach((value, i) => expect(Math.abs(end[i]! - value)).to.be.at.most(0.3 + 1e-12));
  });

  it('clips element by element, and twice as once', () => {
    const start = fresh(50);
    const clipped = clipToBox(Float64Array.from(fresh(50, 3)), start, 0.25);
    expect(Array.from(clipToBox(clipped.slice(), start, 0.25))).to.deep.equal(Array.from(clipped));
    clipped.forEach((value, i) => expect(Math.abs(value - start[i]!)).to.be.at.most(0.25 + 1e-15));
    expectClose(clipToBox(Float64Array.of(5, -5, 0.1), [0, 0, 0], 0.25), [0.25, -0.25, 0.1], 0);
  });

  it("gives LinBP's expected distance in closed form", () => {
    const law = theoremDefaults[1];
    // The figures that numerical sampling of the same law gives, linbp 172.0 and 175.3 with a clip.
    expect(expectedLinbpDistance(law, 100, 0.05, 0.25)).to.be.closeTo(172.0, 0.1);
    expect(expectedLinbpDistance(law, 10, 0.05, 0.25)).to.be.closeTo(175.3, 0.1);
    const eta = 0.05 + Math.random();
    const t = 1 + Math.floor(20 * Math.random());
    const eps = 0.1 + Math.random();
    const law2 = { ...law, targetMean: 2 * Math.random() - 1 };
    const deviation = Math.hypot(2, 1);
    let integral = 0;
    const width = 1e-4;
    for (let u = -9; u < 9; u += width) {
      const x = u + width / 2;
      const delta = law2.targetMean + deviation * x;
      integral +=
        (Math.exp(-0.5 * x * x) / Math.sqrt(2 * Math.PI)) * linbpCoordinateDistance(delta, t, eta, eps) * width;
    }
    expect(expectedLinbpDistance(law2, t, eta, eps)).to.be.closeTo(100 * integral, 1e-4);
    expect(expectedLinbpDistance({ ...law2, targetDeviation: 0, startDeviation: 0 }, t, eta, eps)).to.be.closeTo(
      100 * linbpCoordinateDistance(law2.targetMean, t, eta, eps),
      1e-9,
    );
  });

  it('knows the step-size condition', () => {
    expect(stepSizeCondition(2)).to.deep.equal({ contraction: 0, monotone: true, converges: true });
    expect(stepSizeCondition(3)).to.deep.equal({ contraction: -0.5, monotone: false, converges: true });
    expect(stepSizeCondition(4).converges).to.equal(false);
  });

  it('has an accurate normal distribution and Student quantile', () => {
    expect(normalDistribution(1.959963984540054)).to.be.closeTo(0.975, 1e-14);
    expect(normalDistribution(-6) / 9.865876450376946e-10).to.be.closeTo(1, 1e-12);
    expect(normalDistribution(-3.999999) - normalDistribution(-4.000001)).to.be.closeTo(
      2e-6 * 1.3383022576488537e-4,
      1e-15,
    );
    expect(studentQuantile95(9)).to.be.closeTo(2.262157, 2e-3);
    expect(studentQuantile95(399)).to.be.closeTo(1.965927, 1e-5);
  });

  it('refuses bad input', () => {
    expectCode('bad-shape', () => bpField([1, 2], [1]));
    expectCode('bad-range', () => bpField([0, 0], [1, 1]));
    expectCode('bad-range', () => populationDynamics({ rule: 'bp', start: [1], target: [2], eta: 0, steps: 1 }));
    expectCode('bad-range', () => populationDynamics({ rule: 'bp', start: [1], target: [2], eta: 1, steps: 1.5 }));
    expectCode('bad-range', () => linbpCoordinateDistance(1, 3, 2.5, 0.1));
    expect(l1Distance([1, -2], [0, 2])).to.equal(5);
  });
});
