import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../cli/support.js';

/** The items of a page's lists, each as one line; those of lists inside lists stand on their own. */
export const listItems = (page: string): string[] =>
  readFileSync(join(root, page), 'utf8')
    .split(/\n(?=\s*(?:[-*] |\d+\. )|\n)/)
    .map((item) => item.replace(/\s+/g, ' ').trim())
    .flatMap((item) => (/^[-*] /.test(item) ? [item.slice(2)] : []));
