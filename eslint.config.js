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
    plugins: { house: { rules: { reasons } } },
    rules: {
      'max-depth': ['error', 4],
      'max-lines': ['error', 400],
      'max-lines-per-function': ['error', { max: 60, IIFEs: true }],
      'house/reasons': 'error',
    },
  },
  // Chai's assertions are expressions.
  { files: ['test/**/*.ts'], rules: { '@typescript-eslint/no-unused-expressions': 'off' } },
);
