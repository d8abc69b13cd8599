import { createHash } from 'node:crypto';
import { LinbpError } from '../errors.js';
import { Failures, scoped, stored } from './failures.js';
import { RecentCache } from './recent.js';

/** What decides a compute pipeline. */
export interface PipelineRequest {
  /** WGSL source. */
  readonly code: string;
  readonly layout: GPUPipelineLayout;
  /** Name of the `@compute` function. */
  readonly entryPoint: string;
  /** Values of `override` declarations. */
  readonly constants?: Readonly<Record<string, number>>;
  /** Name shown in errors and traces; not part of the key. */
  readonly label?: string;
}

/** Pipelines and modules that are kept although no program uses them: those of a large network twice over. */
const KEPT_PIPELINES = 256;
const KEPT_MODULES = 32;

/**
 * Shader modules, layouts and pipelines of one device, each made once per distinct content. A cold pipeline costs up
 * to a second on a software driver, so callers that ask for the same one while it compiles share the promise. What
 * programs use is always found; of the rest the most recently used ones are kept.
 */
export class PipelineCache {
  readonly #gpu: GPUDevice;
  readonly #modules: Shared<GPUShaderModule>;
  readonly #pipelines: Shared<GPUComputePipeline>;
  readonly #groupLayouts = new Map<string, GPUBindGroupLayout>();
  readonly #pipelineLayouts = new Map<string, GPUPipelineLayout>();
  readonly #ids = new WeakMap<object, number>();
  #nextId = 0;
  /** Pipelines compiled so far. */
  compiled = 0;

  constructor(gpu: GPUDevice, kept = KEPT_PIPELINES) {
    this.#gpu = gpu;
    this.#pipelines = new Shared(kept);
    this.#modules = new Shared(KEPT_MODULES);
  }

  /** Pipelines that the cache itself keeps alive. */
  get kept(): number {
    return this.#pipelines.kept;
  }

  bindGroupLayout(entries: readonly GPUBindGroupLayoutEntry[], label: string): GPUBindGroupLayout {
    const key = JSON.stringify(entries);
    let layout = this.#groupLayouts.get(key);
    if (!layout) {
      // What is wrong with a layout is said by the pipeline that is made with it.
      const make = (): GPUBindGroupLayout => this.#gpu.createBindGroupLayout({ entries: [...entries], label });
      this.#groupLayouts.set(key, (layout = scoped(this.#gpu, new Failures(), make)));
    }
    return layout;
  }

  pipelineLayout(groups: readonly (GPUBindGroupLayout | null)[], label: string): GPUPipelineLayout {
    const key = groups.map((group) => (group === null ? '' : this.#id(group))).join(',');
    let layout = this.#pipelineLayouts.get(key);
    if (!layout) {
      const make = (): GPUPipelineLayout => this.#gpu.createPipelineLayout({ bindGroupLayouts: [...groups], label });
      this.#pipelineLayouts.set(key, (layout = scoped(this.#gpu, new Failures(), make)));
    }
    return layout;
  }

  pipeline(request: PipelineRequest): Promise<GPUComputePipeline> {
    const source = createHash('sha1').update(request.code).digest('base64');
    const constants = JSON.stringify(Object.entries(request.constants ?? {}).sort());
    const key = `${source}|${this.#id(request.layout)}|${request.entryPoint}|${constants}`;
    return this.#pipelines.get(key, () => this.#compile(request, this.#module(source, request)));
  }

  clear(): void {
    this.#modules.clear();
    this.#pipelines.clear();
    this.#groupLayouts.clear();
    this.#pipelineLayouts.clear();
  }

  async #compile(request: PipelineRequest, source: Promise<GPUShaderModule>): Promise<GPUComputePipeline> {
    const module = await source;
    const { layout, entryPoint, constants, label = entryPoint } = request;
    try {
      const compute: GPUProgrammableStage = {
        module,
        entryPoint,
        ...(constants ? { constants: { ...constants } } : {}),
      };
      const pipeline = await this.#gpu.createComputePipelineAsync({ layout, compute, label });
      this.compiled++;
      return pipeline;
    } catch (cause) {
      const text = cause instanceof Error ? cause.message : String(cause);
      throw new LinbpError('gpu-error', `Pipeline "${label}" was refused: ${text.trim()}`, { field: label, cause });
    }
  }

  #module(source: string, { code, label = 'shader' }: PipelineRequest): Promise<GPUShaderModule> {
    return this.#modules.get(source, () => this.#createModule(code, label));
  }

  async #createModule(code: string, label: string): Promise<GPUShaderModule> {
    // The scope keeps the error of a bad shader from the device's store of uncaptured errors; it is reported here,
    // with its line.
    this.#gpu.pushErrorScope('validation');
    const module = this.#gpu.createShaderModule({ code, label });
    const failure = await this.#gpu.popErrorScope();
    if (!failure) return module;
    const { messages } = await module.getCompilationInfo();
    const lines = code.split('\n');
    const errors = messages
      .filter((message) => message.type === 'error')
      .map((message) => formatMessage(label, lines, message));
    throw new LinbpError(
      'gpu-error',
      errors.length > 0 ? errors.join('\n') : `Shader "${label}" was refused: ${failure.message}`,
      { field: label },
    );
  }

  #id(object: object): number {
    let id = this.#ids.get(object);
    if (id === undefined) {
      id = this.#nextId++;
      this.#ids.set(object, id);
    }
    return id;
  }
}

/** Objects that take a while to make, made once each. A failed attempt is forgotten, so a later one reports afresh. */
class Shared<V extends object> {
  readonly #made: RecentCache<V>;
  readonly #making = new Map<string, Promise<V>>();

  constructor(limit: number) {
    this.#made = new RecentCache(limit);
  }

  get kept(): number {
    return this.#made.kept;
  }

  get(key: string, make: () => Promise<V>): Promise<V> {
    const present = this.#made.get(key);
    if (present !== undefined) return Promise.resolve(present);
    let promise = this.#making.get(key);
    if (promise === undefined) {
      promise = stored(
        make().then((value) => {
          if (this.#making.delete(key)) this.#made.set(key, value);
          return value;
        }),
      );
      this.#making.set(key, promise);
      promise.catch(() => this.#making.delete(key));
    }
    return promise;
  }

  clear(): void {
    this.#making.clear();
    this.#made.clear();
  }
}

function formatMessage(label: string, lines: readonly string[], message: GPUCompilationMessage): string {
  const source = lines[message.lineNum - 1];
  const where = `${label}:${message.lineNum}:${message.linePos}: ${message.message}`;
  return source === undefined ? where : `${where}\n  ${message.lineNum} | ${source.trimEnd()}`;
}
