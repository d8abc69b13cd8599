/**
 * Child process that trains LeNet-5 for one step of 64 images, tells as soon as the step has finished how many
 * seconds of processor time it took, and ends.
 */
import { drawDigits } from '../data/digits.js';
import { Model } from '../nn/model.js';
import { ModelPlace } from '../nn/place.js';
import { modelDefinition } from '../nn/zoo/index.js';
import { positionTable } from '../nn/definition.js';
import { parseRules } from '../rules/parse.js';
import { resolveRules } from '../rules/resolve.js';
import { Device } from '../runtime/device.js';
import { Engine } from '../train/engine.js';
import { sgd } from '../train/optimizers.js';

const definition = modelDefinition('lenet5');
const device = await Device.open();
const model = Model.create(definition, { device, seed: 1 });
const optimizer = sgd({ lr: 0.05 });
const rules = resolveRules(parseRules('bp'), positionTable(definition));
const settings = {
  definition,
  rules,
  optimizer,
  loss: 'crossEntropy',
  objective: undefined,
  seed: 1,
  logRows: 1,
} as const;
const engine = await Engine.create(new ModelPlace(model, 'gpu'), settings, drawDigits({ count: 64, seed: 1 }), 64);
engine.setOrder(Uint32Array.from({ length: 64 }, (_, i) => i));
await engine.run([{ start: 0, size: 64, fields: { step: 1, ...optimizer.fields(1, 0.05) } }]);
const { user, system } = process.cpuUsage();
process.send!((user + system) / 1e6, () => process.exit(0));
