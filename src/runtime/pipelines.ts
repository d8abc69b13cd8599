import { LinbpError } from '../errors.js';

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

/**
 * Shader modules, layouts and pipelines of one device, each made once per distinct content. A cold pipeline costs up
 * to a second on a software driver, so callers that ask for the same one while it compiles share the promise.
 */
export class PipelineCache {
  readonly #gpu: GPUDevice;
  readonly #modules = new Map<string, { id: number; module: Promise<GPUShaderModule> }>();
  readonly #pipelines = new Map<string, Promise<GPUComputePipeline>>();
  readonly #groupLayouts = new Map<string, GPUBindGroupLayout>();
  readonly #pipelineLayouts = new Map<string, GPUPipelineLayout>();
  readonly #ids = new WeakMap<object, number>();
  #nextId = 0;
  /** Pipelines compiled so far. */
  compiled = 0;

  constructor(gpu: GPUDevice) {
    this.#gpu = gpu;
  }

  bindGroupLayout(entries: readonly GPUBindGroupLayoutEntry[], label: string): GPUBindGroupLayout {
    const key = JSON.stringify(entries);
    let layout = this.#groupLayouts.get(key);
    if (!layout) {
      layout = this.#gpu.createBindGroupLayout({ entries: [...entries], label });
      this.#groupLayouts.set(key, layout);
    }
    return layout;
  }

  pipelineLayout(groups: readonly (GPUBindGroupLayout | null)[], label: string): GPUPipelineLayout {
    const key = groups.map((group) => (group === null ? '' : this.#id(group))).join(',');
    let layout = this.#pipelineLayouts.get(key);
    if (!layout) {
      layout = this.#gpu.createPipelineLayout({ bindGroupLayouts: [...groups], label });
      this.#pipelineLayouts.set(key, layout);
    }
    return layout;
  }

  pipeline(request: PipelineRequest): Promise<GPUComputePipeline> {
    const source = this.#module(request);
    const key = `${source.id}|${this.#id(request.layout)}|${request.entryPoint}|${JSON.stringify(Object.entries(request.constants ?? {}).sort())}`;
    let pipeline = this.#pipelines.get(key);
    if (!pipeline) {
      pipeline = this.#compile(request, source.module);
      this.#pipelines.set(key, pipeline);
      // A failed attempt is forgotten, so that a later one reports afresh.
      pipeline.catch(() => this.#pipelines.delete(key));
    }
    return pipeline;
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

  #module({ code, label = 'shader' }: PipelineRequest): { id: number; module: Promise<GPUShaderModule> } {
    let entry = this.#modules.get(code);
    if (!entry) {
      entry = { id: this.#nextId++, module: this.#createModule(code, label) };
      this.#modules.set(code, entry);
      entry.module.catch(() => this.#modules.delete(code));
    }
    return entry;
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

function formatMessage(label: string, lines: readonly string[], message: GPUCompilationMessage): string {
  const source = lines[message.lineNum - 1];
  const where = `${label}:${message.lineNum}:${message.linePos}: ${message.message}`;
  return source === undefined ? where : `${where}\n  ${message.lineNum} | ${source.trimEnd()}`;
}
