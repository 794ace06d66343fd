/** Charts made of lines and rectangles: ratio bars, distributions, boxes, series. */
import type { PerformanceStatus } from "../../lib/enums.ts";
import type { Canvas } from "./canvas.ts";
import { ACCENT, INK, PALE_ACCENT, RULE, SIZE, SOFT, STATUS, WARNING, WASH } from "./theme.ts";
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
  axis(canvas, { x, y: floor, width }, { from, to: from + span * 1.12, isOne: high === low }, high);
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
      [at(median), floor + 0.5],
      [at(median) - 2.6, floor + 5],
      [at(median) + 2.6, floor + 5],
    ],
    INK,
  );
  if (baseline !== null) {
    canvas.line([at(baseline), y - 2], [at(baseline), floor + 2], { colour: INK, line: 1 });
    canvas.text("baseline", at(baseline), y - 4, {
      size: SIZE.tiny - 0.5,
      colour: SOFT,
      align: "centre",
    });
  }
}

const TICKS = 4;

/** Round numbers below a chart. */
function axis(
  canvas: Canvas,
  { x, y, width }: { x: number; y: number; width: number },
  { from, to, isOne }: { from: number; to: number; isOne: boolean },
  value: number,
): void {
  const style = { size: SIZE.tiny - 0.3, colour: SOFT, align: "centre" as const };
  const tick = (at: number, text: string) => {
    canvas.line([at, y], [at, y + 2], { colour: SOFT, line: 0.4 });
    canvas.text(text, at, y + 11.5, style);
  };
  if (isOne) {
    tick(x + width / 2, figure(value));
    return;
  }
  const step = niceStep((to - from) / TICKS);
  for (let at = Math.ceil(from / step) * step; at <= to; at += step) {
    const place = x + ((at - from) / (to - from)) * width;
    if (place > x + 8 && place < x + width - 8) tick(place, figure(Number(at.toPrecision(6))));
  }
}

/** 1, 2 or 5 times a power of ten. */
function niceStep(rough: number): number {
  const power = 10 ** Math.floor(Math.log10(rough));
  return power * ([1, 2, 5].find((each) => each * power >= rough) ?? 10);
}

/** The spread behind a baseline: whiskers, a box of the middle half where it is known, and a figure beside it. */
export interface Spread {
  low: number;
  high: number;
  quartiles: readonly [number, number] | null;
  median: number;
}

export function boxPlot(
  canvas: Canvas,
  { x, y, width, height }: { x: number; y: number; width: number; height: number },
  { low, high, quartiles, median }: Spread,
  own: readonly number[],
): void {
  const from = Math.min(low, ...own);
  const span = Math.max(high, ...own) - from || Math.abs(high) || 1;
  const at = (value: number) => x + 3 + ((value - from) / span) * (width - 6);
  const middle = y + height / 2;
  canvas.line([at(low), middle], [at(high), middle], { colour: SOFT, line: 0.6 });
  for (const end of [low, high]) {
    canvas.line([at(end), middle - 2.2], [at(end), middle + 2.2], { colour: SOFT, line: 0.6 });
  }
  if (quartiles !== null) {
    const [first, third] = quartiles;
    const width = Math.max(at(third) - at(first), 1);
    canvas.rectangle(at(first), middle - 2.6, width, 5.2, PALE_ACCENT);
  }
  canvas.line([at(median), middle - 3], [at(median), middle + 3], { colour: INK, line: 1 });
  for (const value of own) {
    const place = at(value);
    canvas.polygon(
      [
        [place, middle + 0.6],
        [place - 2, middle + 4.4],
        [place + 2, middle + 4.4],
      ],
      ACCENT,
    );
  }
}

/** Figures over time as a line; those that fell below `dropBelow` of the one before are marked. */
export function series(
  canvas: Canvas,
  { x, y, width, height }: { x: number; y: number; width: number; height: number },
  values: readonly number[],
  dropBelow: number,
): void {
  const low = Math.min(...values);
  const high = Math.max(...values);
  // Small changes stay small: the line takes the whole height only from a tenth on.
  const span = Math.max(high - low, high * 0.1) || 1;
  const step = (width - 6) / Math.max(values.length - 1, 1);
  const place = (value: number, index: number): [number, number] => [
    x + 3 + index * step,
    y + 1.5 + ((high - value) / span) * (height - 4.5),
  ];
  for (const [index, value] of values.entries()) {
    const before = values[index - 1];
    if (before !== undefined) {
      canvas.line(place(before, index - 1), place(value, index), { colour: ACCENT, line: 0.8 });
    }
  }
  for (const [index, value] of values.entries()) {
    const [left, top] = place(value, index);
    const before = values[index - 1];
    if (before !== undefined && value < dropBelow * before) {
      canvas.polygon(
        [
          [left - 2.6, top - 2],
          [left + 2.6, top - 2],
          [left, top + 2.8],
        ],
        WARNING,
      );
    } else if (index === values.length - 1) {
      canvas.rectangle(left - 1.2, top - 1.2, 2.4, 2.4, INK);
    }
  }
}
