import { spawn } from 'node:child_process';
import { expect } from 'chai';

const DEVICE = new URL('../../src/runtime/device.js', import.meta.url).href;

/** A child that opens a device, keeps work in flight, and then ends in the given way. */
function script(ending: string): string {
  return `
    import { Device } from ${JSON.stringify(DEVICE)};
    const device = await Device.open();
    const buffer = device.createBuffer({ size: 4 << 20, usage: 0x8c });
    device.write(buffer, 0, new Float32Array(1 << 20));
    const pending = device.read(buffer);
    pending.catch(() => undefined);
    ${ending}`;
}

interface Ended {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

function run(source: string, onLine?: (child: ReturnType<typeof spawn>) => void): Promise<Ended> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, ['--input-type=module', '-e', source], {
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: 60_000,
    });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => {
      stderr += chunk.toString();
      if (stderr.includes('ready')) onLine?.(child);
    });
    child.on('close', (code, signal) => resolve({ code, signal, stdout, stderr }));
  });
}

describe('process exit with a live device', () => {
  it('the script ends: the process exits by itself', async () => {
    expect(await run(script('await pending;'))).to.include({ code: 0, stdout: '' });
  });

  it('the script ends with work in flight and nothing awaited', async () => {
    expect(await run(script(''))).to.include({ code: 0, stdout: '' });
  });

  it('the device is destroyed first', async () => {
    expect(await run(script('await pending; device.destroy();'))).to.include({ code: 0, stdout: '' });
  });

  it('process.exit keeps its code', async () => {
    expect(await run(script('process.exit(7);'))).to.include({ code: 7, stdout: '' });
  });

  it('an uncaught error gives code 1 and its own message', async () => {
    const ended = await run(script('throw new Error("on purpose");'));
    expect(ended).to.include({ code: 1, stdout: '' });
    expect(ended.stderr).to.contain('on purpose');
  });

  it('Ctrl-C ends a waiting process', async () => {
    const ended = await run(
      script('console.error("ready"); setInterval(() => {}, 1000); await new Promise(() => {});'),
      (child) => child.kill('SIGINT'),
    );
    expect(ended).to.include({ signal: 'SIGINT', stdout: '' });
  });

  it('errors of the GPU and bad shaders leave stdout empty', async () => {
    const ending = `
      await pending;
      device.gpu.createBuffer({ size: 16, usage: 0x8000 });
      await device.idle().catch((error) => console.error(error.code));
      const layout = device.pipelineLayout([]);
      const made = device.pipeline({ code: 'nonsense', layout, entryPoint: 'main' });
      await made.catch((error) => console.error(error.code));`;
    const ended = await run(script(ending));
    expect(ended).to.include({ code: 0, stdout: '' });
    expect(ended.stderr.match(/gpu-error/g)).to.have.length(2);
  });

  it('garbage collection under a device that is in use does no harm', async () => {
    const source = `
      import { setFlagsFromString } from 'node:v8';
      import { runInNewContext } from 'node:vm';
      setFlagsFromString('--expose-gc');
      const collect = runInNewContext('gc');
      import { Device } from ${JSON.stringify(DEVICE)};
      const device = await Device.open();
      for (let i = 0; i < 50; i++) {
        const buffer = device.createBuffer({ size: 1024, usage: 0x8c });
        device.write(buffer, 0, new Float32Array(256));
        collect();
        await device.read(buffer);
        buffer.destroy();
      }`;
    expect(await run(source)).to.include({ code: 0, stdout: '' });
  });
});
