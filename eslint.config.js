import { relative } from 'node:path';
import tseslint from 'typescript-eslint';

/** What is switched off in a file or line has its reason beside it: `eslint-disable-next-line RULE -- reason`. */
const reasons = {
  create: (context) => ({
    Program() {
      for (const comment of context.sourceCode.getAllComments())
        if (/^\s*eslint-disable/.test(comment.value) && !/ -- \S+ \S+/.test(comment.value))
          context.report({ loc: comment.loc, message: 'say why behind " -- "' });
    },
  }),
};

/** Files of src that may call the synchronous functions of node:fs, and why; all others wait without blocking. */
const synchronous = {
  'src/io/atExit.ts': 'removes what is half done when the process ends, where nothing can be waited for',
  'src/kernels/software/processor.ts': "reads the package's own measured constants of a processor, once",
  'src/report/page.ts': "reads the page's script, a file of the package",
  'src/runtime/processor.ts': 'reads /proc/cpuinfo, which is no file on a disk',
  'src/runtime/quiet.ts': 'turns descriptor 2 around while a driver is loaded: no line of others may come in between',
  'src/version.ts': "reads the package's own package.json when it is loaded",
  'src/wgsl/link.ts': "reads the package's own shaders, each once",
};

const fileModule = /^(node:)?fs$/;

/** No function that users reach blocks the event loop on files; see {@link synchronous}. */
const asyncFiles = {
  create(context) {
    const file = relative(import.meta.dirname, context.filename).replaceAll('\\', '/');
    const allowed = Object.hasOwn(synchronous, file);
    let found = false;
    const blocks = (node) => {
      found = true;
      if (!allowed)
        context.report({ node, message: 'use node:fs/promises, or say in eslint.config.js why this file may block' });
    };
    return {
      ImportDeclaration({ source, specifiers }) {
        if (!fileModule.test(source.value)) return;
        for (const each of specifiers)
          if (each.type !== 'ImportSpecifier' || /Sync$/.test(each.imported.name)) blocks(each);
      },
      ImportExpression: (node) => fileModule.test(node.source.value) && blocks(node),
      "CallExpression[callee.name='require']": (node) => fileModule.test(node.arguments[0]?.value) && blocks(node),
      'Program:exit'(node) {
        if (allowed && !found)
          context.report({ node, message: 'nothing here blocks; strike it from the list in eslint.config.js' });
        for (const comment of context.sourceCode.getAllComments())
          if (/eslint-disable.*async-files/.test(comment.value))
            context.report({ loc: comment.loc, message: 'name the file, and why, in eslint.config.js' });
      },
    };
  },
};

export default tseslint.config(
  {
    ignores: [
      'archive/**',
      'dist/**',
      'dist-*/**',
      '**/node_modules/**',
      'docs/api/**',
      'linbp-report*/**',
      'linbp-out/**',
    ],
  },
  ...tseslint.configs.recommended,
  {
    files: ['**/*.ts'],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/await-thenable': 'error',
      '@typescript-eslint/only-throw-error': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/consistent-type-imports': ['error', { disallowTypeAnnotations: false }],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      eqeqeq: 'error',
    },
  },
  {
    files: ['{src,test,scripts,benchmarks,examples}/**/*.{ts,mjs,js,cjs}'],
    ignores: ['test/fixtures/**'],
    rules: { 'max-len': ['error', { code: 120, ignoreUrls: true }] },
  },
  {
    files: ['src/**/*.ts'],
    plugins: { house: { rules: { reasons, 'async-files': asyncFiles } } },
    rules: {
      'max-depth': ['error', 4],
      'max-lines': ['error', 400],
      'max-lines-per-function': ['error', { max: 60, IIFEs: true }],
      'house/reasons': 'error',
      'house/async-files': 'error',
    },
  },
  // Tests are left out: a `describe` is a function, too.
  {
    files: ['{scripts,benchmarks,bin,examples}/**/*.{ts,mjs,js,cjs}'],
    rules: { 'max-depth': ['error', 4], 'max-lines-per-function': ['error', { max: 60, IIFEs: true }] },
  },
  // Chai's assertions are expressions.
  { files: ['test/**/*.ts'], rules: { '@typescript-eslint/no-unused-expressions': 'off' } },
);
