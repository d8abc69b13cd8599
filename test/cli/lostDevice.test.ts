import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { runCommandLine } from '../../src/cli/runner.js';
import { Device } from '../../src/runtime/device.js';
import { Trainer } from '../../src/train/trainer.js';
import { linbp, scratchFolder, writeFormulaWeights } from './support.js';

/** Runs the command line here, loses its GPU at the first submit after `when` holds, and returns what stderr says. */
async function losing(
  args: readonly string[],
  when: (stderr: string) => boolean,
): Promise<{ code: number; stderr: string }> {
  const [open, write] = [Device.open, process.stderr.write];
  let stderr = '';
  Device.open = async (...given) => {
    const device = await open.apply(Device, given);
    const { submit } = device;
    device.submit = (...work) => {
      submit.apply(device, work);
      // Behind the wrapper's back, as a driver would.
      if (when(stderr)) device.gpu.destroy();
    };
    return device;
  };
  process.stderr.write = ((text: string) => {
    stderr += text;
    return true;
  }) as typeof process.stderr.write;
  try {
    return { code: await runCommandLine(args, new AbortController().signal), stderr };
  } finally {
    Device.open = open;
    process.stderr.write = write;
  }
}

describe('a GPU that is lost in the middle of a command', () => {
  const folder = scratchFolder();
  const train = (out: string, epochs: string): string[] => [
    ...['train', '--model', 'mlp', '--limit', '64', '--test-limit', '32', '--batch', '32'],
    ...['--epochs', epochs, '--out', out],
  ];

  it('train says which epoch is saved and how to go on, which then does', async () => {
    const { code, stderr } = await losing(train(join(folder, 'train'), '8'), (text) => /^epoch 3 /m.test(text));
    expect(code).to.equal(1);
    expect(stderr).to.match(/^error: The GPU was lost/m);
    const [, saved, again] = /^note: epoch (\d+) is saved; this goes on from there: linbp (.*)$/m.exec(stderr)!;
    expect(Number(saved)).to.be.within(2, 7);
    const ended = await linbp(again!.split(' '));
    expect(ended.code, ended.stderr).to.equal(0);
    expect(ended.stderr).to.match(new RegExp(`going on after step \\d+ \\(${saved} epochs\\)`));
  });

  it('train says that none is saved, also where an earlier run left its own', async () => {
    const out = join(folder, 'none');
    expect((await linbp(train(out, '1'))).code).to.equal(0);
    const { fit } = Trainer.prototype;
    let begun = false;
    Trainer.prototype.fit = function (options) {
      begun = true;
      return fit.call(this, options);
    };
    try {
      const { stderr } = await losing(train(out, '8'), () => begun);
      expect(stderr).to.match(/^error: The GPU was lost/m);
      expect(stderr).to.match(/^note: no epoch was finished, so none is saved$/m);
    } finally {
      Trainer.prototype.fit = fit;
    }
  });

  it('attack says what is kept and how to go on', async () => {
    const weights = await writeFormulaWeights(folder, 'mlp');
    const out = join(folder, 'attack');
    const attack = ['attack', '--model', 'mlp', '--weights', weights, '--batch', '8', '--limit', '400', '--steps', '2'];
    const kept = join(out, 'state', 'attack.json');
    const { code, stderr } = await losing([...attack, '--out', out], () => existsSync(kept));
    expect(code).to.equal(1);
    expect(stderr).to.match(/^note: kept .*; this goes on from there: linbp attack .* --resume$/m);
  });
});
