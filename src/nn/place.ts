import { expectOneOf, expectStateDict } from '../arguments.js';
import { check } from '../errors.js';
import type { Precision, Tensor } from '../graph/types.js';
import { DeviceStore, ReferenceStore, storesOf } from '../program/store.js';
import type { Store } from '../program/store.js';
import type { Device } from '../runtime/device.js';
import { Turns } from '../runtime/turns.js';
import { describeModel, isBuffer } from './definition.js';
import type { GraphStores, ModelDefinition, StateDict } from './definition.js';
import type { PlacedNetwork } from './forward.js';
import { Model } from './model.js';
import type { HostModel } from './model.js';
import { expectFiniteWeights } from './nonFinite.js';

/** Where to compute with a model: on its device, or in float64 on the CPU. */
export type PlaceName = 'gpu' | 'reference';

/**
 * Checks that a model can be used in a place.
 *
 * @throws LinbpError `unknown-option` for another place; `bad-argument` for f16 in the reference and for weights on the
 * host elsewhere
 */
export function expectPlace(model: Model | HostModel, device: PlaceName, precision: Precision = 'f32'): void {
  expectOneOf(device, ['gpu', 'reference'], 'device');
  const fits = precision === 'f32' || device !== 'reference';
  check(fits, 'bad-argument', 'the reference computes in float64, not in f16', 'precision');
  const onHost = device === 'gpu' && !(model instanceof Model);
  check(!onHost, 'bad-argument', "weights on the host run on the reference only: device: 'reference'", 'model');
}

/** The weights as they are now, on the host. */
export const hostWeights = async (model: Model | HostModel): Promise<StateDict> =>
  model instanceof Model ? model.stateDict() : model.weights;

/** Throws `diverged` where weights are infinite or NaN, or become so in `precision`; `disposed` where they are gone. */
export function expectUsable(model: Model | HostModel, precision: Precision = 'f32'): void {
  if (model instanceof Model) model.expectUsable(precision);
  else expectFiniteWeights(model.weights, model.definition.name);
}

/** A model's weights where they are computed with: its own buffers on its device, or copies in float64. */
export class ModelPlace implements PlacedNetwork {
  readonly definition: ModelDefinition;
  readonly device: Device | 'reference';
  /** Learnable parameters in their flat layout. */
  readonly parameters: Store;
  /** Running statistics, for models with batch norm. */
  readonly buffers: Store | undefined;
  /** Whatever reads or changes the weights here takes its turn. */
  readonly turns: Turns;
  private readonly model: Model | HostModel;

  /**
   * In the reference the weights are zeros until {@link ModelPlace.refresh}.
   *
   * @throws LinbpError what {@link expectPlace} throws; `bad-argument`, `bad-dtype`, `bad-shape` for weights on the
   * host that are not those of the network
   */
  constructor(model: Model | HostModel, device: PlaceName) {
    expectPlace(model, device);
    if (!(model instanceof Model)) expectWeights(model);
    this.model = model;
    this.definition = model.definition;
    if (device === 'gpu' && model instanceof Model) {
      this.device = model.device;
      this.parameters = new DeviceStore(model.device, model.parameters);
      this.buffers = model.buffers === undefined ? undefined : new DeviceStore(model.device, model.buffers);
      this.turns = model.turns;
      return;
    }
    const { parameterElements, bufferElements } = describeModel(model.definition).layout;
    this.device = 'reference';
    this.parameters = new ReferenceStore(parameterElements);
    this.buffers = bufferElements === 0 ? undefined : new ReferenceStore(bufferElements);
    this.turns = new Turns();
  }

  /**
   * A place with the weights that the model has now. Throws as the constructor does, and `diverged` for weights of a
   * model on a device that are not finite.
   */
  static async open(model: Model | HostModel, device: PlaceName): Promise<ModelPlace> {
    const place = new ModelPlace(model, device);
    if (device === 'gpu') return place;
    if (model instanceof Model) model.expectUsable();
    await place.refresh();
    return place;
  }

  /** Copies the weights that the model has now into the reference's stores, and returns them. */
  async refresh(): Promise<StateDict> {
    check(this.device === 'reference', 'internal', 'a device works with the weights themselves', 'device');
    const weights = await hostWeights(this.model);
    const { parameters, buffers } = flattened(this.definition, weights);
    this.parameters.write(parameters);
    this.buffers?.write(buffers);
    return weights;
  }

  stores({ parameters, buffers }: GraphStores): Map<Tensor, Store> {
    if (this.device !== 'reference' && this.model instanceof Model)
      return storesOf(this.device, this.model.bindings({ parameters, buffers }));
    const stores = new Map([[parameters, this.parameters]]);
    if (buffers !== undefined && this.buffers !== undefined) stores.set(buffers, this.buffers);
    return stores;
  }

  /** For those who write the stores themselves: what the model knew about its weights holds no longer. */
  replaced(): void {
    if (this.device !== 'reference' && this.model instanceof Model) this.model.weightsReplaced();
  }
}

/** Throws unless a model on the host has all weights of its network, in their shapes. */
function expectWeights({ definition, weights }: HostModel): void {
  expectStateDict(weights);
  for (const { name, shape } of describeModel(definition).layout.specs) {
    const found = weights.get(name)?.shape;
    const [wanted, got] = [`[${shape.join(', ')}]`, found === undefined ? 'nothing' : `[${found.join(', ')}]`];
    check(wanted === got, 'bad-shape', `${definition.name} needs the weight ${name} ${wanted}, got ${got}`, 'weights');
  }
}

/** A state dict in the flat layout of a model's stores. */
function flattened(
  definition: ModelDefinition,
  state: StateDict,
): { readonly parameters: Float64Array; readonly buffers: Float64Array } {
  const { layout } = describeModel(definition);
  const parameters = new Float64Array(layout.parameterElements);
  const buffers = new Float64Array(layout.bufferElements);
  for (const spec of layout.specs)
    (isBuffer(spec) ? buffers : parameters).set(state.get(spec.name)!.data, layout.offsets.get(spec.name)!);
  return { parameters, buffers };
}
