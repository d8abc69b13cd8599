import { expect } from 'chai';
import { LinbpError } from '../../src/errors.js';
import * as graph from '../../src/public/graph.js';
import * as io from '../../src/public/io.js';
import * as profile from '../../src/public/profile.js';
import * as root from '../../src/public/root.js';
import * as theory from '../../src/public/theory.js';
import * as tune from '../../src/public/tune.js';

type Call = (...values: unknown[]) => unknown;

const entries: Readonly<Record<string, object>> = { graph, io, profile, root, theory, tune };
const wrong: readonly (readonly unknown[])[] = [[], [undefined], [null], [7], ['x'], [{}]];

/** Stages of attacks, which the engine calls with what it has made ready. */
const stages = [
  ...['adaptiveStep', 'diverseInputs', 'edgeOfBallStart', 'fixedStart', 'identityTransform', 'lossObjective'],
  ...['noMomentum', 'noisyQuery', 'normalizedMomentum', 'plainGradient', 'pointInBall', 'projectOnBall'],
  ...['randomStart', 'smoothedGradient', 'steepestStep'],
];
/** Classes that JavaScript callers make by `new`; the constructors of the others are private. */
const constructed = ['Graph', 'NetBuilder', 'ReferenceRun', 'StepTable', 'TuningTable'];
/** Static functions that are private. */
const internal = ['Program.schedule'];

const isClass = (value: Call): boolean => value.toString().startsWith('class');

/** Every function that the package exports, static functions and constructors of its classes among them. */
function* functions(): Generator<readonly [name: string, call: Call]> {
  for (const [entry, module] of Object.entries(entries))
    for (const [name, value] of Object.entries(module) as [string, Call][]) {
      if (typeof value !== 'function' || stages.includes(name)) continue;
      if (!isClass(value)) {
        yield [`${entry}: ${name}`, value];
        continue;
      }
      const members = value as unknown as Readonly<Record<string, Call>> & (new (...values: unknown[]) => unknown);
      for (const member of Object.getOwnPropertyNames(members))
        if (typeof members[member] === 'function' && !internal.includes(`${name}.${member}`))
          yield [`${entry}: ${name}.${member}`, (...values) => members[member]!(...values)];
      if (constructed.includes(name)) yield [`${entry}: new ${name}`, (...values) => new members(...values)];
    }
}

describe('every exported function', () => {
  it('answers missing and wrong arguments with a result or a typed error', async function () {
    this.timeout(120_000);
    const bare: string[] = [];
    let count = 0;
    for (const [name, call] of functions())
      for (const values of wrong) {
        count += 1;
        try {
          const result = (await call(...values)) as { destroy?(): void } | undefined;
          result?.destroy?.();
        } catch (error) {
          if (!(error instanceof LinbpError)) bare.push(`${name}(${values.map(String).join()}): ${String(error)}`);
        }
      }
    expect(count).to.be.above(700);
    expect(bare).to.deep.equal([]);
  });
});
