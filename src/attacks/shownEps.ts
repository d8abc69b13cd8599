/** `8/255` where that is what the number is. */
export function shownEps(eps: number): string {
  const levels = eps * 255;
  const whole = Math.round(2 * levels) / 2;
  if (String(eps).length > 6 && eps < 0.2 && Math.abs(levels - whole) < 1e-6) return `${whole}/255`;
  return String(Number(eps.toPrecision(6)));
}
