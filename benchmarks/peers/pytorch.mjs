/**
 * PyTorch as a party of the comparison, on the device that the query names: pytorch.py computes, this hands it the
 * workload and its orders.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const device = new URL(import.meta.url).searchParams.get('device') ?? 'cpu';

let ask;

/**
 * Starts the process. A message is a line of JSON, then the bytes of its arrays one after another; an answer is a
 * line of JSON.
 */
function start() {
  const script = fileURLToPath(new URL('pytorch.py', import.meta.url));
  const child = spawn(process.env['LINBP_PYTHON'] ?? 'python3', [script, device], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: child.stdout });
  const ended = once(child, 'exit').then(([code]) => {
    // The next workload starts another.
    ask = undefined;
    throw new Error(`python ended with code ${code}`);
  });
  ended.catch(() => undefined);
  const send = async (message, arrays = []) => {
    const described = arrays.map(([name, { shape, data }]) => ({
      name,
      shape,
      bytes: data.byteLength,
      kind: data instanceof Uint8Array ? 'u8' : 'f32',
    }));
    child.stdin.write(`${JSON.stringify({ ...message, arrays: described })}\n`);
    for (const [, { data }] of arrays) child.stdin.write(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    const [line] = await Promise.race([once(lines, 'line'), ended]);
    const answer = JSON.parse(line);
    if (answer.error !== undefined) throw new Error(answer.error);
    return answer;
  };
  // One at a time, so that an answer goes to who asked: a workload is closed without waiting for it.
  let last = Promise.resolve();
  return (...question) => {
    last = last.then(
      () => send(...question),
      () => send(...question),
    );
    return last;
  };
}

export default {
  async open(work) {
    const own = (ask ??= start());
    const { weights = {}, ...rest } = work;
    const isData = (value) => ArrayBuffer.isView(value);
    const settings = Object.fromEntries(Object.entries(rest).filter(([, value]) => !isData(value)));
    const data = Object.entries(rest).filter(([, value]) => isData(value));
    const arrays = [
      ...Object.entries(weights),
      ...data.map(([name, value]) => [name, { shape: [value.length], data: value }]),
    ];
    const { opened } = await own({ call: 'open', ...settings }, arrays);
    if (!opened) return undefined;
    return {
      run: async (units) => (await own({ call: 'run', units })).processor,
      result: async () => (await own({ call: 'result' })).result,
      close: () => void own({ call: 'close' }).catch(() => undefined),
    };
  },
};
