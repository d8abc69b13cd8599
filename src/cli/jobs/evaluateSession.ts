import { check } from '../../errors.js';
import { encodeSafetensors } from '../../io/safetensors.js';
import type { Task } from '../../jobs/description.js';
import { checkStoredImages, getImages } from '../../jobs/images.js';
import type { Session } from '../../jobs/runner.js';
import type { JobStore } from '../../jobs/store.js';
import { evaluationOptions } from '../common.js';
import { classifierOn, score } from '../inference.js';
import { readValues } from '../options.js';
import { silentContext } from './machine.js';
import type { Machine } from './machine.js';
import { getNetwork } from './network.js';

/** Makes the evaluation of a job's description ready. */
export async function openEvaluateSession(task: Task, store: JobStore, machine: Machine): Promise<Session> {
  const { network, images, values: given, device: where } = task.settings;
  const stored = checkStoredImages(images);
  check(stored.count === task.count, 'bad-argument', 'the images are not as many as the task says', 'count');
  check(where === 'gpu' || where === 'reference', 'bad-argument', 'device must be gpu or reference', 'device');
  const { definition, weights } = await getNetwork(store, network);
  const values = readValues((given ?? {}) as Record<string, unknown>, evaluationOptions);
  const device = where === 'reference' ? undefined : await machine.device();
  const classify = classifierOn(device, definition, weights, values.precision);
  return {
    adapter: classify.adapter,
    async run(from, to, signal) {
      const dataset = await getImages(store, stored, from, to);
      const { predictions, losses } = await score(classify, dataset, values.batch, silentContext(signal));
      const shape = [to - from];
      return Buffer.concat(
        encodeSafetensors({ losses: { shape, data: losses }, predictions: { shape, data: predictions } }),
      );
    },
    close: () => classify.destroy(),
  };
}
