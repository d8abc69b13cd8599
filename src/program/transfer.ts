import type { Device } from '../runtime/device.js';
import type { Location } from './types.js';

/** A tensor's place with the bytes from the beginning of one of its images to that of the next. */
export interface ImageLocation extends Location {
  readonly images: number;
  readonly pitch: number;
}

/** Writes the elements of a tensor whose images may lie apart. */
export function writeImages(
  device: Device,
  place: ImageLocation,
  data: Float32Array | Uint32Array | Int32Array | Uint16Array,
): void {
  const { buffer, offset, bytes, images, pitch } = place;
  if (bytes <= 4 * Math.ceil(data.byteLength / 4)) {
    device.write(buffer, offset, data);
    return;
  }
  const length = data.length / images;
  for (let image = 0; image < images; image++)
    device.write(buffer, offset + image * pitch, data.subarray(image * length, (image + 1) * length));
}

/** Reads the `wanted` bytes of a tensor whose images may lie apart. */
export async function readImages(device: Device, place: ImageLocation, wanted: number): Promise<ArrayBuffer> {
  const { buffer, offset, bytes, images, pitch } = place;
  const span = await device.read(buffer, offset, bytes);
  if (bytes === wanted) return span;
  const length = wanted / images;
  const joined = new Uint8Array(wanted);
  for (let image = 0; image < images; image++) joined.set(new Uint8Array(span, image * pitch, length), image * length);
  return joined.buffer;
}
