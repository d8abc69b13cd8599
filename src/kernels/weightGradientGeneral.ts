import { registerTiles, unfitTile } from './registerTiles.js';
import { readsColumns } from './software/readsColumns.js';
import { inFours, rightRegion } from './staging.js';
import { chooseTile, laneRegions, tileConstants, tileName } from './tiles.js';
import { weightStrategy } from './weightStrategy.js';

/** The register tile of an invocation, whose loads its lanes share: computes every weight gradient. */
export const weightGradientGeneral = weightStrategy({
  name: 'gemm/weightGradient',
  operands: 'registers',
  unrolls: true,
  suits: () => true,
  usualTile: ({ rows }, width, device) => chooseTile({ rows, columns: width, maxRows: 16 }, device),
  unfit: (choice, problem, device) => unfitTile(choice, problem, device),
  candidates: (start, _problem, device) => registerTiles(start, [2, 4, 8], device),
  form(choice, slice, { padded }, device) {
    const { columns } = choice;
    const fours = inFours(columns) && !padded && readsColumns(slice, device);
    return {
      name: `${tileName(choice)}${fours ? ' vec4' : ''}`,
      constants: {
        PADDED: padded,
        FOURS: fours ? columns / 4 : 0,
        SINGLES: fours ? 0 : columns,
        ...tileConstants(choice, device),
      },
      regions: { ...laneRegions(choice, device), ...rightRegion(fours) },
    };
  },
});
