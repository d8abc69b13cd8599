/**
 * Runs a Node script on SwiftShader whatever driver the machine has: node scripts/on-swiftshader.mjs SCRIPT
 * [ARGUMENT...]. It differs from lavapipe in subgroup size, alignment, limits and half precision, so the pair shows
 * what is not portable.
 */
import { spawn } from 'node:child_process';
import { recordEnvironment } from '../bin/driver/cache.mjs';
import { installSwiftShader } from '../bin/driver/swiftshader.mjs';

const record = installSwiftShader((line) => process.stderr.write(`${line}\n`));
const preload = new URL('../bin/driver/preload.mjs', import.meta.url).href;
const child = spawn(process.execPath, process.argv.slice(2), {
  stdio: 'inherit',
  env: {
    ...process.env,
    ...recordEnvironment(record),
    NODE_OPTIONS: `${process.env.NODE_OPTIONS ?? ''} --import ${preload}`.trim(),
  },
});
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal));
child.on('close', (code, signal) => process.exit(code ?? (signal ? 1 : 0)));
