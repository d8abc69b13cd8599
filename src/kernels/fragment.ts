import { shaderSource } from '../wgsl/link.js';

/**
 * A shader file as the text of a region: without its own imports, which stand for what the file needs to be valid alone
 * and which the file that has the region imports already.
 */
export const shaderFragment = (name: string): string => shaderSource(name).replace(/^\/\/#import .*$\n?/gm, '');
