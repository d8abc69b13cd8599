/**
 * The theory of LinBP: closed forms, theorems as programs, sampled gradients, student-teacher simulations.
 *
 * @packageDocumentation
 */

export * from '../theory/index.js';
