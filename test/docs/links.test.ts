import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  readonly files: readonly string[];
  readonly homepage: string;
  readonly keywords: readonly string[];
};

/** Whether the tarball holds a path: the entries of `files` are paths, folders, or patterns within one folder. */
function isPacked(path: string): boolean {
  return (
    path === 'package.json' ||
    manifest.files.some((entry) => {
      const pattern = entry.replace(/\./g, '\\.').replace(/\*/g, '[^/]*');
      return new RegExp(`^${pattern}(/|$)`).test(path);
    })
  );
}

/** Pages of the tarball outside the build. */
function packedPages(): string[] {
  const top = manifest.files.map((entry) => entry.split('/')[0]!).filter((entry) => entry !== 'dist');
  const within = (path: string): string[] =>
    statSync(join(root, path)).isDirectory()
      ? readdirSync(join(root, path)).flatMap((name) => within(posix.join(path, name)))
      : [path];
  return [...new Set(top)].flatMap(within).filter((path) => path.endsWith('.md') && isPacked(path));
}

const read = (path: string): string => readFileSync(join(root, path), 'utf8');
/** What a page says outside its code. */
const prose = (text: string): string =>
  text.replace(/```[\s\S]*?```/g, '').replace(/`[^`\n]*`/g, (code) => code.replace(/[[\]()<>]/g, ' '));

/** Where links and images of a page lead, in Markdown and in HTML. */
function targets(page: string): string[] {
  const text = prose(read(page));
  return [/\]\(\s*<?([^)\s>]+)/g, /^\[[^\]]+\]:\s*(\S+)/gm, /<(?:a|img)\b[^>]*?\b(?:href|src)="([^"]*)"/g].flatMap(
    (pattern) => [...text.matchAll(pattern)].map(([, target]) => target!),
  );
}

/** Anchors of headings, as GitHub and npm name them. */
function anchors(page: string): Set<string> {
  const seen = new Map<string, number>();
  const names = prose(read(page).replace(/```[\s\S]*?```/g, ''))
    .split('\n')
    .flatMap((line) => /^#{1,6}\s+(.*?)\s*#*$/.exec(line)?.[1] ?? [])
    .map((heading) => {
      const words = heading.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').toLowerCase();
      const name = words.replace(/[^\p{L}\p{N}\s_-]/gu, '').replace(/\s/g, '-');
      const count = seen.get(name) ?? 0;
      seen.set(name, count + 1);
      return count === 0 ? name : `${name}-${count}`;
    });
  return new Set(names);
}

/** What is wrong with a link of a page, if anything. */
function fault(page: string, target: string): string | undefined {
  if (/^[a-z][a-z\d+.-]*:/i.test(target))
    return /^(https:\/\/[^/]+\.|mailto:)/.test(target) ? undefined : 'is no web address';
  if (target.startsWith('/')) return 'leads out of the package';
  const [path = '', anchor] = decodeURIComponent(target).split('#');
  const file = path === '' ? page : posix.normalize(posix.join(dirname(page), path));
  if (!existsSync(join(root, file))) return 'does not exist';
  if (!isPacked(file.replace(/\/$/, ''))) return 'is not in the package';
  if (anchor !== undefined && !anchors(file).has(anchor)) return `has no heading #${anchor}`;
  if (/\.(png|svg)$/.test(file)) {
    const start = readFileSync(join(root, file)).subarray(0, 200).toString('latin1');
    if (!(file.endsWith('.png') ? /^\x89PNG/ : /<svg/).test(start)) return 'is no picture';
  }
  return undefined;
}

describe('pages of the package', () => {
  const pages = packedPages();

  it('lead nowhere outside the package, and to no heading that is not there', () => {
    expect(pages).to.include.members(['README.md', 'CHANGELOG.md', 'docs/using.md', 'shaders/README.md']);
    const links = pages.flatMap((page) => targets(page).map((target) => ({ page, target })));
    expect(links.length).to.be.above(50);
    const dead = links.flatMap(({ page, target }) => {
      const found = fault(page, target);
      return found === undefined ? [] : [`${page}: ${target} ${found}`];
    });
    expect(dead).to.deep.equal([]);
  });

  it('name only pages of the docs that exist', () => {
    const missing = pages.flatMap((page) =>
      [...read(page).matchAll(/\bdocs\/[\w/-]+\.(?:md|svg|png)\b/g)]
        .filter(([path]) => !existsSync(join(root, path)))
        .map(([path]) => `${page}: ${path}`),
    );
    expect(missing).to.deep.equal([]);
  });

  it('the test sees links that are dead', () => {
    const found = ['docs/no.md', 'scripts/setup.mjs', '#no-heading', 'docs/setup.md#no', '/docs/setup.md', 'http:x'];
    for (const target of found) expect(fault('README.md', target), target).to.be.a('string');
    expect(fault('docs/setup.md', '../README.md#1-train')).to.equal(undefined);
  });

  it('npm finds a homepage and keywords', () => {
    expect(manifest.homepage).to.match(/^https:/);
    expect(manifest.keywords.length).to.be.above(4);
  });
});
