import {
  chosenDataset,
  chosenModel,
  chosenWeights,
  dataOptions,
  machineOptions,
  modelOptions,
  openDevice,
  percent,
} from './common.js';
import { confusionLines, confusionOf } from './confusion.js';
import { counted } from '../quote.js';
import { evaluationOptions, splitOption } from './common.js';
import { classifierOn, score } from './inference.js';
import { evaluateInJobs } from './jobs/evaluateJob.js';
import { expectWorkersDevice, isCut, jobOptions } from './jobs/options.js';
import { flag } from './options.js';
import { defineVerb } from './verb.js';

/** `linbp eval`: clean accuracy and loss. */
export const evalVerb = defineVerb({
  name: 'eval',
  summary: 'measures the accuracy of a network on clean images',
  examples: [
    'linbp eval --model lenet5 --weights runs/bp/lenet5.safetensors --limit 500',
    'linbp eval --model lenet5 --weights runs/bp/lenet5.safetensors --limit 500 --confusion',
  ],
  options: {
    ...modelOptions,
    ...dataOptions,
    ...splitOption,
    confusion: flag('print the confusion matrix and the accuracy by class'),
    ...evaluationOptions,
    ...machineOptions,
    ...jobOptions,
  },
  async run(options, context) {
    const definition = await chosenModel(options);
    const weights = await chosenWeights(definition, options, context.progress);
    const dataset = await chosenDataset(options, options.split, definition, context);
    const cut = isCut(options);
    expectWorkersDevice(options);
    const device =
      cut || options.device === 'reference' ? undefined : await openDevice({ ...options, device: options.device });
    const runHere = async () => {
      const classify = classifierOn(device, definition, weights, options.precision);
      const scored = await score(classify, dataset, options.batch, context).finally(() => classify.destroy());
      return { scored, adapter: classify.adapter, workers: undefined };
    };
    try {
      const { scored, adapter, workers } = cut
        ? await evaluateInJobs(options, weights, dataset, context)
        : await runHere();
      const { predictions, losses: _, ...result } = scored;
      context.print(`${definition.name} on ${counted(result.count, 'image')} of ${dataset.name} (${dataset.split})`);
      context.print(`accuracy  ${percent(result.accuracy)} (${result.correct} right)`);
      context.print(`loss      ${result.loss.toFixed(6)}`);
      const confusion = confusionOf(dataset, predictions);
      if (options.confusion) for (const line of confusionLines(confusion)) context.print(line);
      return {
        adapter,
        settings: { note: dataset.note ?? null },
        fields: {
          ...result,
          ...(workers && { workers }),
          perClass: confusion.classes,
          ...(confusion.matrix.length > 0 && { confusion: confusion.matrix }),
        },
      };
    } finally {
      device?.destroy();
    }
  },
});
