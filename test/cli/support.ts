import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { after } from 'mocha';
import { formulaTensor } from '../../src/io/formulaWeights.js';
import { writeSafetensors } from '../../src/io/safetensors.js';
import { classifierOn } from '../../src/cli/inference.js';
import { describeModel } from '../../src/nn/definition.js';
import type { ModelDefinition } from '../../src/nn/definition.js';
import type { StateDict } from '../../src/nn/model.js';
import { modelDefinition } from '../../src/nn/zoo/index.js';
import { loadTensors } from '../support/tensors.js';
import type { LoadedFile } from '../support/tensors.js';

/** The root of the repository; tests run from `dist/test`. */
export const root: string = fileURLToPath(new URL('../../../', import.meta.url));

/** How a process ended. */
export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A folder of its own for the tests of a file, removed afterwards. */
export function scratchFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'linbp-cli-'));
  after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Runs Node and hands each piece of stderr to `onStderr`, which may send signals. */
export function runNode(
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
  onStderr?: (text: string, kill: (signal: NodeJS.Signals) => void) => void,
): Promise<Ended> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [...args], {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: 280_000,
      env: { ...process.env, ...env },
    });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => {
      stderr += chunk.toString();
      onStderr?.(stderr, (signal) => child.kill(signal));
    });
    child.on('close', (code) => resolve({ code, stdout, stderr }));
  });
}

/** Runs the command line in a process of its own. */
export function linbp(
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
  onStderr?: Parameters<typeof runNode>[2],
): Promise<Ended> {
  return runNode(['bin/linbp.js', ...args], env, onStderr);
}

/** Runs the command line several times in one child process, since starting one takes a second. */
export async function linbpEach(cases: readonly (readonly string[])[], env: NodeJS.ProcessEnv = {}): Promise<Ended[]> {
  const folder = mkdtempSync(join(tmpdir(), 'linbp-each-'));
  try {
    const results = join(folder, 'results.json');
    const script = `
      import { writeFileSync } from 'node:fs';
      import { runCommandLine } from ${JSON.stringify(new URL('../../src/cli/runner.js', import.meta.url).href)};
      const ended = [];
      const real = { stdout: process.stdout.write, stderr: process.stderr.write };
      for (const args of ${JSON.stringify(cases)}) {
        const texts = { stdout: '', stderr: '' };
        for (const name of ['stdout', 'stderr']) process[name].write = (text) => { texts[name] += text; return true; };
        const code = await runCommandLine(args, new AbortController().signal);
        for (const name of ['stdout', 'stderr']) process[name].write = real[name];
        ended.push({ code, ...texts });
      }
      writeFileSync(${JSON.stringify(results)}, JSON.stringify(ended));`;
    const all = await runNode(['--input-type=module', '-e', script], env);
    expect(all.code, all.stderr).to.equal(0);
    return JSON.parse(readFileSync(results, 'utf8')) as Ended[];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * Asserts exit code 1 and exactly one line of error, which contains `parts`; notes before it are fine, a stack trace
 * is not.
 */
export function expectError(ended: Ended, ...parts: readonly string[]): void {
  const lines = ended.stderr.split('\n').filter((line) => line.startsWith('error: '));
  expect(lines, `${ended.stdout}${ended.stderr}`).to.have.length(1);
  expect(ended.code).to.equal(1);
  expect(ended.stdout).to.equal('');
  for (const part of parts) expect(lines[0]).to.contain(part);
  // Dawn's own remark about a missing driver names a place in its C++ source, which is no trace of ours.
  expect(ended.stderr).not.to.match(/^\s+at .*\.m?[jt]s/m);
  expect(ended.stderr).not.to.contain('internal error in linbp');
  expect(ended.stderr.trimEnd().endsWith(lines[0]!)).to.equal(true);
}

/** Writes a network's formula weights and returns the path. */
export async function writeFormulaWeights(folder: string, model: string): Promise<string> {
  const path = join(folder, `${model}.formula.safetensors`);
  const { specs } = describeModel(modelDefinition(model)).layout;
  await writeSafetensors(
    path,
    new Map(
      specs.map((spec) => [spec.name, { shape: spec.shape, data: formulaTensor(spec.name, spec.shape, spec.kind) }]),
    ),
  );
  return path;
}

/** Writes `input` and `labels` of a golden file as `linbp grad` reads them. */
export async function writeInputs(path: string, golden: LoadedFile): Promise<string> {
  const [input, labels] = [golden.tensors.get('input')!, golden.tensors.get('labels')!];
  await writeSafetensors(path, { input: { ...input, data: input.data }, labels: { ...labels, data: labels.data } });
  return path;
}

/** The tensors that a verb wrote. */
export const readTensors = (path: string): LoadedFile => loadTensors(path);

/** A machine-readable result. */
export function readJson(path: string): Record<string, unknown> {
  return JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
}

/** Asserts the fields that every result has. */
export function expectCommonFields(result: Record<string, unknown>, command: string): void {
  expect(result['command']).to.equal(command);
  expect(result['version']).to.be.a('string');
  expect(result['adapter']).to.have.keys('vendor', 'architecture', 'description', 'software');
  expect(result['settings']).to.be.an('object');
  expect(result['seconds']).to.be.above(0);
}

/** Writes bytes to a file in a folder and returns its path. */
export function writeBytes(folder: string, name: string, bytes: Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}

/** The classes that a network sees in images, by the reference. */
export async function seenLabels(
  definition: ModelDefinition,
  weights: StateDict,
  images: Float32Array,
): Promise<Int32Array> {
  const { classes } = definition;
  const logits = await classifierOn(undefined, definition, weights).logits(images);
  return Int32Array.from({ length: logits.length / classes }, (_, n) => {
    const own = Array.from({ length: classes }, (_value, k) => logits[n * classes + k]!);
    return own.indexOf(Math.max(...own));
  });
}
