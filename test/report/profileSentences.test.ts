import { expect } from 'chai';
import type { Profile } from '../../src/profile/profile.js';
import type { StepTimes } from '../../src/profile/turns.js';
import { profileSentences } from '../../src/report/index.js';

const layer = (name: string, microseconds: number, share: number): object => ({ name, microseconds, share });
const turn = (label: string, ratio: number, minRatio: number, maxRatio: number): StepTimes =>
  ({ label, ratio, minRatio, maxRatio }) as StepTimes;

describe('sentences of a profile', () => {
  it('say what the time is, where it goes, and whether rules differ; the control says nothing', () => {
    const byLayer = [layer('conv1', 10, 0.25), layer('conv2', 30, 0.75)];
    const profile = { label: 'bp', byLayer, wallMicroseconds: 24_000 } as unknown as Profile;
    const turns = [turn('bp', 1, 1, 1), turn('linbp', 0.9, 0.8, 0.95), turn('leaky:a=0.1', 1.1, 0.7, 1.3)];
    const sentences = profileSentences([profile], [...turns, turn('bp again (control)', 1, 0.9, 1.1)], 'a PGD step');
    expect(sentences).to.have.length(3);
    expect(sentences[0]).to.match(/^A PGD step under BP takes 24\.0 ms; conv2 takes 75 % of/);
    expect(sentences[1]).to.contain('LinBP takes 0.90 times as long as BP (0.80 to 0.95 over rounds)');
    expect(sentences[2]).to.contain('so no clear difference');
  });
});
