import { expect } from 'chai';
import { root, runNode } from '../cli/support.js';

describe('texts of shaders', () => {
  it('compile: each file as it stands, the linked forms of every op as each kind of device gets them', async () => {
    const { code, stdout, stderr } = await runNode([`${root}/scripts/check-shaders.mjs`]);
    expect(code, stdout + stderr).to.equal(0);
    expect(Number(/(\d+) texts compiled, 0 failed/.exec(stdout)?.[1])).to.be.above(3000);
  });
});
