import { expect } from 'chai';
import { root, runNode } from '../cli/support.js';

/** Compiles them in a process of its own; how many there were. */
async function compiled(...options: string[]): Promise<number> {
  const { code, stdout, stderr } = await runNode([`${root}/scripts/check-shaders.mjs`, ...options]);
  expect(code, stdout + stderr).to.equal(0);
  return Number(/(\d+) texts compiled, 0 failed/.exec(stdout)?.[1]);
}

describe('texts of shaders', () => {
  it('compile: each file as it stands, the linked forms of every op as each kind of device gets them', async () => {
    expect(await compiled('--short')).to.be.above(1000);
  });

  it("compile: every candidate of a GPU's tuner for every op too @slow", async () => {
    expect(await compiled()).to.be.above(3000);
  });
});
