/** Text from a file, for a message: control characters escaped, cut to a readable length, in double quotes. */
export function quoted(text: string): string {
  const cut = text.length > 100 ? `${text.slice(0, 97)}...` : text;
  return JSON.stringify(cut).replace(
    /[\u007f-\u009f\u2028\u2029]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
