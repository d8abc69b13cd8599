// The command line of the installed package finds or mends a driver and writes its result.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import assert from 'node:assert/strict';

const bin = 'node_modules/linbp/bin/linbp.js';
const result = spawnSync(process.execPath, [bin, 'doctor', '--fix', '--json', 'doctor.json'], { encoding: 'utf8' });
assert.equal(result.status, 0, result.stderr + result.stdout);
const report = JSON.parse(readFileSync('doctor.json', 'utf8'));
assert.equal(report.command, 'doctor');
assert.ok(report.adapter.description.length > 0);
assert.ok(report.seconds > 0);
