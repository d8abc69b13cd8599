import { expect } from 'chai';

/** A page without its own scripts, which a browser test tries; those of other places stay. */
const withoutScripts = (html: string): string =>
  html.replace(/<script(?: type="application\/json" class="live")?>[\s\S]*?<\/script>/g, '');

const empty = new Set(['meta', 'img', 'br', 'hr', 'link', 'input']);

/** Every tag is closed in order, attributes are quoted, and nothing but entities stands for `&` and `<`. */
export function expectWellFormed(markup: string): void {
  const open: string[] = [];
  const text = withoutScripts(markup)
    .replace(/<!DOCTYPE[^>]*>/, '')
    .replace(/<style>[\s\S]*?<\/style>/g, '');
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

/** No script but the page's own, and no address that a browser would fetch. */
export function expectSelfContained(page: string): void {
  const html = withoutScripts(page);
  expect(html).to.not.match(/<script|<link|<iframe|@import|url\((?!#|data:)/i);
  for (const [, address] of html.matchAll(/\b(?:src|href)="([^"]*)"/g)) expect(address).to.match(/^(#|data:)/);
}

/**
 * No number is missing in the text. Embedded pictures are left out: their base64 holds any three letters now and then.
 */
export function expectNumbers(page: string): void {
  const markup = withoutScripts(page);
  expect(markup.replace(/base64,[A-Za-z0-9+/=]+/g, '')).to.not.match(/NaN|undefined|Infinity/);
}
