/** Colours and sizes of all reports. A word or a shape stands beside every colour, since prints may be grey. */
import type { PerformanceStatus } from "../../lib/enums.ts";
import type { Colour } from "./canvas.ts";

export const INK = 0.1;
export const SOFT = 0.42;
export const RULE = 0.8;
export const FAINT = 0.9;
export const WASH = 0.955;
export const ACCENT: Colour = [0.13, 0.3, 0.53];
export const PALE_ACCENT: Colour = [0.66, 0.74, 0.84];
export const WARNING: Colour = [0.72, 0.2, 0.07];
export const PALE_WARNING: Colour = [0.985, 0.93, 0.9];

export const STATUS: Record<PerformanceStatus, { word: string; colour: Colour }> = {
  underperforming: { word: "Underperforming", colour: WARNING },
  expected: { word: "As expected", colour: [0.1, 0.4, 0.27] },
  outperforming: { word: "Outperforming", colour: ACCENT },
  unrated: { word: "Not rated", colour: SOFT },
};

export const SIZE = {
  title: 17.5,
  verdict: 15.5,
  heading: 10.5,
  text: 7.7,
  small: 6.5,
  dense: 5.9,
  tiny: 5.5,
};

/** Levels from light (fast) to dark (slow), so that slow links stand out in grey prints, too. */
export const HEAT_LEVELS = 12;
export function heat(level: number): Colour {
  const share = level / (HEAT_LEVELS - 1);
  const mix = (light: number, dark: number) => light + (dark - light) * share ** 0.85;
  return [mix(0.93, 0.07), mix(0.95, 0.16), mix(0.98, 0.34)];
}
