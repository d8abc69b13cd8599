import { readFileSync } from 'node:fs';
import type { AdapterInfo } from './adapter.js';

let found: boolean | undefined;

/** Whether a `/proc/cpuinfo` names AVX-512 for vectors of all lengths (AVX-512VL) among the processor's flags. */
export const namesAvx512 = (cpuinfo: string): boolean => /^flags\s*:.* avx512vl( |$)/m.test(cpuinfo);

/** Whether an adapter is SwiftShader, whose compiler is simpler than those of other software adapters. */
export const isSwiftShader = ({ description }: Pick<AdapterInfo, 'description'>): boolean =>
  /swiftshader/i.test(description);

/**
 * Whether an adapter computes on this machine's processor, with a compiler that uses AVX-512 where there is some, and
 * there is, as far as the system says: Linux does, others count as without.
 */
export function usesAvx512(adapter: Pick<AdapterInfo, 'software' | 'description'>): boolean {
  if (!adapter.software || isSwiftShader(adapter)) return false;
  found ??= process.platform === 'linux' && namesAvx512(processorText());
  return found;
}

function processorText(): string {
  try {
    return readFileSync('/proc/cpuinfo', 'utf8');
  } catch {
    return '';
  }
}
