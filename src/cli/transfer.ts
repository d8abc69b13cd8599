import { join } from 'node:path';
import { seedsFrom } from '../arguments.js';
import type { Dataset } from '../data/dataset.js';
import { selectSamples, subset } from '../data/dataset.js';
import { expectSameClasses } from '../data/classes.js';
import { check } from '../errors.js';
import { Cells } from '../experiments/cells.js';
import { wilson } from '../experiments/statistics.js';
import { automatic, budgeted, cleanRight, craftRow, sweepStart } from '../experiments/transferMatrix.js';
import type {
  CleanRight,
  MatrixAttack,
  MatrixPart,
  MatrixRow,
  MatrixSettings,
  MatrixStore,
  StartSweep,
} from '../experiments/transferMatrix.js';
import type { Victim } from '../experiments/crafting.js';
import { writeFileAtomic } from '../io/atomic.js';
import { defaultOutput, OutputFolder } from '../io/outputFolder.js';
import type { ModelDefinition } from '../nn/definition.js';
import type { StateDict } from '../nn/model.js';
import { resized } from '../nn/resized.js';
import { hasOption } from '../attacks/available.js';
import { attackDefinition } from '../attacks/builtin.js';
import { settle } from '../attacks/options.js';
import { loadDataset } from '../data/load.js';
import { mixesBatch, parseRules } from '../rules/parse.js';
import { splitRules } from './ruleList.js';
import { attackOptionTable } from './attack/options.js';
import { everyOwn, readAttacks } from './attack/spec.js';
import type { AttackSpec } from './attack/spec.js';
import { AttackState, noteResume } from './attack/state.js';
import { datasetIdentity } from '../train/identity.js';
import type { Device } from '../runtime/device.js';
import { weightsIdentity } from '../train/identity.js';
import { composed } from './composedAttack.js';
import {
  chosenRules,
  dataOptions,
  deviceOptions,
  programBatch,
  resumeOption,
  namedWeights,
  openDevice,
  shownAdapter,
  splitOption,
} from './common.js';
import { modelWith } from './inference.js';
import { openModel } from './modelSource.js';
import { each, namesWith } from './optionRoles.js';
import type { OptionRoles } from './optionRoles.js';
import { assignment, expectOnce, expectUsed, integer, modelsInList, number, text } from './options.js';
import type { OptionValues } from './options.js';
import { matrixFields, matrixLines, matrixPage } from './transferReport.js';
import type { Matrix } from './transferReport.js';
import { fileLink } from './terminal/screen.js';
import { defineVerb } from './verb.js';
import type { VerbContext } from './verb.js';

const { limit } = dataOptions;

const options = {
  sources: text({ help: 'networks that the images are made on', placeholder: 'M=W,..' }),
  victims: text({ help: 'networks they are tested on [the sources]', placeholder: 'M=W,..' }),
  attacks: text({ help: 'attacks, as for "linbp attack"', placeholder: 'A,B', byDefault: 'ifgsm,mifgsm' }),
  rule: attackOptionTable.rule,
  norm: attackOptionTable.norm,
  eps: number({ help: 'radius in pixel values from 0 to 1', min: 0, byDefault: 8 / 255, shownDefault: '8/255' }),
  alpha: number({ help: 'step size [eps/steps, linf at least 1/255]', min: 0 }),
  gradients: integer({ help: 'gradients per image that each attack may take', byDefault: 20, min: 1, max: 100_000 }),
  seeds: integer({ help: 'number of seeds, from --seed on', byDefault: 1, min: 1, max: 100 }),
  heldOut: number({ help: 'share of images for from=auto', byDefault: 0.25, min: 0, max: 0.9, above: true }),
  ...{
    dataset: text({ help: 'images, as for "linbp attack"', placeholder: 'NAME', byDefault: 'cifar10' }),
    limit,
    data: text({ help: 'the folder of data sets [LINBP_DATA]', placeholder: 'DIR' }),
  },
  ...splitOption,
  batch: programBatch(32, 4096),
  out: text({ help: 'folder for results [linbp-out/transfer-TIME]', placeholder: 'DIR' }),
  ...resumeOption,
  ...deviceOptions,
} as const;

type Values = OptionValues<typeof options>;

/**
 * What `--resume` compares of each option: its value, what was made of it (networks, images, rules), or nothing, since
 * it does not affect results. A new option does not compile before it is here.
 */
const roles: OptionRoles<Values> = {
  ...each(['attacks', 'norm', 'eps', 'alpha', 'gradients', 'seeds', 'seed', 'heldOut'], 'value'),
  ...each(['sources', 'victims', 'rule', 'dataset', 'data', 'split', 'limit', 'batch'], 'made'),
  ...each(['out', 'resume', 'device', 'adapter'], 'nothing'),
};

