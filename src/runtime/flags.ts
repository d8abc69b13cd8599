/** The flag values of the WebGPU specification; Node has no `GPUBufferUsage` and friends on its global object. */
export const BufferUsage = {
  MAP_READ: 0x0001,
  MAP_WRITE: 0x0002,
  COPY_SRC: 0x0004,
  COPY_DST: 0x0008,
  INDEX: 0x0010,
  VERTEX: 0x0020,
  UNIFORM: 0x0040,
  STORAGE: 0x0080,
  INDIRECT: 0x0100,
  QUERY_RESOLVE: 0x0200,
} as const;

/** Shader stages for bind group layouts. */
export const ShaderStage = { COMPUTE: 0x4 } as const;

/** Map modes of `GPUBuffer.mapAsync`. */
export const MapMode = { READ: 0x1, WRITE: 0x2 } as const;
