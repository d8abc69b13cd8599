import { join, resolve } from 'node:path';
import { ensureWritableFolder, writeFileAtomic } from '../io/atomic.js';
import { machineOptions, namedModel, openDevice, shownAdapter } from './common.js';
import { budgetOf, demoAttack, demoAttacks, demoDatasets, demoProfiles, demoTrain, demoTraining } from './demoRun.js';
import type { DemoAttack, DemoTraining } from './demoRun.js';
import { choice, number, text } from './options.js';
import { packageVersion } from '../version.js';
import { defineVerb } from './verb.js';

const options = {
  data: text({ help: 'the folder that holds mnist/; without it the data set digits [LINBP_DATA]', placeholder: 'DIR' }),
  out: text({
    help: 'folder for the report and the two trained networks',
    placeholder: 'DIR',
    byDefault: 'linbp-report',
  }),
  minutes: number({
    help: 'sizes are chosen so that it takes less',
    min: 0.05,
    max: 600,
    shownDefault: '3; 6 on SwiftShader',
  }),
  seed: machineOptions.seed,
  device: choice(['auto', 'software'], { help: 'best adapter, or one on the CPU', byDefault: 'auto' }),
  adapter: machineOptions.adapter,
} as const;

/** SwiftShader computes at about half the speed of lavapipe. */
const minutesFor = (description: string): number => (/swiftshader/i.test(description) ? 6 : 3);

const trainingFields = ({ rule, epochs, steps, imagesPerSecond }: DemoTraining) => ({
  rule,
  epochs,
  steps: steps.length,
  losses: steps.map((step) => step.loss),
  imagesPerSecond,
});

function attackFields({ rule, eps, result, transferAccuracy }: DemoAttack) {
  const { count, cleanCorrect, robustCorrect, cleanAccuracy, robustAccuracy, successRate, saved, linf, l2, curve } =
    result;
  const { gradients, dispatches, submits, readbacks, imageGradientsPerSecond } = result;
  return {
    ...{
      rule,
      eps,
      count,
      cleanCorrect,
      robustCorrect,
      cleanAccuracy,
      robustAccuracy,
      successRate,
      saved,
      transferAccuracy,
      linf,
      l2,
      curve,
    },
    ...{ gradients, dispatches, submits, readbacks, imageGradientsPerSecond },
  };
}

/** `linbp demo`: trains and attacks LeNet-5 with BP and LinBP on whatever machine it finds, and writes a report. */
export const demoVerb = defineVerb({
  name: 'demo',
  summary: 'trains a network twice, attacks it, times every shader, and writes a report',
  options,
  notes: [
    '',
    'Uses MNIST where --data or LINBP_DATA has it, otherwise digits drawn by code. Writes report.html and the weights.',
  ],
  async run(values, context) {
    const { progress, print } = context;
    ensureWritableFolder(values.out);
    const definition = namedModel('lenet5');
    const device = await openDevice(values);
    try {
      const { adapterInfo } = device;
      const budget = budgetOf(60 * (values.minutes ?? minutesFor(adapterInfo.description)));
      progress.line(`adapter ${adapterInfo.description || adapterInfo.device}`);
      const data = await demoDatasets(values.data, context);
      progress.line(`data set ${data.train.name}: ${data.train.count} images to train, ${data.test.count} to test`);
      const trainings = await demoTrain(device, definition, data, values.seed, budget, context);
      const attacks = await demoAttacks(trainings, values.seed, budget, context);
      const profiles = await demoProfiles(device, definition, values.seed, budget, context);
      const settings = {
        'data set': trainings.train.name,
        'training images': String(trainings.train.count),
        'test images': String(trainings.test.count),
        epochs: String(trainings.runs[0]!.epochs.length),
        batch: String(demoTraining.batch),
        optimizer: `adam, learning rate ${demoTraining.lr}`,
        rules: 'bp; linbp at fc.1 and fc.3',
        attack: `PGD, L-infinity, ${demoAttack.steps} steps of 2.5 eps / steps, random start`,
        'attacked images': String(attacks.images.count),
        seed: String(values.seed),
        'measured rate': `${trainings.measuredRate.toFixed(0)} images/s`,
        'time allowed': `${(budget.total / 60).toFixed(1)} min`,
      };
      for (const run of trainings.runs) await run.model.save(join(values.out, `lenet5-${run.rule}.safetensors`));
      // The charting library is loaded only here, when nothing is waiting for the device.
      const { demoReport } = await import('./demoReport.js');
      const path = join(values.out, 'report.html');
      const found = {
        trainings,
        attacks,
        profiles,
        adapter: adapterInfo,
        version: packageVersion(),
        settings,
        seconds: budget.elapsed(),
      };
      writeFileAtomic(path, demoReport(found));
      for (const run of trainings.runs)
        print(
          `trained with ${run.rule.padEnd(5)}  test accuracy ${(100 * run.epochs.at(-1)!.testAccuracy!).toFixed(2)} %`,
        );
      for (const { rule, eps, result } of attacks.attacks.slice(0, 2)) {
        print(
          `attacked with ${rule.padEnd(5)} at eps ${eps}: accuracy ${(100 * result.cleanAccuracy).toFixed(1)} % -> ${(100 * result.robustAccuracy).toFixed(1)} %`,
        );
      }
      print(`report ${resolve(path)}`);
      return {
        adapter: shownAdapter(device),
        settings: { ...settings, minutes: budget.total / 60 },
        fields: {
          training: trainings.runs.map(trainingFields),
          initialAccuracy: trainings.initialAccuracy,
          attacks: attacks.attacks.map(attackFields),
          transferCleanAccuracy: attacks.transferCleanAccuracy,
          profiles,
          report: path,
        },
      };
    } finally {
      device.destroy();
    }
  },
});
