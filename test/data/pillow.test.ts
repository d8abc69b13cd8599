import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { decodeImage } from '../../src/data/images.js';

interface Fixture {
  readonly images: Readonly<Record<string, { readonly file: string; readonly rgb: string }>>;
}

const { images } = JSON.parse(readFileSync('test/fixtures/pillow.json', 'utf8')) as Fixture;

describe('images have the bytes that Pillow gives', () => {
  for (const [name, { file, rgb }] of Object.entries(images)) {
    it(name, async () => {
      const { data, height, width } = await decodeImage({ bytes: Buffer.from(file, 'base64'), source: name });
      expect([width, height]).to.deep.equal([9, 7]);
      // Pillow has the colors of a pixel side by side, linbp has planes.
      const pixels = Buffer.from(rgb, 'base64');
      const planes = Array.from({ length: 3 * 63 }, (_, i) => pixels[3 * (i % 63) + Math.floor(i / 63)]!);
      expect([...data]).to.deep.equal(planes);
    });
  }
});
