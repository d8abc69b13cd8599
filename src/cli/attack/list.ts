import { counted } from '../../quote.js';
import { describeAutoAttack } from '../../attacks/batteryCatalog.js';
import { attackCatalog } from '../../attacks/catalog.js';
import { noAdapter } from '../common.js';
import type { VerbContext, VerbResult } from '../verb.js';
import { presets } from './presets.js';

/** `linbp attack --list`: what there is to choose from. */
export function listAttacks({ print }: VerbContext): VerbResult {
  const attacks = [...attackCatalog(), describeAutoAttack()];
  const width = Math.max(...attacks.map(({ name }) => name.length));
  for (const { name, norms, keep, gradients, forwards, source } of attacks)
    print(
      `${name.padEnd(width)}  ${norms.join(' ')}; keeps the ` +
        `${keep}; ${counted(gradients, 'gradient')}, ${counted(forwards, 'forward')}; ${source}`,
    );
  print('--json FILE also writes the options of each with defaults and ranges.');
  return {
    adapter: noAdapter,
    fields: { attacks, presets: Object.entries(presets).map(([name, preset]) => ({ name, ...preset })) },
  };
}
