import { readFileSync } from 'node:fs';

let found: boolean | undefined;

/**
 * Whether this machine's processor has AVX-512 for vectors of all lengths (AVX-512VL), as far as the system says: Linux does, others
 * count as without.
 */
export function hasAvx512(): boolean {
  found ??= process.platform === 'linux' && /^flags\s*:.* avx512vl( |$)/m.test(processorText());
  return found;
}

function processorText(): string {
  try {
    return readFileSync('/proc/cpuinfo', 'utf8');
  } catch {
    return '';
  }
}
