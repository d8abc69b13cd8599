import { expect } from 'chai';

const empty = new Set(['meta', 'img', 'br', 'hr', 'link', 'input']);

/** Every tag is closed in order, attributes are quoted, and nothing but entities stands for `&` and `<`. */
export function expectWellFormed(markup: string): void {
  const open: string[] = [];
  const text = markup.replace(/<!DOCTYPE[^>]*>/, '').replace(/<style>[\s\S]*?<\/style>/g, '');
  const rest = text.replace(
    /<(\/?)([a-zA-Z][\w-]*)((?:\s+[\w:-]+="[^"<]*")*)\s*(\/?)>/g,
    (_tag, closing: string, name: string, _attributes, single: string) => {
      if (closing === '/') expect(open.pop(), `end of ${name}`).to.equal(name);
      else if (single !== '/' && !empty.has(name)) open.push(name);
      return '';
    },
  );
  expect(open).to.deep.equal([]);
  expect(/[<>]|&(?!(?:amp|lt|gt|quot|#\d+);)/.exec(rest)?.[0]).to.equal(undefined);
}

/** No script, and no address that a browser would fetch. */
export function expectSelfContained(html: string): void {
  expect(html).to.not.match(/<script|<link|<iframe|@import|url\((?!#|data:)/i);
  for (const [, address] of html.matchAll(/\b(?:src|href)="([^"]*)"/g)) expect(address).to.match(/^(#|data:)/);
}

/**
 * No number is missing in the text. Embedded pictures are left out: their base64 holds any three letters now and then.
 */
export function expectNumbers(markup: string): void {
  expect(markup.replace(/base64,[A-Za-z0-9+/=]+/g, '')).to.not.match(/NaN|undefined|Infinity/);
}
