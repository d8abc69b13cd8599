import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { build } from 'esbuild';
import type { BuildFailure } from 'esbuild';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const entries = ['root', 'graph', 'profile', 'tune', 'theory'];

describe('bundlers', () => {
  it('are refused when they build, with what to do instead, in every format', async () => {
    for (const format of ['cjs', 'esm'] as const) {
      const failure = await build({
        stdin: { contents: entries.map((name) => `import './dist/src/public/${name}.js';`).join(''), resolveDir: root },
        ...{ bundle: true, platform: 'node', format, write: false, logLevel: 'silent' },
      }).then(
        () => undefined,
        (error: unknown) => error as BuildFailure,
      );
      expect(failure?.errors.map(({ text }) => text)).to.deep.equal([
        'Could not resolve "linbp cannot be bundled - mark it as external"',
      ]);
    }
  });

  it('leave linbp alone as docs/using.md says', async () => {
    const { outputFiles } = await build({
      stdin: { contents: "import { Device } from 'linbp'; Device.open();", resolveDir: root },
      ...{ bundle: true, platform: 'node', packages: 'external', write: false },
    });
    expect(outputFiles[0]!.text).to.contain('require("linbp")');
  });
});
