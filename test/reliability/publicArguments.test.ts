import { expect } from 'chai';
import { LinbpError } from '../../src/errors.js';
import * as graph from '../../src/public/graph.js';
import * as io from '../../src/public/io.js';
import * as profile from '../../src/public/profile.js';
import * as root from '../../src/public/root.js';
import * as theory from '../../src/public/theory.js';
import * as tune from '../../src/public/tune.js';
import { sharedDevice } from '../support/device.js';

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

/** Methods that are private, hand their arguments to WebGPU as they are, or write a file of any name. */
const passedOn = [
  ...['Program.encode', 'Program.submitOne', 'Program.runNow', 'Program.timingOf', 'Program.readBytes'],
  ...['ReferenceRun.runNode', 'Model.save'],
];

describe('every method of graphs, programs, models and tables', () => {
  it('answers missing and wrong arguments with a result or a typed error', async () => {
    const small = (): graph.Graph => {
      const made = new graph.Graph();
      made.output('y', made.one('unary', [made.input('x', [2, 4])], { kind: 'relu' }));
      return made;
    };
    const device = await sharedDevice();
    const definition = root.modelDefinition('mlp');
    const makers: Readonly<Record<string, () => unknown>> = {
      Graph: small,
      Program: () => graph.Program.compile(small(), { device }),
      Model: () => root.Model.create(definition, { device }),
      ReferenceRun: () => new graph.ReferenceRun(small()),
      StepTable: () => new graph.StepTable({ a: 'f32' }, 2),
      TuningTable: () => new tune.TuningTable(),
    };
    const bare: string[] = [];
    for (const [name, make] of Object.entries(makers)) {
      const prototype = Object.getPrototypeOf(await make()) as object;
      const methods = Object.entries(Object.getOwnPropertyDescriptors(prototype))
        .filter(([method, { value }]) => typeof value === 'function' && method !== 'constructor')
        .filter(([method]) => !passedOn.includes(`${name}.${method}`));
      expect(methods.length, name).to.be.above(2);
      for (const [method] of methods)
        for (const values of wrong) {
          const made = (await make()) as Readonly<Record<string, Call>>;
          try {
            await made[method]!(...values);
          } catch (error) {
            if (!(error instanceof LinbpError))
              bare.push(`${name}.${method}(${values.map(String).join()}): ${String(error)}`);
          }
          if (method !== 'destroy') made['destroy']?.();
        }
    }
    expect(bare).to.deep.equal([]);
  });
});

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
