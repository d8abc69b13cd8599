/** Deliberate faults in the attacks, as in ../mutants.mjs, which joins them. */

const fault = (name, file, find, put, test, more = {}) => ({
  ...{ name: `attacks: ${name}`, file: `dist/src/${file}.js`, find, put, tests: [test] },
  ...more,
});
const device = 'attacks/transferGradients';
const transforms = 'attacks/imageTransforms';
const linear = 'attacks/linearDistance';
const laws = 'attacks/searchLaws';

export const attackMutants = [
  // samples within a step
  fault(
    'C1: copies of one step draw alike',
    'attacks/schedule',
    'const query = base + copy;',
    'const query = base;',
    'attacks/eot',
  ),
  fault('C1: an expectation of one draw', 'attacks/schedule', '?? 1),\n    eot,', '?? 1),\n    1,', 'attacks/eot'),
  fault('C1: the mean over samples is their sum', 'attacks/steps', '1 / sampling.count(parameters)', '1', device),
  fault(
    'C1: gradients through transforms are not averaged',
    'attacks/steps',
    'accumulate(mean, found.gradient, 1 / copies);',
    'accumulate(mean, found.gradient, 1);',
    'attacks/eot',
  ),
  // linear image maps
  fault(
    'C2: places are not transposed',
    'ops/imageMaps',
    "graph.one('gridSample', [gradient, node.inputs[1]], { ...node.attrs, transposed: !node.attrs.transposed })",
    "graph.one('gridSample', [gradient, node.inputs[1]], { ...node.attrs })",
    'attacks/linearMaps',
  ),
  // per image
  fault('C6: fooled images go on', 'attacks/attackGraph', 'settings.stopAtSuccess ? 1 : 0', '0', 'attacks/compaction'),
  fault(
    'C6: a larger batch for what is left',
    'attacks/compaction',
    'now = await smaller(next);',
    'now = full;',
    'attacks/compaction',
  ),
  fault('C6: every rank aims at the second class', 'attacks/steps', "rank: { step: 'rank' }", 'rank: 1', laws, {
    grep: 'apgd-t',
  }),
  // search
  fault(
    'C7: proposals that raise the lead are kept',
    'attacks/squareWindow',
    'live && (start > 0.5 || own < lead || own <= 0)',
    'live',
    laws,
    { grep: 'square' },
  ),
  fault(
    'C7: queries are counted after success',
    'attacks/estimates',
    '(fooled < 0.5 && idle < 0.5 ? count : 0)',
    'count',
    'attacks/blackBox',
  ),
  // white box
  fault(
    'apgd: step sizes stay',
    'attacks/adaptive',
    'select(select(share, 0.5 * share, halve), 1.0, begins)',
    'select(share, 1.0, begins)',
    'attacks/apgd',
  ),
  fault(
    'apgd: whole steps where dlr has its label third',
    'attacks/adaptive',
    "stage.loss === 'dlr' ? addedLength : 0",
    '0',
    'attacks/apgd',
    { grep: 'short steps' },
  ),
  fault('apgd: no momentum', 'attacks/adaptive', 'const freshShare = 0.75;', 'const freshShare = 1;', 'attacks/apgd'),
  fault(
    'apgd-t: one target too few',
    'attacks/schedule',
    'restart < ranks * restarts; restart++',
    'restart < Math.max(1, ranks - 1) * restarts; restart++',
    laws,
    { grep: 'apgd-t' },
  ),
  fault('fab: pixels leave the box', 'attacks/hyperplane', "['s * min(room, far)']", "['s * far']", 'attacks/fab', {
    grep: 'hyperplane',
  }),
  fault(
    'fab: pixels without influence move',
    'attacks/hyperplane',
    'const leastInfluence = 1e-8;',
    'const leastInfluence = 0;',
    'attacks/fab',
    { grep: 'out of reach' },
  ),
  fault(
    'fab: iterates stop before the boundary',
    'attacks/fab',
    'const overshoot = 1.05;',
    'const overshoot = 0.9;',
    linear,
  ),
  fault('square: windows of one size', 'attacks/square', 'return first / 2 ** halvings;', 'return first;', laws, {
    grep: 'square',
  }),
  fault('cw: constants fall where nothing fools', 'attacks/constants', 'min(10.0 * c,', 'min(0.5 * c,', linear),
  fault(
    'cw: success is not noted',
    'attacks/constants',
    'select(succeeded, 1.0, lead < most)',
    'select(succeeded, 1.0, lead > most)',
    linear,
  ),
  fault(
    'deepfool: steps of twice the way',
    'attacks/deepfool',
    'total + (distance + 1e-4) * select(',
    'total + (2.0 * distance + 1e-4) * select(',
    linear,
  ),
  fault(
    'ddn: the sphere has no radius of its own',
    'attacks/shrinkingBall',
    'select(0.0, eps / length, length > 0.0), 0.0, 1.0)',
    '1.0, 0.0, 1.0)',
    linear,
  ),
  fault(
    'fmn: the ball grows where an image fools',
    'attacks/shrinkingBall',
    'Math.min(eps * (1 - gamma), nearest)',
    'Math.min(eps * (1 + gamma), nearest)',
    laws,
    { grep: 'fmn' },
  ),
  fault(
    'fmn: no projection in L1',
    'attacks/shrinkingBall',
    'return projectOnL1Ball(stage, d, eps);',
    'return d;',
    laws,
    { grep: 'fmn' },
  ),
  fault('ead: shrinkage the wrong way', 'attacks/elasticNet', 'd > threshold)', 'd < threshold)', linear),
  // AutoAttack
  fault('autoattack: Square raises no alarm', 'attacks/autoattackFlags', 'broke <= most', 'broke <= 1', laws, {
    grep: 'flags',
  }),
  fault(
    'autoattack: few classes go unnoticed',
    'attacks/autoattackFlags',
    'if (classes < 4)\n        flags.push',
    'if (classes < 3)\n        flags.push',
    laws,
    { grep: 'flags' },
  ),
  fault(
    'autoattack: rand says nothing of networks that draw nothing',
    'attacks/autoattack',
    "options.version === 'rand' ? [notRandom] : []",
    '[]',
    'attacks/eot',
    { grep: 'same bits' },
  ),
  fault(
    'autoattack: a resumed journal knows its last batch only',
    'cli/attack/state',
    'for (const step of steps)',
    'for (const step of steps.slice(-1))',
    'cli/resume',
    { grep: 'AutoAttack' },
  ),
  fault(
    'transfer: one piece stands for all',
    'cli/attack/state',
    '`${stateFolder}/piece-${digest(name)}.json`',
    '`${stateFolder}/piece-${digest()}.json`',
    'cli/resume',
    { grep: 'transfer' },
  ),
  // gradients that transfer
  fault(
    'vmi: without the own gradient',
    'attacks/transfer',
    "results: ['select(a - b, kept, false)'],\n    reference: (_kept, a, b) => [a - b],",
    "results: ['select(a + 0.0 * b, kept, false)'],\n    reference: (_kept, a) => [a],",
    device,
  ),
  fault(
    'vni: at the iterate',
    'attacks/transfer',
    'const vni = { ...vmi, look: lookAhead };',
    'const vni = { ...vmi };',
    laws,
    { grep: 'look ahead' },
  ),
  fault(
    'emi: all points on one side',
    'attacks/transfer',
    'select(0.0, 2.0 * sample / max(count - 1.0, 1.0) - 1.0, count > 1.5)',
    'select(0.0, 2.0 * sample / max(count - 1.0, 1.0), count > 1.5)',
    device,
  ),
  fault(
    'gra: the other way round',
    'attacks/transfer',
    "['s * g + (1.0 - s) * mean']",
    "['s * mean + (1.0 - s) * g']",
    device,
  ),
  fault('gra: steps do not shrink', 'attacks/transfer', 'select(factor, 1.0, sign(m) == sign(last))', '1.0', device),
  fault(
    'pgn: shares change places',
    'attacks/transfer',
    '[(1 - share) * a + share * b]',
    '[share * a + (1 - share) * b]',
    'attacks/eot',
    { grep: 'PGN' },
  ),
  fault(
    'mef: neighbors go down',
    'attacks/mef',
    "'x + ((2.0 * u - 1.0) * reach + direction * inner * last) * radius'",
    "'x + ((2.0 * u - 1.0) * reach - direction * inner * last) * radius'",
    device,
  ),
  fault(
    'mig: from the image instead of black',
    'attacks/transfer',
    'reference: (x, sample, count) => [x * ((sample + 1) / count)]',
    'reference: (x) => [x]',
    transforms,
    { grep: 'MIG' },
  ),
  // transforms
  fault(
    'di: scaled where it should not be',
    'attacks/imageTransforms',
    "['select(x, y, u < probability)']",
    "['select(y, x, u < probability)']",
    transforms,
  ),
  fault(
    'ti: a kernel that is too wide',
    'attacks/transforms',
    '(6 * i) / (size - 1) - 3',
    '(3 * i) / (size - 1) - 1.5',
    'attacks/transforms',
  ),
  fault(
    'si: images get brighter',
    'attacks/imageTransforms',
    "['exp2(-copy)', '0.0']",
    "['exp2(copy)', '0.0']",
    transforms,
  ),
  fault('admix: partners of the own class', 'attacks/pool', 'select(j, j + own, j >= first)', 'j', transforms),
  fault('admix: partners from the batch alone', 'cli/attack/run', 'partners: partnersIn(partners),', '', 'cli/resume', {
    grep: 'Admix',
  }),
  fault(
    'ssa: no inverse',
    'attacks/imageTransforms',
    'return onBothAxes(stage, changed, ...matrices, true);',
    'return onBothAxes(stage, changed, ...matrices);',
    'attacks/linearMaps',
    { grep: 'basis' },
  ),
  fault(
    'bsr: one copy, however many are asked for',
    'attacks/imageTransforms',
    'copies: ({ shuffles }) => shuffles',
    'copies: () => 1',
    transforms,
  ),
  fault(
    'sia: no noise',
    'attacks/imageTransforms',
    "['select(x * factor, noisy, factor < 0.0)']",
    "['x * factor + 0.0 * noisy']",
    transforms,
  ),
  fault(
    'decowa: warps with the gradient',
    'attacks/decowa',
    "['warp - direction * rate * slope']",
    "['warp + direction * rate * slope']",
    transforms,
  ),
  // rules
  fault('sgm: hooks in the first block', 'rules/resolve', 'block % 10 !== 0', 'block % 10 !== 1', 'rules/sgmHooked'),
];
