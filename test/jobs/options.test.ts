import { expect } from 'chai';
import { jobOptions } from '../../src/cli/jobs/options.js';
import { LinbpError } from '../../src/errors.js';

describe('options of commands that submit jobs', () => {
  const variables = { queue: 'LINBP_QUEUE', store: 'LINBP_STORE' } as const;
  const before = Object.values(variables).map((name) => [name, process.env[name]] as const);
  const restore = (): void => {
    for (const [name, value] of before)
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
  };
  afterEach(restore);

  for (const [option, variable] of Object.entries(variables) as ['queue' | 'store', string][]) {
    it(`--${option} env is ${variable}; that alone hands nothing over`, () => {
      process.env[variable] = 'redis://:secret@10.0.0.1';
      expect(jobOptions[option].parse('env', option)).to.equal('redis://:secret@10.0.0.1');
      expect(jobOptions[option].parse('./env', option)).to.equal('./env');
      expect(jobOptions[option].byDefault).to.equal(undefined);
      for (const missing of [undefined, '']) {
        restore();
        if (missing === undefined) delete process.env[variable];
        else process.env[variable] = missing;
        expect(() => jobOptions[option].parse('env', option))
          .to.throw(LinbpError, `--${option} env: ${variable} is not set`)
          .with.property('code', 'bad-argument');
      }
    });
  }
});
