import { doctor } from './doctor.js';
import { flag } from './options.js';
import { defineVerb } from './verb.js';

/** `linbp doctor`; the work is in doctor.ts, which loads nothing that may be missing. */
export const doctorVerb = defineVerb({
  name: 'doctor',
  summary: 'finds and tests a driver, says what is missing and which command mends it',
  options: { fix: flag('install what is missing') },
  run: ({ fix, json }) => doctor({ fix, ...(json !== undefined && { json }) }),
});
