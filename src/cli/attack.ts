import { join } from 'node:path';
import type { AttackResult } from '../attacks/result.js';
import { batchLabels } from '../data/dataset.js';
import type { Dataset } from '../data/dataset.js';
import { writeFileAtomic } from '../io/atomic.js';
import { defaultOutput, OutputFolder } from '../io/outputFolder.js';
import { writePng } from '../io/png.js';
import { writeSafetensors } from '../io/safetensors.js';
import type { ModelDefinition } from '../nn/definition.js';
import {
  chosenDataset,
  chosenModel,
  chosenRules,
  chosenWeights,
  dataOptions,
  machineOptions,
  modelOptions,
  percent,
} from './common.js';
import { openDevice, pixelRange, referenceAdapter, ruleOption, shownAdapter, splitOption } from './common.js';
import { modelWith } from './inference.js';
import { batteryFields } from './battery.js';
import { checkCrafting, craftingOptions, openCrafting } from './crafting.js';
import { integer, text } from './options.js';
import { evaluateVictims, readVictims } from './victims.js';
import type { VictimResult } from './victims.js';
import { defineVerb } from './verb.js';

const options = {
  ...modelOptions,
  ...ruleOption,
  ...dataOptions,
  ...splitOption,
  ...craftingOptions,
  victims: text({ help: 'also try the saved images on these models', placeholder: 'M=W,..' }),
  images: integer({ help: 'how many images to write as PNG', byDefault: 100, min: 0 }),
  out: text({
    help: 'folder for images, tensors and report [linbp-out/attack-TIME]',
    placeholder: 'DIR',
  }),
  ...machineOptions,
} as const;

/** PNG files `00000_3.png` (number, label), which `--dataset folder:PATH` reads again, and all tensors. */
function writeOutputs(
  folder: string,
  pngs: number,
  dataset: Dataset,
  result: AttackResult,
  targets: Int32Array | undefined,
): void {
  const { channels, height, width } = dataset;
  const { count } = result;
  const size = channels * height * width;
  const clean = pixelRange(dataset, 0, count);
  if (channels === 1 || channels === 3) {
    for (let n = 0; n < Math.min(pngs, count); n++) {
      const name = `${String(n).padStart(5, '0')}_${dataset.labels[n]}.png`;
      const original = Uint8Array.from(clean.subarray(n * size, (n + 1) * size), (pixel) => Math.round(255 * pixel));
      writePng(join(folder, 'clean', name), { channels, height, width, data: original });
      writePng(join(folder, 'adversarial', name), {
        channels,
        height,
        width,
        data: result.images8.slice(n * size, (n + 1) * size),
      });
    }
  }
  const shape = [count, channels, height, width];
  writeSafetensors(join(folder, 'adversarial.safetensors'), {
    adversarial: { shape, data: result.images },
    adversarial8: { shape, data: result.images8 },
    clean: { shape, data: clean },
    labels: { shape: [count], data: Int32Array.from(dataset.labels.subarray(0, count)) },
    ...(targets && { targets: { shape: [count], data: targets.subarray(0, count) } }),
  });
}

function resultFields(result: AttackResult, victims: readonly VictimResult[]) {
  const { count, cleanCorrect, robustCorrect, cleanAccuracy, robustAccuracy, successRate, saved, linf, l2, curve } =
    result;
  const { gradients, forwards, overflows, dispatches, submits, readbacks, imageGradientsPerSecond } = result;
  return {
    ...{
      count,
      cleanCorrect,
      robustCorrect,
      cleanAccuracy,
      robustAccuracy,
      successRate,
      saved,
      victims,
      linf,
      l2,
      curve,
    },
    ...{ gradients, forwards, overflows, dispatches, submits, readbacks, imageGradientsPerSecond },
    ...batteryFields(result),
  };
}

