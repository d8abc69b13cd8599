/**
 * The layers of src/ in order: a file imports its own line and the lines before it, never a later one. So passes and
 * rules know nothing of kernels, and programs nothing of profiles and the tuner. Each line is a name, then the folders
 * (or files) of the layer.
 */
export const layers = [
  ['foundation', 'errors', 'quote', 'finite', 'names', 'arguments', 'version', 'random', 'wgsl'],
  ['files', 'io'],
  ['device', 'runtime'],
  ['graph', 'graph', 'ops'],
  ['reference', 'reference'],
  ['rules', 'rules'],
  ['autodiff', 'autodiff'],
  ['passes', 'passes'],
  ['kernels', 'kernels'],
  ['choices', 'choices'],
  ['plan', 'plan'],
  ['program', 'program'],
  ['data', 'data'],
  ['networks', 'nn', 'onnx'],
  ['training and attacks', 'train', 'attacks', 'theory'],
  ['profile', 'profile'],
  ['tune', 'tune'],
  ['reports', 'report', 'experiments', 'bench'],
  ['jobs', 'jobs'],
  ['command line', 'cli'],
  ['public interface', 'index', 'public'],
];

const pathOf = (names) => `^src/(${names.join('|')})(/|\\.ts$)`;

/** @type {import('dependency-cruiser').IConfiguration} */
export default {
  forbidden: [
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
    ...layers.map(([layer, ...names], index) => ({
      name: `${layer.replaceAll(' ', '-')}-imports-earlier-layers-only`,
      severity: 'error',
      from: { path: pathOf(names) },
      to: { path: '^src/', pathNot: pathOf(layers.slice(0, index + 1).flatMap(([, ...earlier]) => earlier)) },
    })),
    {
      name: 'every-file-has-a-layer',
      severity: 'error',
      from: { path: '^src/', pathNot: pathOf(layers.flatMap(([, ...names]) => names)) },
      to: {},
    },
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    doNotFollow: { path: 'node_modules' },
    includeOnly: '^src/',
  },
};
