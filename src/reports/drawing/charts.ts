/** Charts made of lines and rectangles: ratio bars, distributions, heat maps. */
import type { PerformanceStatus } from "../../lib/enums.ts";
import type { Canvas, Colour } from "./canvas.ts";
import {
  ACCENT,
  HEAT_LEVELS,
  heat,
  INK,
  PALE_ACCENT,
  RULE,
  SIZE,
  SOFT,
  STATUS,
  WASH,
} from "./theme.ts";
import { figure } from "./writing.ts";

/** The ratio at the right end of a bar. */
const BAR_REACH = 1.35;

/** A figure as a share of its baseline; lines mark the baseline and the threshold `under` it, unless that is 0. */
export function ratioBar(
  canvas: Canvas,
  place: { x: number; y: number; width: number; height: number },
  ratio: number,
  under: number,
  status: PerformanceStatus,
): void {
  const { x, y, width, height } = place;
  const at = (value: number) => x + (Math.min(Math.max(value, 0), BAR_REACH) / BAR_REACH) * width;
  canvas.rectangle(x, y, width, height, WASH);
  canvas.rectangle(
    x,
    y,
    at(ratio) - x,
    height,
    status === "underperforming" ? STATUS[status].colour : PALE_ACCENT,
  );
  if (under > 0) {
    const style = { colour: SOFT, line: 0.5, dash: [1.2, 1.2] };
    canvas.line([at(under), y], [at(under), y + height], style);
  }
  canvas.line([at(1), y - 1.6], [at(1), y + height + 1.6], { colour: INK, line: 1 });
}

/** A shape for each status, for readers without colour. */
export function statusShape(
  canvas: Canvas,
  x: number,
  y: number,
  size: number,
  status: PerformanceStatus,
): void {
  const { colour } = STATUS[status];
  const half = size / 2;
  switch (status) {
    case "underperforming":
      canvas.polygon(
        [
          [x, y],
          [x + size, y],
          [x + half, y + size],
        ],
        colour,
      );
      break;
    case "outperforming":
      canvas.polygon(
        [
          [x, y + size],
          [x + size, y + size],
          [x + half, y],
        ],
        colour,
      );
      break;
    case "expected":
      canvas.rectangle(x, y, size, size, colour);
      break;
    case "unrated":
      canvas.frame(x, y, size, size, { colour, line: size / 7 });
      break;
  }
}

/** This many figures or more are counted in bins; fewer are drawn one by one. */
const MIN_BINNED = 25;
const BINS = 48;

/**
 * The distribution of figures, as a line for each or as bins, with marks for the median and, if there is one,
 * the baseline.
 */
export function distribution(
  canvas: Canvas,
  place: { x: number; y: number; width: number; height: number },
  values: readonly number[],
  marks: { median: number; baseline: number | null },
): void {
  const { x, y, width, height } = place;
  const all = marks.baseline === null ? values : [...values, marks.baseline];
  const low = all.reduce((least, value) => Math.min(least, value), Number.POSITIVE_INFINITY);
  const high = all.reduce((most, value) => Math.max(most, value), Number.NEGATIVE_INFINITY);
  // There is a margin at both ends; equal figures are drawn in the middle.
  const span = high - low || Math.abs(high) || 1;
  const from = low - span * 0.06;
  const scale = width / (span * 1.12);
  const at = (value: number) => x + (high === low ? width / 2 : (value - from) * scale);
  const floor = y + height;
  canvas.line([x, floor], [x + width, floor], { colour: RULE });
  if (values.length >= MIN_BINNED && high > low) {
    const bins = new Array<number>(BINS).fill(0);
    for (const value of values) {
      const bin = Math.min(BINS - 1, Math.floor(((value - from) / (span * 1.12)) * BINS));
      bins[bin] = (bins[bin] ?? 0) + 1;
    }
    const most = Math.max(...bins);
    for (const [bin, number] of bins.entries()) {
      // A single slow node among hundreds must stay visible.
      const tall = Math.max(1, (number / most) * (height - 3));
      if (number > 0)
        canvas.rectangle(
          x + (bin * width) / BINS,
          floor - tall,
          width / BINS - 0.6,
          tall,
          PALE_ACCENT,
        );
    }
  } else {
    for (const value of values) {
      canvas.line([at(value), floor - height * 0.62], [at(value), floor], {
        colour: ACCENT,
        line: 1.6,
      });
    }
  }
  const { median, baseline } = marks;
  canvas.polygon(
    [
      [at(median), floor + 1],
      [at(median) - 3, floor + 6],
      [at(median) + 3, floor + 6],
    ],
    INK,
  );
  if (baseline !== null) {
    canvas.line([at(baseline), y - 2], [at(baseline), floor + 2], { colour: INK, line: 1 });
    canvas.text("baseline", at(baseline), y - 4, {
      size: SIZE.tiny - 0.8,
      colour: SOFT,
      align: "centre",
    });
  }
}

/** A square of figures by row and column; undefined for a cell without a measurement, null for a failed one. */
export interface HeatGrid {
  size: number;
  value: (row: number, column: number) => number | null | undefined;
  low: number;
  high: number;
}

/** The scale reaches at least this far below the fastest figure, so that small differences stay light. */
const HEAT_SPAN = 0.3;

/** The ends of the scale for these figures. */
export function heatRange(values: Iterable<number>): Pick<HeatGrid, "low" | "high"> {
  let low = Number.POSITIVE_INFINITY;
  let high = 0;
  for (const value of values) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  return { low: Math.min(low, high * (1 - HEAT_SPAN)), high };
}

/** Level of a figure, 0 for the highest: light is fast. */
export function heatLevel(value: number, { low, high }: Pick<HeatGrid, "low" | "high">): number {
  if (high <= low) return 0;
  const share = (high - value) / (high - low);
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

/** The colour scale with its ends. */
export function heatLegend(
  canvas: Canvas,
  place: { x: number; y: number },
  grid: Pick<HeatGrid, "low" | "high">,
  unit: string,
  hasFailed: boolean,
): void {
  const { x, y } = place;
  const step = 11;
  const style = { size: SIZE.tiny, colour: SOFT };
  const width = HEAT_LEVELS * step;
  for (let level = 0; level < HEAT_LEVELS; level++) {
    canvas.rectangle(x + level * step, y, step + 0.2, 7, heat(level));
  }
  canvas.frame(x, y, width, 7, { colour: RULE, line: 0.4 });
  canvas.text(`${figure(grid.high)} ${unit}`, x, y + 14, style);
  canvas.text(`${figure(grid.low)} ${unit}`, x + width, y + 14, { ...style, align: "right" });
  if (hasFailed) {
    canvas.rectangle(x + width + 14, y, 7, 7, FAILED);
    canvas.line([x + width + 14, y], [x + width + 21, y + 7], { colour: 1, line: 0.8 });
    canvas.line([x + width + 21, y], [x + width + 14, y + 7], { colour: 1, line: 0.8 });
    canvas.text("failed", x + width + 25, y + 6, style);
  }
}

/** The colour of figures on a cell: light on dark cells. */
export function inkOn(level: number): number {
  return level >= HEAT_LEVELS * 0.5 ? 1 : INK;
}
