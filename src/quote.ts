/** Longest text from outside that a message quotes. */
const LONGEST = 100;

/** Longest message as a whole: a list of what differs can name thousands of tensors. */
const LONGEST_MESSAGE = 4000;

const escaped = (character: string): string => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;

/** Control characters, which a terminal obeys, and those that reorder what is shown. */
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
const CONTROL_BUT_LAYOUT = new RegExp(CONTROL.source.replace('\\u0000-\\u001f', '\\u0000-\\u0008\\u000b-\\u001f'), 'g');

/** Text from outside, for a message: control characters escaped, cut to a readable length, in double quotes. */
export function quoted(text: string): string {
  const cut = text.length > LONGEST ? `${text.slice(0, LONGEST - 3)}...` : text;
  return JSON.stringify(cut).replace(CONTROL, escaped);
}

/** A name from a file, such as a tensor's: as it is where it looks like one, else {@link quoted}. */
export function quotedName(name: string): string {
  return /^[\w.:/*?[\](), -]{1,100}$/.test(name) ? name : quoted(name);
}

/** A path for a message: as it is, unless it holds control characters. */
export function quotedPath(path: string): string {
  return path.replace(CONTROL, escaped);
}

/** Any value that was read from a file, for a message. Nested ones are not followed: they can be a million deep. */
export function quotedValue(value: unknown): string {
  if (typeof value === 'string') return quoted(value);
  if (Array.isArray(value)) {
    const shown = value
      .slice(0, 8)
      .map((each: unknown) => (typeof each === 'object' ? brief(each) : quotedValue(each)));
    return `[${shown.join(', ')}${value.length > 8 ? ', ...' : ''}]`;
  }
  return typeof value === 'object' ? brief(value) : String(value).slice(0, LONGEST);
}

const brief = (value: object | null): string => (value === null ? 'null' : Array.isArray(value) ? '[...]' : '{...}');

/**
 * A whole message or line for a terminal: control characters but line breaks and tabs escaped, cut in the middle. Every
 * error message passes through it, so nothing from outside reaches a terminal raw, however it got into the text.
 */
export function terminalText(text: string, longest = LONGEST_MESSAGE): string {
  const cut =
    text.length > longest
      ? `${text.slice(0, longest - 600)} ... ` +
        `(${text.length - longest + 100} characters left out) ... ${text.slice(-500)}`
      : text;
  return cut.replace(CONTROL_BUT_LAYOUT, escaped);
}

/** A number of things, such as `1 image` or `64 images`. */
export const counted = (count: number, thing: string): string => `${count} ${thing}${count === 1 ? '' : 's'}`;
