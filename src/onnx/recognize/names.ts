import type { OnnxNode } from '../types.js';

/*
 * Exporters name nodes by modules: PyTorch writes `/layer1/layer1.0/relu_1/Relu` for the second call of
 * `layer1.0.relu`.
 */

/** The module path of a node, such as `layer1.0.relu_1`; undefined where the node has no name of its own. */
export function modulePath(node: OnnxNode): string | undefined {
  if (node.name.startsWith(`${node.op} -> `)) return undefined;
  const parts = node.name.split('/').filter((part) => part !== '');
  const last = parts.at(-1);
  if (parts.length > 1 && last !== undefined && new RegExp(`^${node.op}(_\\d+)?$`, 'i').test(last)) parts.pop();
  const path: string[] = [];
  for (const part of parts) {
    // A module inside a sequence carries the path of the sequence.
    const before = path.at(-1);
    if (before !== undefined && part.startsWith(`${before}.`)) path[path.length - 1] = part;
    else path.push(part);
  }
  const name = path.join('.').replace(/[^\w.:-]+/g, '_');
  return name === '' ? undefined : name;
}

/** Gives each thing a name that nothing else has. */
export class UniqueNames {
  private readonly taken = new Map<string, number>();

  unique(name: string): string {
    const count = (this.taken.get(name) ?? 0) + 1;
    this.taken.set(name, count);
    if (count === 1) return name;
    const next = `${name}_${count - 1}`;
    return this.taken.has(next) ? this.unique(next) : this.unique(next);
  }
}

/**
 * Stage and block of a path such as `layer3.0.relu`, `features.denseblock2.denselayer3.relu1`, `features.3.0.block.1`
 * (stage `features.3`) or `stages.3.blocks.0.mlp`.
 */
export function stageAndBlock(path: string): { stage?: string; block?: number } {
  const parts = path.split('.');
  for (let i = 0; i + 1 < parts.length; i++) {
    const block = /^(?:[A-Za-z_-]*?)(\d+)$/.exec(parts[i + 1]!);
    const stage = /^[A-Za-z_-]+\d+$/.test(parts[i]!);
    if (stage && block !== null && i + 2 < parts.length) return { stage: parts[i]!, block: Number(block[1]) };
    if (stage) return { stage: parts[i]! };
    const number = /^\d+$/;
    if (!/^[A-Za-z_-]+$/.test(parts[i]!) || !number.test(parts[i + 1]!)) continue;
    const at = parts[i + 2] === 'blocks' ? i + 3 : i + 2;
    if (number.test(parts[at] ?? '') && at + 1 < parts.length)
      return { stage: `${parts[i]}.${parts[i + 1]}`, block: Number(parts[at]) };
  }
  return {};
}
