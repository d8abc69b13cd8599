/**
 * What a program does and how long each part takes.
 *
 * @packageDocumentation
 */

export * from '../profile/index.js';
export { createWorkload } from '../profile/workloads.js';
export type { Workload, WorkloadKind, WorkloadOptions } from '../profile/workloads.js';
