/**
 * Images of AutoAttack settings whose outcome rounding decides, judged by how far rounding moves their distances in the
 * reference code (`test/fixtures/attacks/fab-spread.json`).
 */
import { readFile } from 'node:fs/promises';

/** Images of a setting for which rounding decides in the reference whether FAB-T breaks them. */
export async function undecidedImages(setting) {
  const path = new URL('../test/fixtures/attacks/fab-spread.json', import.meta.url);
  const { settings } = JSON.parse(await readFile(path, 'utf8'));
  return settings[setting]?.images ?? [];
}

const bits = new DataView(new ArrayBuffer(4));

/** Copies of an image: itself, then with each pixel above 0 moved to a neighboring float32, up or down at random. */
export function roundedCopies(image, copies) {
  const all = new Float32Array(copies * image.length);
  let state = 1;
  for (let i = 0; i < all.length; i++) {
    const pixel = image[i % image.length];
    all[i] = pixel;
    if (i < image.length || pixel === 0) continue;
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bits.setFloat32(0, pixel);
    // neighbors of positive floats are neighbors as integers
    bits.setInt32(0, bits.getInt32(0) + (state < 2 ** 31 ? -1 : 1));
    all[i] = Math.min(1, bits.getFloat32(0));
  }
  return all;
}

const median = (sorted) => (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
const ascending = (values) => [...values].sort((a, b) => a - b);

/**
 * Compares FAB-T's L2 distances of an undecided image under roundings with those of the reference: the medians may
 * differ by as much as two runs of the reference do.
 *
 * @param attack linbp's function of that name
 * @param given what {@link undecidedImages} says of the image
 */
export async function judgeSpread(attack, { model, image, label, given, copies = 8 }) {
  const images = roundedCopies(image, copies);
  const labels = new Int32Array(copies).fill(label);
  // The radius decides only which images come back.
  const found = await attack({ model, images, labels, attack: 'fab-t', norm: 'l2', eps: 100, batch: copies });
  const lengths = Array.from({ length: copies }, (_, n) => {
    const [from, to] = [n * image.length, (n + 1) * image.length];
    return Math.hypot(...found.images.subarray(from, to).map((pixel, i) => pixel - images[from + i]));
  });
  const [mine, theirs] = [lengths, Object.values(given.distances).flat()].map(ascending);
  const [apart, width] = [Math.abs(median(mine) - median(theirs)), theirs.at(-1) - theirs[0]];
  const range = (values) => `${values[0].toFixed(3)} to ${values.at(-1).toFixed(3)}`;
  const text =
    `image ${given.index} under ${copies} roundings: FAB-T ${range(mine)}, median ${median(mine).toFixed(3)}; ` +
    `reference ${range(theirs)}, median ${median(theirs).toFixed(3)}`;
  return { apart, width, met: apart <= width, text };
}
