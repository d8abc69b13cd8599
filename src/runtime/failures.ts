import { LinbpError } from '../errors.js';

/**
 * Errors of the GPU that belong to one object: a buffer, a program, the device. WebGPU reports an error some time after
 * the command that caused it, when something else may be waiting; so each object keeps its own, and throws it from its
 * own next call.
 */
export class Failures {
  #first: LinbpError | undefined;

  /** Keeps an error unless one is kept already: later ones are mostly consequences of the first. */
  add(error: LinbpError): void {
    this.#first ??= error;
  }

  /** The kept error. */
  get error(): LinbpError | undefined {
    return this.#first;
  }

  /** Throws the kept error, once. */
  check(): void {
    const error = this.#first;
    this.#first = undefined;
    if (error !== undefined) throw error;
  }
}

/** The typed form of an error that the GPU reported. */
export function gpuError(error: GPUError): LinbpError {
  return new LinbpError('gpu-error', `The GPU reported an error: ${error.message.trim()}`, { cause: error });
}

/**
 * Runs commands and keeps the errors that they cause for their owner, so that nobody else's call throws them. The
 * commands are synchronous: scopes are a stack of the device, and what others do meanwhile would fall into them.
 */
export function scoped<T>(gpu: GPUDevice, owner: Failures, commands: () => T): T {
  gpu.pushErrorScope('out-of-memory');
  gpu.pushErrorScope('validation');
  try {
    return commands();
  } finally {
    for (let scope = 0; scope < 2; scope++) {
      gpu.popErrorScope().then(
        (error) => {
          if (error !== null) owner.add(gpuError(error));
        },
        // A lost device says so itself.
        () => undefined,
      );
    }
  }
}

/**
 * A promise that is stored to be awaited later. Until then its rejection is not an unhandled one, which would end the
 * process although the caller catches the error where it is awaited.
 */
export function stored<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}
