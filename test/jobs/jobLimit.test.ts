import { expect } from 'chai';
import { JobLimit } from '../../src/jobs/jobLimit.js';

describe('the number of jobs after which a worker ends', () => {
  it('counts jobs at work, so that two GPUs do not begin the last one both', () => {
    const told: string[] = [];
    const taker = (name: string) => ({
      pause: (keepWorking: boolean): Promise<void> => {
        told.push(`${name} pauses ${keepWorking}`);
        return Promise.resolve();
      },
      resume: () => told.push(`${name} resumes`),
    });
    const limit = new JobLimit<ReturnType<typeof taker>>(3);
    limit.workers.push(taker('a'), taker('b'));
    expect([limit.begin(), limit.begin()]).to.deep.equal([true, true]);
    expect(limit.end()).to.equal(false);
    expect(told).to.deep.equal([]);
    expect([limit.begin(), limit.begin()]).to.deep.equal([true, false]);
    expect(told.splice(0)).to.deep.equal(['a pauses true', 'b pauses true']);
    limit.giveBack();
    expect(told).to.deep.equal(['a resumes', 'b resumes']);
    expect([limit.begin(), limit.begin()]).to.deep.equal([true, false]);
    expect([limit.end(), limit.end()]).to.deep.equal([false, true]);
  });
});
