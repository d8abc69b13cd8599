/** A colour for light and for dark pages. */
export interface Colour {
  /** Name of the CSS variable, without dashes. */
  readonly name: string;
  readonly light: string;
  readonly dark: string;
}

const colour = (name: string, light: string, dark: string): Colour => ({ name, light, dark });

/** Colours that mean the same thing in every chart and table of a report. */
export const palette = {
  ink: colour('ink', '#1c2430', '#e6eaf0'),
  muted: colour('muted', '#5c6878', '#9aa6b6'),
  shade: colour('shade', '#f3f0e2', '#242a24'),
  grid: colour('grid', '#e3e7ed', '#2b333f'),
  axis: colour('axis', '#aab3bf', '#4a5565'),
  surface: colour('surface', '#ffffff', '#161b22'),
  bp: colour('bp', '#2563c9', '#6ea6ff'),
  linbp: colour('linbp', '#d4610b', '#ff9f4d'),
  third: colour('third', '#0f8b6d', '#43c9a3'),
  fourth: colour('fourth', '#8a3fb5', '#c98bf0'),
  fifth: colour('fifth', '#b3913a', '#dbbf6e'),
  sixth: colour('sixth', '#b0365f', '#f0819f'),
  data: colour('data', '#7d8896', '#8b97a6'),
  forward: colour('forward', '#0f8b8d', '#41c3c5'),
  inputGradient: colour('inputGradient', '#7a52c7', '#b394f2'),
  weightGradient: colour('weightGradient', '#b83b76', '#ee86b3'),
  update: colour('update', '#8a7a2c', '#cdbb62'),
  attack: colour('attack', '#5a7d2a', '#a3c96a'),
} as const;

export type PaletteName = keyof typeof palette;

const others: readonly Colour[] = [palette.third, palette.fourth, palette.fifth, palette.sixth];

/** The colour of a backward rule: the same everywhere for `bp` and `linbp`; others in order of `index`. */
export function ruleColour(rule: string, index = 0): Colour {
  if (/^bp\b/.test(rule)) return palette.bp;
  if (/^linbp\b/.test(rule)) return palette.linbp;
  return others[index % others.length]!;
}

/** The colour of a dispatch's direction. */
export function directionColour(direction: string): Colour {
  return direction in palette ? palette[direction as PaletteName] : palette.data;
}

/** Name of a rule as readers know it. */
export function ruleName(rule: string): string {
  return rule.replace(/^linbp\b/, 'LinBP').replace(/^bp\b/, 'BP');
}

/** CSS declarations of all colours. */
export function colourVariables(mode: 'light' | 'dark'): string {
  return Object.values(palette)
    .map((each) => `--${each.name}:${each[mode]};`)
    .join('');
}
