// The lines under "Attack your own model" of the README, in this folder; the package is installed already.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';

const readme = readFileSync('node_modules/linbp/README.md', 'utf8');
const [, block] = /### Attack your own model[^]*?```sh\n([^]*?)```/.exec(readme) ?? [];
const lines = block.trim().split('\n');
if (lines.length !== 5 || !lines[0].startsWith('npm install')) throw new Error(`five lines expected: ${block}`);
for (const line of lines.slice(1)) {
  const [npx, name, ...args] = line.replace(/#.*/, '').trim().split(/\s+/);
  if (npx !== 'npx' || name !== 'linbp') throw new Error(line);
  const { status, stderr } = spawnSync(process.execPath, ['node_modules/linbp/bin/linbp.js', ...args], {
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`${line}\n${stderr}`);
}
if (!existsSync('attacked')) throw new Error('the attack wrote nothing');
