/** What a pipeline of a product must look like when it is compiled, from the constants of its shader text. */

/** Module-scope constants that are numbers or flags. */
const constantsOf = (code) =>
  new Proxy(
    Object.fromEntries(
      [...code.matchAll(/^const (\w+) = (-?\d+|true|false)[ui]?;/gm)].map(([, name, value]) => [
        name,
        value === 'true' || value === 'false' ? value === 'true' : Number(value),
      ]),
    ),
    {
      get(values, name) {
        if (!(name in values)) throw new Error(`the shader has no constant ${String(name)}`);
        return values[name];
      },
    },
  );

/** Pairs of an output and a tap whose input is not known to lie outside when the shader is compiled. */
function pairsOfRow({ TN, TAPS, STEP, FIRST, LAST, SOLE }) {
  let pairs = 0;
  for (let j = 0; j < TN; j++)
    for (let t = 0; t < TAPS; t++) if (!SOLE || (j * STEP + t >= FIRST && j * STEP + t < LAST)) pairs++;
  return pairs;
}

function depthwisePairs({ TN, TAPS, STRIDE, DILATION, PADDING, TRANSPOSED }) {
  let pairs = 0;
  for (let j = 0; j < TN; j++)
    for (let t = 0; t < TAPS; t++)
      if (!TRANSPOSED || (j + PADDING + TAPS * DILATION * STRIDE - t * DILATION) % STRIDE === 0) pairs++;
  return pairs;
}

const staged = ({ RM, RN, BK }) => ({ products: RM * RN, turns: [1, BK] });

/** Multiply-adds of one turn of the inner loop, by kernel, and how many turns may be unrolled. */
const innerProducts = {
  'gemm/conv': ({ TM, TN }) => ({ products: TM * TN, turns: [1] }),
  'gemm/convRows': (constants) => ({ products: constants.TM * pairsOfRow(constants), turns: [1] }),
  'gemm/convTiled': staged,
  'gemm/weightGradient': ({ TM, TN }) => ({ products: TM * TN, turns: [1] }),
  'gemm/weightGradientTiled': staged,
  'gemm/winogradProducts': ({ TM, TN }) => ({ products: 4 * TM * TN, turns: [1] }),
  'gemm/depthwiseWeightGradient': ({ TAPS_H, TAPS, TN }) => ({ products: TAPS_H * TAPS * TN, turns: [1] }),
};

function checkProducts(kernel, pipeline, constants) {
  if (kernel === 'gemm/convMatrix' || kernel === 'gemm/convHalfMatrix') {
    const { MI, NJ, BK, K } = constants;
    const wanted = [MI * NJ, (MI * NJ * BK) / K];
    return wanted.includes(pipeline.matrices)
      ? []
      : [`${pipeline.matrices} products of matrices in the inner loop, not ${[...new Set(wanted)].join(' or ')}`];
  }
  if (kernel === 'gemm/depthwise') {
    // the first product of a sum may be a multiplication
    const wanted = constants.TAPS_H * depthwisePairs(constants);
    const found = pipeline.multiplyAdds + pipeline.multiplies;
    return found >= wanted && found % wanted < constants.TN
      ? []
      : [`${found} products in the inner loop, not ${wanted}`];
  }
  const expected = innerProducts[kernel]?.(constants);
  if (expected === undefined) return [];
  const wanted = expected.turns.map((turns) => turns * expected.products);
  return wanted.includes(pipeline.multiplyAdds)
    ? []
    : [`${pipeline.multiplyAdds} multiply-adds in the inner loop, not ${[...new Set(wanted)].join(' or ')}`];
}

/**
 * Most registers of a kernel that stages through workgroup memory: with more, older cards run one subgroup at a time.
 */
const mostStagedRegisters = 128;

function checkStaging(kernel, pipeline, { RM, RN, LEFT, RIGHT }) {
  const faults = [];
  const turns = Math.max(1, Math.floor(pipeline.multiplyAdds / (RM * RN)));
  const wanted = (turns * (RM + RN)) / 4;
  const found = pipeline.sharedLoads.filter((bits) => bits === 128).length;
  if (found < wanted)
    faults.push(`${found} loads of 128 bits from workgroup memory in the inner loop, where ${wanted} are written`);
  // a weight gradient also looks up what its columns are
  const looksUp = kernel === 'gemm/weightGradientTiled';
  const narrow = (widths) => widths.filter((bits) => bits < 128);
  if (!looksUp && narrow(pipeline.sharedLoads).length > 0)
    faults.push(`loads of ${narrow(pipeline.sharedLoads)[0]} bits from workgroup memory, written with 128`);
  if (narrow(pipeline.stagedStores).length > 0)
    faults.push(`stores of ${narrow(pipeline.stagedStores)[0]} bits to workgroup memory, written with 128`);
  const vectors = [LEFT, RIGHT].filter((mode) => mode !== 0).length;
  const loads = pipeline.stagedLoads.length - narrow(pipeline.stagedLoads).length;
  if (loads < vectors) faults.push(`${loads} loads of 128 bits from buffers, where ${vectors} operands are read so`);
  // columns of a bias and of taps that are cut are read one by one
  if (vectors === 2 && !(looksUp && RIGHT === 1) && narrow(pipeline.stagedLoads).length > 0)
    faults.push(`loads of ${narrow(pipeline.stagedLoads)[0]} bits from buffers, where both operands are read with 128`);
  if (pipeline.vgprs > mostStagedRegisters) faults.push(`${pipeline.vgprs} VGPRs, more than ${mostStagedRegisters}`);
  return faults;
}

/** Everything that is wrong with a compiled pipeline, in words. */
export function faultsOf(pipeline) {
  const kernel = pipeline.label.split(' ')[0];
  const faults = [];
  if (!Number.isFinite(pipeline.throughput)) return ['the driver says nothing about it'];
  if (pipeline.spills > 0) faults.push(`${pipeline.spills} registers are spilled`);
  if (pipeline.scratch > 0) faults.push(`${pipeline.scratch} bytes of scratch memory`);
  if (!kernel.startsWith('gemm/')) return faults;
  const constants = constantsOf(pipeline.code);
  faults.push(...checkProducts(kernel, pipeline, constants));
  if (kernel === 'gemm/convTiled' || kernel === 'gemm/weightGradientTiled')
    faults.push(...checkStaging(kernel, pipeline, constants));
  return faults;
}
