import type { Dataset } from '../../data/dataset.js';
import { check } from '../../errors.js';
import { decodeSafetensors, tensorAsInt32 } from '../../io/safetensors.js';
import { putImages } from '../../jobs/images.js';
import type { StateDict } from '../../nn/model.js';
import type { ScoredImages } from '../inference.js';
import { scoreOf } from '../inference.js';
import type { evaluationOptions } from '../common.js';
import type { OptionValues } from '../options.js';
import type { ShownAdapter, VerbContext } from '../verb.js';
import { distribute } from './distribute.js';
import type { Work, WorkersReport } from './distribute.js';
import { putNetwork } from './network.js';

/** Options of the verb that jobs take. */
type EvaluateValues = Omit<Work, 'kind' | 'count' | 'settings'> & {
  readonly model: string;
  readonly classes: number | undefined;
  readonly normalize: string | undefined;
  readonly precision: 'f32' | 'f16';
};

/** The evaluation of a network on clean images, cut into jobs. */
export async function evaluateInJobs(
  values: EvaluateValues,
  weights: StateDict,
  dataset: Dataset,
  context: VerbContext,
): Promise<{ readonly scored: ScoredImages; readonly workers: WorkersReport; readonly adapter: ShownAdapter }> {
  const { batch, precision } = values;
  const { parts, report, adapter } = await distribute(
    {
      ...values,
      kind: 'evaluate',
      count: dataset.count,
      settings: async (store) => ({
        network: await putNetwork(store, values, weights),
        images: await putImages(store, dataset),
        values: { batch, precision } satisfies OptionValues<typeof evaluationOptions>,
        device: values.device === 'reference' ? 'reference' : 'gpu',
      }),
    },
    context,
  );
  const predictions = new Int32Array(dataset.count);
  const losses = new Float64Array(dataset.count);
  for (const { from, to, bytes } of parts) {
    const { tensors } = decodeSafetensors(bytes);
    const [guesses, terms] = [tensors.get('predictions'), tensors.get('losses')];
    const valid = guesses?.dtype === 'I32' && terms?.dtype === 'F64' && terms.byteLength === 8 * (to - from);
    check(valid && guesses.byteLength === 4 * (to - from), 'bad-file', 'this is no result of an evaluation', 'store');
    predictions.set(tensorAsInt32(guesses), from);
    losses.set(new Float64Array(Uint8Array.from(terms.data).buffer), from);
  }
  return { scored: scoreOf(dataset, predictions, losses), workers: report, adapter };
}
