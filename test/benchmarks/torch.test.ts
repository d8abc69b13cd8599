import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect } from 'chai';
import { compare, PartyProcess } from '../../src/bench/compare.js';
import { installedPeers } from '../../src/bench/peers.js';
import { findTorch } from '../../src/bench/torch.js';
import { root } from '../cli/support.js';
import type { Answer, Request } from '../../src/bench/worker.js';
import { fakeParty, partyFolder } from './support.js';
import { pending } from '../support/pending.js';

/** As much of PyTorch as products of matrices need, on the processor. */
const stub = `
import contextlib, types
__version__ = "0.0.stub"
float16, float32, uint8 = "float16", "float32", "uint8"
class device:
    def __init__(self, type): self.type = type
cuda_flags = types.SimpleNamespace(matmul=types.SimpleNamespace())
backends = types.SimpleNamespace(cuda=cuda_flags, cudnn=types.SimpleNamespace())
cuda = types.SimpleNamespace(is_available=lambda: False)
no_grad = contextlib.nullcontext
class Tensor:
    def __init__(self, values, shape): self.values, self.shape = list(values), list(shape)
    def view(self, *shape): return Tensor(self.values, shape[0] if isinstance(shape[0], list) else shape)
    def to(self, device): return self
    def flatten(self): return self
    def tolist(self): return self.values
    def __getitem__(self, part): return Tensor(self.values[part], self.shape)
    def __matmul__(self, other):
        n = self.shape[0]
        entry = lambda i, j: sum(self.values[i * n + k] * other.values[k * n + j] for k in range(n))
        return Tensor([entry(i, j) for i in range(n) for j in range(n)], [n, n])
def zeros(*shape): return Tensor([], shape)
def randn(shape, device, dtype): return Tensor([1.0] * (shape[0] * shape[1]), shape)
def frombuffer(raw, dtype): return Tensor(memoryview(raw).cast("f"), [len(raw) // 4])
`;

/** Runs with these variables in the environment, which child processes see. */
async function withEnvironment<T>(variables: Readonly<Record<string, string>>, body: () => T | Promise<T>): Promise<T> {
  const before = Object.keys(variables).map((name) => [name, process.env[name]] as const);
  Object.assign(process.env, variables);
  try {
    return await body();
  } finally {
    for (const [name, value] of before) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  }
}

describe('PyTorch as a peer', () => {
  let folder: ReturnType<typeof partyFolder>;
  before(() => (folder = partyFolder()));
  after(() => folder.remove());

  it('is missing in words where there is no Python', () =>
    withEnvironment({ LINBP_PYTHON: '/nowhere/python3' }, async () => {
      expect(findTorch()).to.equal(
        'PyTorch is not installed: there is no /nowhere/python3 (LINBP_PYTHON names another)',
      );
      expect((await installedPeers(join(root, 'benchmarks'))).torch)
        .to.be.a('string')
        .and.contain('/nowhere/python3');
    }));

  describe('with a stand-in for the library', () => {
    before(function () {
      if (spawnSync('python3', ['--version']).status !== 0) pending(this, 'python3');
      const torch = join(folder.path, 'torch');
      mkdirSync(join(torch, 'nn'), { recursive: true });
      writeFileSync(join(torch, '__init__.py'), stub);
      for (const file of ['__init__.py', 'functional.py']) writeFileSync(join(torch, 'nn', file), '');
      const broken = join(folder.path, 'broken/torch');
      mkdirSync(broken, { recursive: true });
      writeFileSync(join(broken, '__init__.py'), 'raise ImportError("libcudart.so.13 is missing")');
    });

    it('is found, or in words broken', async () => {
      await withEnvironment({ PYTHONPATH: folder.path }, async () => {
        expect(findTorch()).to.deep.equal({ version: '0.0.stub', device: 'cpu' });
        const { torch, entries, versions } = await installedPeers(join(root, 'benchmarks'));
        expect(torch).to.include({ name: 'PyTorch cpu', browser: false });
        expect(entries).to.contain(torch);
        expect(versions['torch']).to.equal('0.0.stub');
        expect((await installedPeers(folder.path)).torch).to.be.a('string');
      });
      await withEnvironment({ PYTHONPATH: join(folder.path, 'broken') }, () => {
        expect(findTorch()).to.equal('PyTorch does not load: ImportError: libcudart.so.13 is missing');
      });
    });

    it('computes what it is given, and products of its own; what it cannot do it leaves out', () =>
      withEnvironment({ PYTHONPATH: folder.path }, async () => {
        const module = `${pathToFileURL(join(root, 'benchmarks/peers/pytorch.mjs')).href}?device=cpu`;
        const party = new PartyProcess({ name: 'PyTorch cpu', module, browser: false });
        const identity = new PartyProcess(
          fakeParty(
            folder.path,
            'own',
            0,
            'return product;',
            'globalThis.product = [0,1,2,3].map((i) => work.a[i & 2] * ' +
              'work.b[i & 1] + work.a[(i & 2) + 1] * work.b[(i & 1) + 2])',
          ),
        );
        try {
          const limits = {
            rounds: 1,
            budgetSeconds: 9,
            leastRounds: 1,
            answerSeconds: 60,
            turnMilliseconds: 1,
            checkUnits: 1,
            tolerance: 1e-5,
            processorTime: false,
          };
          const { signal } = new AbortController();
          const rows = await compare({ kind: 'matmul', size: 2 }, [identity, party], {
            ...limits,
            signal,
            onProgress: () => undefined,
          });
          expect(rows[1]).to.include({ subject: 'PyTorch cpu' });
          expect(rows[1]!.note).to.match(/^results agree/);
          const ask = (request: Request): Promise<Answer> => party.ask(request, { seconds: 60, signal });
          const opened = async (precision: 'f32' | 'f16'): Promise<unknown> =>
            (await ask({ call: 'open', workload: { kind: 'product', precision, problem: { op: 'matmul', size: 3 } } }))
              .opened;
          expect(await opened('f16'), 'f16 on the processor').to.equal(false);
          // the second one closes the first without waiting
          for (let i = 0; i < 2; i++) expect(await opened('f32')).to.equal(true);
          expect((await ask({ call: 'run', units: 3 })).milliseconds).to.be.above(0);
          expect(Array.from((await ask({ call: 'result' })).result!)).to.deep.equal(Array(9).fill(3));
        } finally {
          party.end();
          identity.end();
        }
      }));
  });
});
