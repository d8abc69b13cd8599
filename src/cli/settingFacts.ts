/** A value in words; of hashes, which the JSON has, the beginning. */
const shownSetting = (value: unknown): string => {
  if (Array.isArray(value)) return value.map(shownSetting).join(', ');
  const written = typeof value === 'object' ? JSON.stringify(value) : String(value);
  return written.replace(/\b([0-9a-f]{8})[0-9a-f]{24,}\b/g, '$1\u2026');
};

const isHash = (value: unknown): boolean => typeof value === 'string' && /^[0-9a-f]{32,}$/.test(value);

const isNothing = (value: unknown): boolean =>
  value === undefined || value === null || (typeof value === 'object' && Object.keys(value).length === 0);

/** Settings as names and values; what was not given is left out. */
export const settingFacts = (settings: Readonly<Record<string, unknown>>): [string, string][] =>
  Object.entries(settings).flatMap(([name, value]): [string, string][] => {
    const words = name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
    return isNothing(value) ? [] : [[isHash(value) ? `${words}, hash` : words, shownSetting(value)]];
  });
