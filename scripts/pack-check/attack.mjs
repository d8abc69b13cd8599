// The installed package attacks from code and from the command line.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { Attack, Device, loadDataset, Model, modelDefinition } from 'linbp';

const images = await loadDataset({ dataset: 'digits', split: 'test', limit: 8 });
const device = await Device.open();
const model = Model.create(modelDefinition('lenet5'), { device });
const attack = await Attack.compile({ model, rules: 'linbp', eps: 8 / 255, steps: 5 });
const result = await attack.run({ images });
assert.ok(result.linf.largest > 0 && result.linf.largest <= 8 / 255 + 1e-7);
assert.ok(result.readbacks > 0 && result.gradients === 40);
device.destroy();

const args = [
  'node_modules/linbp/bin/linbp.js',
  'attack',
  '--limit',
  '8',
  '--eps',
  '8/255',
  '--steps',
  '5',
  '--out',
  'attacked',
  '--json',
  'attack.json',
];
const ended = spawnSync(process.execPath, args, { encoding: 'utf8' });
assert.equal(ended.status, 0, ended.stderr);
const report = JSON.parse(readFileSync('attack.json', 'utf8'));
assert.equal(report.count, 8);
assert.equal(readdirSync('attacked/adversarial').length, 8);
