import type { BackwardSelection } from '../graph/backward.js';
import { Graph } from '../graph/graph.js';
import type { Node } from '../graph/types.js';
import { addModel } from '../nn/definition.js';
import type { ModelDefinition } from '../nn/definition.js';

/** What a selection of rules does at one place of a network. */
interface SelectedRule {
  readonly place: string;
  readonly rule: string;
  /** Whether an image's gradient depends on the others of its batch. */
  readonly mixesBatch: boolean;
}

/** What a selection says about every place of a network that it may change, however it was made. */
export function selectedRules(selection: BackwardSelection, model: ModelDefinition): SelectedRule[] {
  const graph = new Graph();
  addModel(graph, model, graph.input('images', [1, ...model.input]));
  const found: SelectedRule[] = [];
  const note = (place: string, rule: { readonly name: string; readonly mixesBatch?: boolean } | undefined): void => {
    if (rule !== undefined) found.push({ place, rule: rule.name, mixesBatch: rule.mixesBatch === true });
  };
  for (const node of graph.nodes) {
    if (node.op === 'maxPool2d') note(node.layer, selection.maxPool?.(node as Node<'maxPool2d'>));
    if (node.op !== 'activation') continue;
    const chosen = selection(node as Node<'activation'>);
    if (chosen.kind === 'emit') note(node.layer, chosen.rule);
    else note(node.layer, { name: [chosen.use.rule.name, ...chosen.use.values].join(' ') });
  }
  for (const region of graph.regions) {
    note(region.name, selection.region?.(region));
    note(`into ${region.name}`, selection.edge?.(region));
  }
  return found;
}

/** Whether an image's gradient depends on the others of its batch under these rules. */
export const mixesImages = (selection: BackwardSelection, model: ModelDefinition): boolean =>
  selectedRules(selection, model).some(({ mixesBatch }) => mixesBatch);
