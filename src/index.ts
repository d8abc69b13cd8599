/*
 * Everything that is public, under one roof, for programs within a checkout. What users of the package import as
 * `linbp` is public/root.ts; the other files of public/ are its subpaths. A name that two of them give different
 * meanings does not compile here.
 */

export * from './public/root.js';
export * from './public/graph.js';
export * from './public/profile.js';
export * from './public/tune.js';
export * from './public/theory.js';
export * from './public/io.js';
