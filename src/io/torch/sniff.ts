import { LinbpError } from '../../errors.js';

/**
 * Tells the zip from the legacy format by a file's first bytes, and says what else it is.
 *
 * @param head the first bytes, 1024 or as many as there are
 * @throws LinbpError `bad-file`
 */
export function refuseOtherFormats(head: Uint8Array, size: number, source: string): 'zip' | 'legacy' {
  const fail = (what: string): never => {
    throw new LinbpError('bad-file', `${source} ${what}`, { field: source });
  };
  const text = Buffer.from(head.buffer, head.byteOffset, head.byteLength).toString('latin1');
  if (size === 0) fail('is empty');
  if (text.startsWith('version https://git-lfs'))
    fail('is a Git LFS pointer, not the file itself; run "git lfs pull" where it came from');
  if (/^\s*<(!doctype|html|\?xml)/i.test(text)) fail('is a web page, not a PyTorch file; the download failed');
  if (text.startsWith('PK\x03\x04') || text.startsWith('PK\x05\x06')) return 'zip';
  if (text.startsWith('\x89HDF')) fail('is an HDF5 file (Keras), not a PyTorch file; export the network to ONNX');
  if (/^.{8}\{"/s.test(text)) fail('looks like a safetensors file; give it the ending .safetensors');
  if (text.slice(257, 262) === 'ustar') fail('is a tar archive; extract it, or save it again with torch.save');
  // PROTO, or protocol 0 and 1, which begin with a number or a container.
  if (head[0] === 0x80 || /^[([{]|^[cI)\]}]/.test(text)) return 'legacy';
  return fail('is not a PyTorch file');
}
