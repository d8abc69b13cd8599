/** A pen stroke: x0, y0, x1, y1, ... in a box of one by one, x to the right, y downwards. */
export type Stroke = readonly number[];

/** One way to write a digit. */
export type Glyph = readonly Stroke[];

/** Points of an ellipse's arc; angles in degrees, 0 to the right, 90 downwards. */
function arc(cx: number, cy: number, rx: number, ry: number, from: number, to: number): number[] {
  const pieces = Math.max(3, Math.round(Math.abs(to - from) / 24));
  const points: number[] = [];
  for (let i = 0; i <= pieces; i++) {
    const angle = ((from + ((to - from) * i) / pieces) * Math.PI) / 180;
    points.push(cx + rx * Math.cos(angle), cy + ry * Math.sin(angle));
  }
  return points;
}

/** Forms in which people write each digit; index is the digit. */
export const glyphs: readonly (readonly Glyph[])[] = [
  // 0: round, narrow and tilted, not quite closed
  [
    [arc(0.5, 0.5, 0.42, 0.5, -90, 270)],
    [arc(0.5, 0.5, 0.3, 0.5, -60, 300)],
    [[0.62, 0.02, ...arc(0.5, 0.52, 0.4, 0.48, -110, -420)]],
  ],
  // 1: bare, with a flag, with flag and foot
  [
    [[0.5, 0, 0.5, 1]],
    [[0.28, 0.24, 0.56, 0, 0.56, 1]],
    [
      [0.3, 0.2, 0.52, 0, 0.52, 1],
      [0.25, 1, 0.8, 1],
    ],
  ],
  // 2: round, with a loop at the foot, angular
  [
    [[...arc(0.48, 0.28, 0.4, 0.28, -170, 30), 0.08, 1, 0.95, 1]],
    [
      [
        ...arc(0.48, 0.26, 0.36, 0.26, -160, 60),
        0.3,
        0.84,
        ...arc(0.22, 0.88, 0.14, 0.1, 60, 300),
        0.55,
        0.92,
        0.95,
        0.98,
      ],
    ],
    [[0.1, 0.08, 0.85, 0.08, 0.82, 0.35, 0.1, 0.95, 0.92, 0.95]],
  ],
  // 3: two bows, flat top, with a waist
  [
    [[...arc(0.42, 0.25, 0.38, 0.25, -150, 90), ...arc(0.42, 0.74, 0.44, 0.26, -90, 150)]],
    [[0.1, 0.02, 0.85, 0.02, 0.42, 0.42, ...arc(0.42, 0.7, 0.44, 0.3, -80, 140)]],
    [[...arc(0.45, 0.24, 0.33, 0.24, -140, 70), 0.38, 0.48, ...arc(0.45, 0.75, 0.4, 0.25, -70, 160)]],
  ],
  // 4: open, closed, with a short stem
  [
    [
      [0.18, 0, 0.1, 0.58, 0.92, 0.56],
      [0.7, 0.12, 0.66, 1],
    ],
    [[0.7, 1, 0.7, 0, 0.05, 0.68, 0.98, 0.68]],
    [
      [0.12, 0.05, 0.14, 0.5, 0.84, 0.48],
      [0.84, 0, 0.82, 1],
    ],
  ],
  // 5: angular, like an S, bar drawn apart
  [
    [[0.85, 0.02, 0.22, 0.02, 0.16, 0.42, ...arc(0.42, 0.7, 0.42, 0.3, -110, 150)]],
    [[...arc(0.55, 0.24, 0.36, 0.22, -40, -200), ...arc(0.44, 0.72, 0.42, 0.28, -70, 160)]],
    [
      [0.2, 0.05, 0.18, 0.44, ...arc(0.42, 0.7, 0.38, 0.28, -100, 140)],
      [0.2, 0.03, 0.9, 0],
    ],
  ],
  // 6: curved back, straight back, low loop
  [
    [[...arc(0.62, 0.5, 0.54, 0.5, -75, -180), ...arc(0.5, 0.72, 0.4, 0.28, 180, -180)]],
    [[0.6, 0, 0.14, 0.66, ...arc(0.48, 0.74, 0.36, 0.26, 190, -150)]],
    [[...arc(0.7, 0.55, 0.58, 0.55, -110, -190), ...arc(0.42, 0.8, 0.3, 0.2, 170, -170)]],
  ],
  // 7: plain, crossed, with a serif and a bent stem
  [
    [[0.08, 0.04, 0.92, 0.04, 0.38, 1]],
    [
      [0.08, 0.04, 0.92, 0.02, 0.4, 1],
      [0.3, 0.52, 0.86, 0.5],
    ],
    [[0.1, 0.2, 0.12, 0.04, 0.9, 0.06, 0.58, 0.5, 0.48, 1]],
  ],
  // 8: two rings, one crossing line, small head
  [
    [arc(0.5, 0.25, 0.33, 0.25, -90, 270), arc(0.5, 0.74, 0.4, 0.26, -90, 270)],
    [
      [
        ...arc(0.5, 0.24, 0.36, 0.24, -30, -210),
        0.7,
        0.6,
        ...arc(0.5, 0.76, 0.38, 0.24, -20, 200),
        0.3,
        0.6,
        0.8,
        0.13,
      ],
    ],
    [arc(0.54, 0.2, 0.24, 0.2, -90, 270), arc(0.48, 0.7, 0.4, 0.3, -80, 280)],
  ],
  // 9: straight stem, curved tail, hooked
  [
    [arc(0.48, 0.28, 0.36, 0.28, 0, 360), [0.84, 0.1, 0.8, 1]],
    [[...arc(0.5, 0.28, 0.38, 0.28, 0, -360), ...arc(0.36, 0.45, 0.52, 0.55, 0, 100)]],
    [[...arc(0.48, 0.27, 0.34, 0.27, -20, -350), 0.82, 0.1, 0.84, 0.7, ...arc(0.56, 0.76, 0.28, 0.24, 0, 150)]],
  ],
];
