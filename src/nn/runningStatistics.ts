import type { ElementwiseFunction } from '../graph/types.js';

/** What PyTorch does to the running statistics in training: momentum 0.1 of the batch's mean and unbiased variance. */
export const runningStatistics: ElementwiseFunction = {
  name: 'runningStatistics',
  inputs: ['mean', 'variance', 'runningMean', 'runningVariance'],
  scalars: ['momentum', 'correction'],
  results: [
    'runningMean + momentum * (mean - runningMean)',
    'runningVariance + momentum * (correction * variance - runningVariance)',
  ],
  reference: (mean = 0, variance = 0, runningMean = 0, runningVariance = 0, momentum = 0, correction = 0) => [
    runningMean + momentum * (mean - runningMean),
    runningVariance + momentum * (correction * variance - runningVariance),
  ],
};
