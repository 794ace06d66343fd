/** Heat maps: squares of figures by row and column. */
import type { Canvas, Colour } from "./canvas.ts";
import { HEAT_LEVELS, heat, INK, RULE, SIZE, SOFT, WASH } from "./theme.ts";
import { figure } from "./writing.ts";

/** A square of figures by row and column; undefined for a cell without a measurement, null for a failed one. */
export interface HeatGrid {
  size: number;
  value: (row: number, column: number) => number | null | undefined;
  low: number;
  high: number;
  /** True where small figures are the good ones, such as latencies: then large ones are dark. */
  isLowGood?: boolean;
}

type Scale = Pick<HeatGrid, "low" | "high" | "isLowGood">;

/** The scale reaches at least this far from the best figure, so that small differences stay light. */
const HEAT_SPAN = 0.3;

/** The ends of the scale for these figures. */
export function heatRange(values: Iterable<number>, isLowGood = false): Scale {
  let low = Number.POSITIVE_INFINITY;
  let high = 0;
  for (const value of values) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  return isLowGood
    ? { low, high: Math.max(high, low / (1 - HEAT_SPAN)), isLowGood }
    : { low: high === 0 ? low : Math.min(low, high * (1 - HEAT_SPAN)), high };
}

/** False for the scale of no figures at all. */
export function hasFigures({ low }: Scale): boolean {
  return Number.isFinite(low);
}

/** Level of a figure, 0 for the best: light is fast. */
export function heatLevel(value: number, { low, high, isLowGood = false }: Scale): number {
  if (high <= low) return 0;
  const share = (isLowGood ? value - low : high - value) / (high - low);
  return Math.min(HEAT_LEVELS - 1, Math.max(0, Math.round(share * (HEAT_LEVELS - 1))));
}

const FAILED: Colour = [0.85, 0.33, 0.1];

/** The grid as coloured cells; equal neighbours in a row are one rectangle. Failed cells are crossed out. */
export function heatMap(
  canvas: Canvas,
  place: { x: number; y: number; cell: number },
  grid: HeatGrid,
): void {
  const { x, y, cell } = place;
  const { size } = grid;
  const runs = Array.from({ length: HEAT_LEVELS }, (): [number, number, number][] => []);
  const failed: [number, number, number][] = [];
  canvas.rectangle(x, y, size * cell, size * cell, WASH);
  for (let row = 0; row < size; row++) {
    let open: { level: number; run: [number, number, number] } | null = null;
    for (let column = 0; column < size; column++) {
      const value = grid.value(row, column);
      if (typeof value !== "number") {
        open = null;
        if (value === null) failed.push([row, column, 1]);
        continue;
      }
      const level = heatLevel(value, grid);
      if (open !== null && open.level === level) open.run[2]++;
      else {
        open = { level, run: [row, column, 1] };
        runs[level]?.push(open.run);
      }
    }
  }
  for (const [level, cells] of runs.entries()) canvas.cells(place, cells, heat(level));
  canvas.cells(place, failed, FAILED);
  if (cell >= 3) {
    for (const [row, column] of failed) {
      const [left, top] = [x + column * cell, y + row * cell];
      canvas.line([left, top], [left + cell, top + cell], { colour: 1, line: 0.8 });
      canvas.line([left + cell, top], [left, top + cell], { colour: 1, line: 0.8 });
    }
  }
  canvas.frame(x - 0.5, y - 0.5, size * cell + 1, size * cell + 1, { colour: RULE });
}

export const LEGEND_WIDTH = 132;

/** The colour scale with its ends; nothing for a scale without figures. */
export function heatLegend(
  canvas: Canvas,
  place: { x: number; y: number },
  grid: Scale,
  unit: string,
): void {
  if (!hasFigures(grid)) return;
  const { x, y } = place;
  const step = LEGEND_WIDTH / HEAT_LEVELS;
  const style = { size: SIZE.tiny, colour: SOFT };
  const width = LEGEND_WIDTH;
  for (let level = 0; level < HEAT_LEVELS; level++) {
    canvas.rectangle(x + level * step, y, step + 0.2, 7, heat(level));
  }
  canvas.frame(x, y, width, 7, { colour: RULE, line: 0.4 });
  // The scale runs from the middle of the first level to the middle of the last.
  for (const [share, align] of [
    [0, "left"],
    [0.5, "centre"],
    [1, "right"],
  ] as const) {
    const [from, to] = grid.isLowGood ? [grid.low, grid.high] : [grid.high, grid.low];
    const value = from + share * (to - from);
    const at = x + step / 2 + share * (width - step);
    canvas.line([at, y + 7], [at, y + 8.6], { colour: SOFT, line: 0.4 });
    const edge = align === "left" ? x : align === "right" ? x + width : at;
    canvas.text(`${figure(value)} ${unit}`, edge, y + 14.5, { ...style, align });
  }
}

/** A failed cell with its name. */
export function failedLegend(canvas: Canvas, { x, y }: { x: number; y: number }): void {
  canvas.rectangle(x, y, 7, 7, FAILED);
  canvas.line([x, y], [x + 7, y + 7], { colour: 1, line: 0.8 });
  canvas.line([x + 7, y], [x, y + 7], { colour: 1, line: 0.8 });
  canvas.text("failed", x + 11, y + 6, { size: SIZE.tiny, colour: SOFT });
}

/** The colour of figures on a cell: light on dark cells. */
export function inkOn(level: number): number {
  return level >= HEAT_LEVELS * 0.5 ? 1 : INK;
}