function printResult(
  result: AttackResult,
  victims: readonly VictimResult[],
  definition: ModelDefinition,
  print: (line: string) => void,
): void {
  print(`${definition.name} on ${result.count} images`);
  print(`clean accuracy   ${percent(result.cleanAccuracy)}`);
  print(
    `robust accuracy  ${percent(result.robustAccuracy)} (as saved in 8 bits ${percent(result.saved.robustAccuracy)})`,
  );
  print(`success rate     ${percent(result.successRate)} of the images right before`);
  print(
    `largest change   linf ${result.linf.largest.toFixed(5)} (${(255 * result.linf.largest).toFixed(1)}/255), l2 ${result.l2.largest.toFixed(4)}`,
  );
  print(
    `gradients        ${result.gradients} in ${result.seconds.toFixed(1)} s, ${result.imageGradientsPerSecond.toFixed(0)} a second`,
  );
  if (result.overflows > 0)
    print(`overflows        ${result.overflows} of these in f16; their images kept their place for a step`);
  for (const victim of victims) {
    print(
      `victim ${victim.model}: clean ${percent(victim.cleanAccuracy)}, robust ${percent(victim.robustAccuracy)}, success ${percent(victim.successRate)}`,
    );
  }
}

/** `linbp attack`: adversarial examples, judged on the true forward pass, and what they do to other models. */
export const attackVerb = defineVerb({
  name: 'attack',
  summary: 'crafts adversarial images under any rule and tries them on other models',
  examples: [
    'linbp attack --model lenet5 --weights runs/bp/lenet5.safetensors --rule linbp --limit 100',
    'linbp attack --model lenet5 --weights runs/bp/lenet5.safetensors --eps 8/255 --steps 10 --limit 100 --out runs/attack',
  ],
  options,
  notes: [
    '',
    'Writes clean/ and adversarial/ (PNG), adversarial.safetensors (adversarial, adversarial8, clean, labels) and report.json.',
    'Figures are of the float images, "saved" and the victims of the images rounded to 8 bits inside the ball.',
    'Ctrl-C keeps the batches finished until then and ends with exit code 130.',
  ],
  async run(values, context) {
    const definition = await chosenModel(values);
    const rules = chosenRules(values.rule, definition);
    const shift = checkCrafting(values, definition);
    const victims = await readVictims(values.victims, definition);
    const out = OutputFolder.open(values.out ?? defaultOutput('attack'), 'attack');
    context.lock(out.path);
    const weights = await chosenWeights(definition, values, context.progress);
    const dataset = await chosenDataset(values, values.split, definition, context);
    const labels = batchLabels(
      dataset,
      Array.from({ length: dataset.count }, (_, n) => n),
    );
    const targets = values.targeted ? labels.map((label) => (label + shift) % definition.classes) : undefined;
    out.create();
    const device = values.device === 'reference' ? undefined : await openDevice({ ...values, device: values.device });
    try {
      const model = device === undefined ? { definition, weights } : modelWith(device, definition, weights);
      const crafting = await openCrafting(values, model, rules.written, context);
      const { result, settings, ilaSteps } = await crafting
        .run({ dataset, targets }, context)
        .finally(() => crafting.close());
      const { interrupted } = result;
      const tried = interrupted
        ? []
        : await evaluateVictims(victims, device, { dataset, labels, targets, images8: result.images8 }, context);
      const fields = { ...resultFields(result, tried), out: out.path };
      const targetShift = values.targeted ? shift : null;
      const settled = {
        rule: rules.written,
        ...settings,
        targetShift,
        ilaSteps,
        note: dataset.note ?? null,
      };
      const report = {
        ...(interrupted && { interrupted }),
        model: definition.name,
        dataset: dataset.name,
        settings: { ...values, out: out.path, ...settled },
        ...fields,
        samples: result.samples,
      };
      out.replace((folder) => {
        writeOutputs(folder, values.images, dataset, result, targets);
        writeFileAtomic(join(folder, 'report.json'), `${JSON.stringify(report, null, 2)}\n`);
      });
      printResult(result, tried, definition, context.print);
      context.print(`wrote ${out.path}`);
      return {
        adapter: device === undefined ? referenceAdapter : shownAdapter(device),
        settings: settled,
        fields,
        interrupted,
      };
    } finally {
      device?.destroy();
    }
  },
});