/** A network of the matrix, before it is on a device. */
interface Named {
  readonly name: string;
  readonly definition: ModelDefinition;
  readonly path: string;
  /** The size it was made for, where images are resized in front of it. */
  readonly ownSize: readonly number[];
}

/** Reads `M=W,M=W`; a network named twice gets a number. Throws `bad-argument`, `unknown-model`. */
async function readNetworks(notation: string, option: string, known: Named[]): Promise<Named[]> {
  const found: Named[] = [];
  const parts = notation.split(modelsInList);
  expectOnce(parts, option);
  for (const part of parts) {
    const [model, path] = assignment(part);
    const fits = model !== undefined && path !== undefined;
    check(fits, 'bad-argument', `--${option} must be MODEL=WEIGHTS,MODEL=WEIGHTS; got "${part}"`, option);
    const definition = await openModel(model);
    const same = known.find((each) => each.definition.name === definition.name && each.path === path);
    const alike = [...known, ...found].filter((each) => each.definition.name === definition.name).length;
    const name = alike === 0 ? definition.name : `${definition.name}#${alike + 1}`;
    found.push(same ?? { name, definition, path, ownSize: definition.input.slice(1) });
  }
  return found;
}

/** The attacks of the matrix. Throws for what has no gradient steps to count. */
function readMatrixAttacks(values: Values): MatrixAttack[] {
  const sized: ('shared' | 'own' | 'none')[] = [];
  const found = readAttacks(values.attacks, 'attacks').map((spec: AttackSpec): MatrixAttack => {
    check(spec.name !== 'autoattack', 'bad-argument', 'autoattack is no attack for transfer', 'attacks');
    check(
      spec.steps === undefined && spec.restarts === undefined,
      'bad-argument',
      `${spec.written}: steps follow from --gradients, so that all attacks spend the same`,
      'attacks',
    );
    const { gradient, transform, momentum, loss, decay, eot, parameters } = spec;
    const attack = composed({ attack: spec.name, gradient, transform, momentum });
    const definition = typeof attack === 'string' ? attackDefinition(attack) : attack;
    // What all attacks share is for those that have it.
    const keep = spec.keep ?? (hasOption(definition, 'keep') ? 'last' : undefined);
    const sizes = hasOption(definition, 'alpha');
    sized.push(sizes ? (spec.alpha === undefined ? 'shared' : 'own') : 'none');
    const size = spec.alpha ?? (sizes ? values.alpha : undefined);
    const given = {
      ...(keep && { keep }),
      ...(loss && { loss }),
      ...(decay !== undefined && { decay }),
      ...(eot !== undefined && { eot }),
      ...(size !== undefined && { alpha: size }),
    };
    return { name: spec.written, options: { attack, parameters, ...given } };
  });
  const why = sized.includes('own') ? everyOwn : 'goes with attacks that go along gradients step by step';
  expectUsed(values, { alpha: [sized.includes('shared'), why] });
  return found;
}

async function images(values: Values, networks: readonly Named[], { signal }: VerbContext): Promise<Dataset> {
  const found = await loadDataset({
    dataset: values.dataset,
    split: values.split,
    classes: networks[0]!.definition.classes,
    ...(values.data !== undefined && { dataFolder: values.data }),
    ...(values.limit !== undefined && { limit: values.limit }),
    signal,
  });
  for (const { name, definition } of networks) {
    check(
      definition.input[0] === found.channels,
      'bad-shape',
      `${name} takes ${definition.input[0]} channels, ${found.name} has ${found.channels}`,
      'dataset',
    );
    expectSameClasses(definition, found, 'dataset');
  }
  return found;
}

/** The rules of a source, `from=auto` among them as it is written. */
function checkRules(rules: readonly string[], sources: readonly Named[]): void {
  for (const { definition } of sources)
    for (const rule of rules) chosenRules(rule.replace(automatic, 'from=all'), definition);
}

/** Everything computed: the sweeps first, each on its source, then the matrix. */
async function compute(
  settings: MatrixSettings,
  rules: readonly string[],
  { heldOut, rest }: { readonly heldOut: Dataset | undefined; readonly rest: Dataset },
  cells: Cells,
  { progress }: VerbContext,
): Promise<Pick<Matrix, 'rows' | 'sweeps' | 'diverged'>> {
  const rows: MatrixRow[] = [];
  const sweeps: StartSweep[] = [];
  for (const source of settings.sources) {
    const [first] = settings.attacks;
    for (const rule of rules) {
      let written = rule;
      if (automatic.test(rule)) {
        const what = `start of ${rule} on ${source.name}`;
        const sweep = await cells.run(what, () => sweepStart(settings, source, first!, rule, heldOut!, cells));
        if (sweep === undefined) continue;
        sweeps.push(sweep);
        written = rule.replace(automatic, `from=${sweep.start}`);
      }
      for (const attack of settings.attacks) {
        const what = `${source.name}, ${attack.name}, ${written}`;
        const row = await cells.run(what, () => craftRow(settings, source, attack, written, rest));
        if (row !== undefined) rows.push(row);
        progress.clear();
      }
    }
  }
  cells.expectSome(rows.length, 'attack');
  return { rows, sweeps, diverged: cells.diverged };
}

