import { wideResidual } from './wideResidual.js';

/** Wide residual network 28-10. */
export const wideResnet = wideResidual('wrn28_10', 28, 10);
