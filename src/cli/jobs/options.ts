import { check } from '../../errors.js';
import { shownUrl } from '../../jobs/redis.js';
import { flag, integer, text } from '../options.js';
import type { Option, OptionValues } from '../options.js';

/** Text from the environment where the option is not given, so that passwords need not be typed. */
const orEnvironment = (option: Option<string | undefined>, name: string): Option<string | undefined> => ({
  ...option,
  byDefault: process.env[name] || undefined,
});

/** The same for verbs that run without jobs where the option is not given: `env` stands for the variable. */
const alsoEnvironment = (option: Option<string | undefined>, variable: string): Option<string | undefined> => ({
  ...option,
  parse(value, name) {
    if (value !== 'env') return option.parse(value, name);
    const given = process.env[variable];
    check(given !== undefined && given !== '', 'bad-argument', `--${name} env: ${variable} is not set`, name);
    return option.parse(given, name);
  },
});

const queue = (help: string): Option<string | undefined> => text({ help, placeholder: 'redis://HOST' });
const store = (more: string): Option<string | undefined> =>
  text({ help: `folder or s3://BUCKET/PREFIX for inputs and results of jobs${more}`, placeholder: 'DIR|URL' });

/** The queue, which serves as `help` says, and the store, of verbs that are about jobs. */
export const queueOptions = (help: string) => ({
  queue: orEnvironment(queue(`${help} [LINBP_QUEUE]`), 'LINBP_QUEUE'),
  store: orEnvironment(store(' [LINBP_STORE]'), 'LINBP_STORE'),
});

/** Options of verbs that can be split into jobs. */
export const jobOptions = {
  queue: alsoEnvironment(
    queue('submit jobs to "linbp worker"s through this Redis or Valkey; env: LINBP_QUEUE'),
    'LINBP_QUEUE',
  ),
  store: alsoEnvironment(store('; finished work there is reused; env: LINBP_STORE'), 'LINBP_STORE'),
  workers: integer({ help: 'compute in N processes of this machine', min: 1, max: 1024 }),
  shard: integer({ help: 'images per job [as many as take about 25 s]', min: 1 }),
  sameAdapter: flag('reject results from different adapters'),
} as const;

export type JobValues = OptionValues<typeof jobOptions>;

/** Options that say how work was cut and not what is computed; results have them under `workers`. */
const cuttingOptions: readonly string[] = ['shard', 'sameAdapter'];

/** Values as results show them: without passwords, and without how the work was cut. */
export const publicValues = (values: Readonly<Record<string, unknown>>): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(values)
      .filter(([name]) => !cuttingOptions.includes(name))
      .map(([name, value]) => [name, name === 'queue' && typeof value === 'string' ? shownUrl(value) : value]),
  );

/** Throws `bad-argument` where a device is chosen for work that other processes' workers do, on devices of theirs. */
export function expectWorkersDevice(
  values: JobValues & { readonly device: string; readonly adapter: string | undefined },
): void {
  const { queue, device, adapter } = values;
  const words = 'chooses a device here; with --queue give it to "linbp worker"';
  check(queue === undefined || adapter === undefined, 'bad-argument', `--adapter ${words}`, 'adapter');
  check(queue === undefined || device !== 'software', 'bad-argument', `--device software ${words}`, 'device');
}

/** Whether the work is to be cut into jobs. Throws `bad-argument` for options that exclude each other. */
export function isCut({ queue, store, workers, shard, sameAdapter }: JobValues): boolean {
  check(
    queue === undefined || workers === undefined,
    'bad-argument',
    '--workers are of this machine; with --queue start "linbp worker"s',
    'workers',
  );
  check(
    queue === undefined || store !== undefined,
    'bad-argument',
    '--queue needs --store, where workers find inputs and leave results',
    'store',
  );
  const cut = queue !== undefined || store !== undefined || workers !== undefined;
  check(cut || shard === undefined, 'bad-argument', '--shard goes with --queue, --store or --workers', 'shard');
  check(cut || !sameAdapter, 'bad-argument', '--same-adapter goes with --queue, --store or --workers', 'sameAdapter');
  return cut;
}