/** The victims with finite logits at the clean images, and what they get right. Throws `diverged` where none has. */
async function soundVictims(
  victims: readonly Victim[],
  images: Dataset,
  batch: number,
  cells: Cells,
): Promise<{ readonly victims: readonly Victim[]; readonly clean: CleanRight }> {
  const clean = new Map<string, readonly number[]>();
  const name = (victim: Victim): string => `victim ${victim.name}`;
  const sound = await cells.finite(victims, name, async (victim) => {
    for (const [of, right] of await cleanRight([victim], images, batch)) clean.set(of, right);
  });
  cells.expectSome(sound.length, 'victim');
  return { victims: sound, clean };
}

function halves(all: Dataset, share: number, auto: boolean): { heldOut: Dataset | undefined; rest: Dataset } {
  if (!auto) return { heldOut: undefined, rest: all };
  const held = Math.max(1, Math.round(share * all.count));
  check(held < all.count, 'bad-range', `${share} of ${all.count} images cannot be held out`, 'heldOut');
  const rest = Array.from({ length: all.count - held }, (_, n) => held + n);
  return { heldOut: subset(all, held), rest: selectSamples(all, rest) };
}

/** Refuses what the engine would refuse later, and networks of other classes. */
function checkMatrix(
  values: Values,
  networks: readonly Named[],
  sources: readonly Named[],
  attacks: readonly MatrixAttack[],
): void {
  for (const { name, definition } of networks)
    check(
      definition.classes === sources[0]!.definition.classes,
      'bad-shape',
      `${name} has ${definition.classes} classes, ${sources[0]!.name} has ${sources[0]!.definition.classes}`,
      'victims',
    );
  const { norm, eps, gradients, batch, resume, out } = values;
  check(!resume || out !== undefined, 'bad-argument', '--resume needs the --out of that run', 'resume');
  for (const { definition } of sources)
    for (const attack of attacks) {
      const model = { definition, weights: new Map() } as unknown as Victim['model'];
      settle(budgeted({ norm, eps, gradients, batch }, attack, model, 'bp'));
    }
}

const cleanError = ([model, right]: readonly [string, readonly number[]]) => {
  const { mean: error, low, high } = wilson(right.filter((each) => each === 0).length, right.length);
  return { model, error, low, high };
};

/** The matrix with what follows from the networks and from what they get right. */
function matrixOf(
  found: Omit<Matrix, 'resized' | 'cleanErrors'>,
  networks: readonly Named[],
  { height, width }: Dataset,
): Matrix {
  const size = [height, width];
  const sizes = networks.filter(({ ownSize }) => ownSize.join() !== size.join());
  return {
    ...found,
    resized: sizes.map(({ name, ownSize }) => ({ model: name, from: size, to: ownSize })),
    cleanErrors: [...found.clean].map(cleanError),
  };
}

/** What is finished of this run, batch by batch; with `--resume` that of an earlier one, too. */
async function openStore(
  out: OutputFolder,
  values: Values,
  made: {
    readonly rules: readonly string[];
    readonly sources: readonly Named[];
    readonly victims: readonly Named[];
    readonly weights: ReadonlyMap<Named, StateDict>;
    readonly images: Dataset;
    readonly device: Device;
  },
  { progress }: VerbContext,
): Promise<{ readonly state: AttackState; readonly store: MatrixStore }> {
  const text = (value: unknown): string => JSON.stringify(value ?? null);
  const of = (networks: readonly Named[]) =>
    networks.map((each) => [each.name, weightsIdentity(made.weights.get(each)!)]);
  const { batch, resume } = values;
  const identity = {
    ...datasetIdentity(made.images),
    sources: text(of(made.sources)),
    victims: text(of(made.victims)),
    ...(mixesBatch(made.rules.flatMap((rule) => parseRules(rule))) && { batch: text(batch) }),
    rules: text(made.rules),
    ...Object.fromEntries(namesWith(roles, 'value').map((name) => [name, text(values[name])])),
  };
  const adapter = shownAdapter(made.device).description;
  const state = await AttackState.open(out, identity, { resume, adapter, note: (line) => progress.line(line) });
  const find = (name: string) => state.piece(name) as Promise<MatrixPart | undefined>;
  return { state, store: { find, keep: (name, part) => state.keepPiece(name, part) } };
}

