import { doctor } from './doctor.js';
import { flag, text } from './options.js';
import { defineVerb } from './verb.js';

/** `linbp doctor`; the work is in doctor.ts, which loads nothing that may be missing. */
export const doctorVerb = defineVerb({
  name: 'doctor',
  summary: 'finds and tests a driver, says what is missing and which command fixes it',
  examples: ['linbp doctor', 'linbp doctor --json -'],
  options: {
    fix: flag('install what is missing'),
    adapter: text({ help: 'which adapter to test the kernels on', placeholder: 'NAME|INDEX' }),
  },
  run: ({ fix, adapter, json }, { print }) =>
    doctor({ fix, print, ...(adapter !== undefined && { adapter }), ...(json !== undefined && { json }) }),
});
