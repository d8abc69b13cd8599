/** `value`, or NaN where `source` is not finite: sign and clamp would hide that. The shaders' `orNaN`. */
export const orNaN = (value: number, source: number): number => (Number.isFinite(source) ? value : NaN);
