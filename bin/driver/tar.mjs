const BLOCK = 512;

function text(block, start, length) {
  const slice = block.subarray(start, start + length);
  const end = slice.indexOf(0);
  return slice.subarray(0, end < 0 ? length : end).toString('utf8');
}

/**
 * The regular files of an uncompressed tar archive by name. Names are only ever compared with known ones, never used as
 * paths.
 */
export function tarMembers(archive) {
  const members = new Map();
  let offset = 0;
  while (offset + BLOCK <= archive.length) {
    const header = archive.subarray(offset, offset + BLOCK);
    if (header[0] === 0) break;
    const size = Number.parseInt(text(header, 124, 12).trim(), 8);
    const start = offset + BLOCK;
    if (!Number.isSafeInteger(size) || size < 0 || start + size > archive.length) throw new Error('damaged archive');
    const type = String.fromCharCode(header[156]);
    if (type === '0' || type === '\0') {
      const prefix = text(header, 257, 5) === 'ustar' ? text(header, 345, 155) : '';
      const name = (prefix ? `${prefix}/` : '') + text(header, 0, 100);
      members.set(name.replace(/^\.\//, ''), archive.subarray(start, start + size));
    }
    offset = start + Math.ceil(size / BLOCK) * BLOCK;
  }
  return members;
}
