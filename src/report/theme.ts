/** A color for light and for dark pages. */
export interface Color {
  /** Name of the CSS variable, without dashes. */
  readonly name: string;
  readonly light: string;
  readonly dark: string;
}

const color = (name: string, light: string, dark: string): Color => ({ name, light, dark });

/** Colors that mean the same thing in every chart and table of a report. */
export const palette = {
  ink: color('ink', '#1c2430', '#e6eaf0'),
  muted: color('muted', '#5c6878', '#9aa6b6'),
  shade: color('shade', '#f3f0e2', '#242a24'),
  grid: color('grid', '#e3e7ed', '#2b333f'),
  axis: color('axis', '#aab3bf', '#4a5565'),
  surface: color('surface', '#ffffff', '#161b22'),
  bp: color('bp', '#2563c9', '#6ea6ff'),
  linbp: color('linbp', '#d4610b', '#ff9f4d'),
  third: color('third', '#0f8b6d', '#43c9a3'),
  fourth: color('fourth', '#8a3fb5', '#c98bf0'),
  fifth: color('fifth', '#b3913a', '#dbbf6e'),
  sixth: color('sixth', '#b0365f', '#f0819f'),
  data: color('data', '#7d8896', '#8b97a6'),
  forward: color('forward', '#0f8b8d', '#41c3c5'),
  inputGradient: color('inputGradient', '#7a52c7', '#b394f2'),
  weightGradient: color('weightGradient', '#b83b76', '#ee86b3'),
  update: color('update', '#8a7a2c', '#cdbb62'),
  attack: color('attack', '#5a7d2a', '#a3c96a'),
} as const;

export type PaletteName = keyof typeof palette;

const others: readonly Color[] = [palette.third, palette.fourth, palette.fifth, palette.sixth];

/** The color of a backward rule: the same everywhere for `bp` and `linbp`; others in order of `index`. */
export function ruleColor(rule: string, index = 0): Color {
  if (/^bp\b/.test(rule)) return palette.bp;
  if (/^linbp\b/.test(rule)) return palette.linbp;
  return others[index % others.length]!;
}

/** The color of a dispatch's direction. */
export function directionColor(direction: string): Color {
  return direction in palette ? palette[direction as PaletteName] : palette.data;
}

/** Name of a rule as readers know it. */
export function ruleName(rule: string): string {
  return rule.replace(/^linbp\b/, 'LinBP').replace(/^bp\b/, 'BP');
}

/** CSS declarations of all colors. */
export function colorVariables(mode: 'light' | 'dark'): string {
  return Object.values(palette)
    .map((each) => `--${each.name}:${each[mode]};`)
    .join('');
}