/** `linbp transfer`: how images made on some networks transfer to others, at equal numbers of gradients. */
export const transferVerb = defineVerb({
  name: 'transfer',
  summary: 'tests images made on some networks on others: a transfer matrix at equal cost',
  examples: [
    'linbp transfer --sources resnet20=A.safetensors,resnet56=B.safetensors --limit 100',
    'linbp transfer --sources resnet20=A.safetensors --victims resnet56=B.safetensors ' +
      '--rule bp --rule linbp:from=auto --limit 100',
  ],
  options,
  needs: ({ rule }) => ({
    heldOut: [rule.some((each) => automatic.test(each)), 'goes with --rule linbp:from=auto'],
  }),
  notes: [
    '',
    'Each attack takes as many steps as --gradients allows. Figures are for the images as saved in 8 bits: ' +
      'the share of those that a victim gets right clean and wrong attacked, with 95 % intervals over images ' +
      'and seeds; errors on clean images are listed separately. Networks of other input sizes get the images ' +
      'resized (bilinear) by an added first layer, gradients included. --rule linbp:from=auto tries every start on ' +
      'held-out images, with the first attack, and shows the curve.',
    'Writes report.json, report.html and matrix.csv. After Ctrl-C or a kill, --resume continues; at most one ' +
      'batch of images is lost.',
  ],
  async run(values, context) {
    const usage = 'transfer needs --sources MODEL=WEIGHTS,..; "linbp transfer --help" shows an example';
    check(values.sources !== undefined, 'bad-argument', usage, 'sources');
    const sources = await readNetworks(values.sources, 'sources', []);
    const victims = values.victims === undefined ? sources : await readNetworks(values.victims, 'victims', sources);
    const networks = [...sources, ...victims.filter((victim) => !sources.includes(victim))];
    const attacks = readMatrixAttacks(values);
    const rules = values.rule.flatMap(splitRules);
    expectOnce(rules, 'rule');
    checkRules(rules, sources);
    const swept = rules.some((rule) => automatic.test(rule));
    checkMatrix(values, networks, sources, attacks);
    const out = await OutputFolder.open(values.out ?? (await defaultOutput('transfer')), 'transfer');
    await out.lock(context.lock);
    const weights = new Map<Named, StateDict>();
    for (const each of networks) weights.set(each, await namedWeights(each.definition, each.path));
    const all = await images(values, networks, context);
    const parts = halves(all, values.heldOut, swept);
    await out.create();
    const device = await openDevice(values);
    try {
      const open = networks.map((each): Victim => {
        const definition = resized(each.definition, [all.height, all.width]);
        return { name: each.name, model: modelWith(device, definition, weights.get(each)!) };
      });
      const victimOf = (each: Named): Victim => open[networks.indexOf(each)]!;
      const { norm, eps, gradients, batch, seed, seeds } = values;
      const made = { rules, sources, victims, weights, images: all, device };
      const { state, store } = await openStore(out, values, made, context);
      const cells = new Cells(context);
      const sound = await soundVictims(victims.map(victimOf), parts.rest, batch, cells);
      const settings: MatrixSettings = {
        ...{ sources: sources.map(victimOf), victims: sound.victims, attacks, norm, eps, gradients },
        seeds: seedsFrom(seed, seeds),
        ...{ store, batch, signal: context.signal, onProgress: (what, share) => context.progress.update(what, share) },
      };
      const computed = await noteResume(compute(settings, rules, parts, cells, context), state, context);
      const counts = { count: parts.rest.count, heldOut: parts.heldOut?.count ?? 0 };
      const matrix = matrixOf({ ...computed, clean: sound.clean, seed, ...counts }, networks, all);
      const fields = { ...matrixFields(matrix), out: out.path };
      const settled = { rule: rules, victims: victims.map(({ name }) => name), note: all.note ?? null };
      const report = { dataset: all.name, settings: { ...values, ...settled }, ...fields };
      const html = await matrixPage(matrix, fields, { adapter: device.adapterInfo, settings: report.settings });
      await out.replace(async (folder) => {
        await writeFileAtomic(join(folder, 'report.json'), `${JSON.stringify(report, null, 2)}\n`);
        await writeFileAtomic(join(folder, 'report.html'), html);
        await writeFileAtomic(join(folder, 'matrix.csv'), fields.csv);
      });
      for (const line of matrixLines(matrix, fields, context.width)) context.print(line);
      context.print(`wrote ${out.path}`);
      context.print(`report ${fileLink(join(out.path, 'report.html'))}`);
      const { csv: _csv, ...shown } = fields;
      return { adapter: shownAdapter(device), settings: settled, fields: shown };
    } finally {
      device.destroy();
    }
  },
});
