import { subset, selectSamples } from '../data/dataset.js';
import type { Dataset } from '../data/dataset.js';
import { elementCount } from '../graph/types.js';
import { positionTable } from '../nn/definition.js';
import type { ModelDefinition } from '../nn/definition.js';
import type { Model } from '../nn/model.js';
import type { Cells } from './cells.js';
import { attackWith, cifarImages, pretrained, rightForAll, rightness } from './attackRuns.js';
import { mean } from './statistics.js';
import { sized } from './types.js';
import type { ExperimentContext, Setting } from './types.js';

const eps = 8 / 255;
const alpha = 1 / 255;

/** A network that is shown images, and by which name. */
export interface Victim {
  readonly name: string;
  readonly model: Model;
}

export const named = (models: readonly Model[]): Victim[] =>
  models.map((model) => ({ name: model.definition.name, model }));

/**
 * The pretrained networks of the transfer experiments unless others are named; the first is the source of comparisons
 * of rules.
 */
const pretrainedNames = ['resnet20', 'resnet32', 'resnet56'];

/** The experiment's networks: at least two, so that there is a victim. The caller destroys them. */
export const transferNetworks = (context: ExperimentContext): Promise<Model[]> =>
  pretrained(context, context.networks ?? pretrainedNames, Math.max(2, context.networks?.length ?? 0));

/** A network's stages in order, such as `layer1`; none for plain ones. */
export function stagesOf(definition: ModelDefinition): string[] {
  const { positions } = positionTable(definition);
  return [...new Set(positions.flatMap(({ stage }) => (stage === undefined ? [] : [stage])))];
}

/**
 * Starts of LinBP that are tried: everything, every later stage, and the branches of the last one; or without stages
 * every ReLU but the first.
 */
export function startsOf(definition: ModelDefinition): string[] {
  const stages = stagesOf(definition);
  if (stages.length > 0) return ['all', ...stages.slice(1), `${stages.length}_0`];
  return [
    'all',
    ...positionTable(definition)
      .positions.slice(1)
      .map(({ name }) => name),
  ];
}

/**
 * What `linbp:from=` can be followed by where the best LinBP of a network is looked for: its starts, and where branches
 * are marked also the form of the papers' code for residual networks, which begins at the first or second block of the
 * last stage and gives each branch the length of its true gradient.
 */
export function formsOf(definition: ModelDefinition): string[] {
  const starts = startsOf(definition);
  const { positions, branches = [] } = positionTable(definition);
  const stages = stagesOf(definition);
  if (branches.length === 0 || stages.length === 0) return starts;
  const blocks = new Set(positions.filter(({ stage }) => stage === stages.at(-1)).map(({ block }) => block));
  const matched = [0, 1].filter((block) => blocks.has(block));
  return [...starts, ...matched.map((block) => `${stages.length}_${block},match=block`)];
}

/** What the images of one rule on one source do: per victim 1 for each image that it gets wrong. */
export interface Crafted {
  readonly rule: string;
  readonly source: string;
  readonly fooled: ReadonlyMap<string, readonly number[]>;
}

/**
 * Attacks the source under a rule with a fixed budget of gradients and shows the images, as saved in 8 bits, to all
 * networks.
 */
export async function craft(
  context: ExperimentContext,
  source: Victim,
  victims: readonly Victim[],
  rule: string,
  images: Dataset,
  steps: number,
): Promise<Crafted> {
  const batch = Math.min(32, images.count);
  // The last iterate, as in the transfer papers: the best one would be chosen by the source's own loss.
  const settings = {
    model: source.model,
    attack: 'ifgsm',
    rules: rule,
    alpha,
    steps,
    batch,
    seed: context.seed,
    keep: 'last',
  } as const;
  const [result] = await attackWith(context, settings, images, [eps], `${source.name} ${rule}`);
  const saved = Float32Array.from(result!.images8, (level) => level / 255);
  const fooled = new Map<string, readonly number[]>();
  for (const { name, model } of victims) {
    const right = await rightness(model, saved, Array.from(images.labels), batch);
    fooled.set(
      name,
      right.map((each) => 1 - each),
    );
  }
  return { rule, source: source.name, fooled };
}

/** For each image the share of the networks, the source aside, that it fools. */
export function overVictims({ source, fooled }: Crafted, counted: (name: string) => boolean = () => true): number[] {
  const victims = [...fooled].filter(([name]) => name !== source && counted(name)).map(([, each]) => each);
  return victims[0]!.map((_, n) => mean(victims.map((each) => each[n]!)));
}

/** The networks whose logits are finite, at least two of them. Throws `diverged` where there are fewer. */
export async function finiteModels(cells: Cells, models: readonly Model[]): Promise<Model[]> {
  const look = (model: Model): Promise<unknown> => model.logits(new Float32Array(elementCount(model.definition.input)));
  const sound = await cells.finite(models, ({ definition }) => definition.name, look);
  cells.expectSome(Math.max(0, sound.length - 1), 'pair of networks');
  return sound;
}

/** Images for choosing a start layer, and those that figures are measured on. */
export interface Images {
  readonly heldOut: Dataset;
  readonly rest: Dataset;
}

/** Images that all networks get right, a quarter of them held out for choosing a start layer. */
export async function splitImages(context: ExperimentContext, models: readonly Model[]): Promise<Images> {
  const wanted = sized(5000, context.scale ** 2, 12);
  const found = await rightForAll(models, await cifarImages(context, Math.ceil(1.4 * wanted)), wanted, 32);
  const held = Math.max(1, Math.floor(found.count / 4));
  const rest = Array.from({ length: found.count - held }, (_, i) => held + i);
  return { heldOut: subset(found, held), rest: selectSamples(found, rest) };
}

export const commonSettings = (images: Images, steps: number): Setting[] => [
  {
    name: 'images',
    ours:
      `${images.rest.count} of CIFAR-10's test set that all ` +
      `networks get right, ${images.heldOut.count} more held out`,
    official: 'test images of a list of its own',
  },
  {
    name: 'attack',
    ours: 'I-FGSM, cross entropy, last iterate, saved in 8 bits',
    official: 'I-FGSM and others, cross entropy, last iterate, saved in 8 bits',
  },
  { name: 'eps', ours: '8/255 of pixels', official: '0.03 of pixels' },
  { name: 'step size and steps', ours: `1/255, ${steps} for each rule`, official: '1/255, 100' },
];

/** The best start of LinBP on the held-out images, with the success of each. Throws `diverged` where none has any. */
export async function chooseStart(
  context: ExperimentContext,
  source: Victim,
  victims: readonly Victim[],
  starts: readonly string[],
  heldOut: Dataset,
  steps: number,
  cells: Cells,
): Promise<{
  readonly start: string;
  readonly tried: readonly { readonly start: string; readonly success: number }[];
}> {
  const tried: { readonly start: string; readonly success: number }[] = [];
  await cells.finite(
    starts,
    (start) => `${source.name}, LinBP from ${start}`,
    async (start) => {
      const crafted = await craft(context, source, victims, `linbp:from=${start}`, heldOut, steps);
      tried.push({ start, success: mean(overVictims(crafted)) });
    },
  );
  cells.expectSome(tried.length, `start of LinBP on ${source.name}`);
  // Among equals the last one, which changes the gradient least.
  return { start: tried.reduce((best, each) => (each.success >= best.success ? each : best)).start, tried };
}
