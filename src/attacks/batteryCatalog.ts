import { autoAttackStages, batteryQueries, batterySteps, stageNumbers, stageOptions, versions } from './autoattack.js';
import type { AttackName } from './builtin.js';
import { tenClasses } from './catalog.js';
import type { DescribedAttack } from './catalog.js';
import { settle } from './options.js';
import { layOut } from './schedule.js';

/** AutoAttack as a row of the list of attacks. Its costs are those of an image that no stage of `standard` breaks. */
export function describeAutoAttack(): DescribedAttack {
  const costs = autoAttackStages({}).map((name) =>
    layOut(
      settle({
        ...{ model: { definition: tenClasses, weights: new Map() }, eps: 8 / 255, keep: 'best' },
        ...{ attack: name as AttackName, ...stageOptions(name, {}, tenClasses.classes) },
      }),
    ),
  );
  return {
    name: 'autoattack',
    norms: ['linf', 'l2', 'l1'],
    options: [
      { name: 'eps', default: 'required', range: 'at least 0; linf at most 1' },
      { name: 'version', default: 'standard', range: `${Object.keys(versions).join(', ')}, custom` },
      { name: 'stages', default: 'those of the version', range: Object.keys(stageNumbers).join(', ') },
      { name: 'steps', default: batterySteps, range: '1 to 100000' },
      { name: 'queries', default: batteryQueries, range: '1 to 100000' },
      { name: 'loss', default: 'ce', range: 'ce, ce-rounded' },
    ],
    keep: 'best',
    gradients: costs.reduce((sum, { gradients }) => sum + gradients, 0),
    forwards: costs.reduce((sum, { forwards }) => sum + forwards, 0),
    source: 'F. Croce, M. Hein, "Reliable evaluation of adversarial robustness with an ensemble", ICML 2020',
  };
}
