import { spawnSync } from 'node:child_process';

/** The PyTorch of a machine. */
export interface Torch {
  readonly version: string;
  /** Where it computes: on the first card that it can use, else on the processor. */
  readonly device: 'cuda' | 'cpu';
  /** Name of the card. */
  readonly card?: string;
}

const question = `
import json, torch
cuda = torch.cuda.is_available()
card = {"card": torch.cuda.get_device_name()} if cuda else {}
print(json.dumps({"version": torch.__version__, "device": "cuda" if cuda else "cpu", **card}))
`;

/**
 * The machine's PyTorch, or in words why there is none. Loads it once, which takes seconds;
 * benchmarks/peers/pytorch.mjs starts the same Python.
 */
export function findTorch(): Torch | string {
  const python = process.env['LINBP_PYTHON'] ?? 'python3';
  const { error, status, stdout, stderr } = spawnSync(python, ['-c', question], { encoding: 'utf8', timeout: 120_000 });
  if (error !== undefined) return `PyTorch is not installed: there is no ${python} (LINBP_PYTHON names another)`;
  if (status === 0) return JSON.parse(stdout.trim().split('\n').at(-1)!) as Torch;
  const reason = stderr.trim().split('\n').at(-1) ?? '';
  if (reason.startsWith('ModuleNotFoundError'))
    return `PyTorch is not installed for ${python} (LINBP_PYTHON names another)`;
  return `PyTorch does not load: ${reason.slice(0, 160)}`;
}
