/** A calibration as docs/measuring.md shows it. Pure. */
import type { CalibrationRow } from "./calibrate-gpu.ts";

/** How far from a shipped median a definition may be to count as the same. */
const SAME = 0.02;

/** Markdown. Rows within 2 % of the shipped median are marked. */
export function calibrationTable(rows: readonly CalibrationRow[]): string {
  const head = [
    "figure",
    "engine",
    "value",
    "of shipped",
    "settled",
    "spread",
    "drift",
    "W",
    "error",
  ];
  const lines = rows.map((row) => {
    const { name, engine, value, unit, ofShipped, settled, spread, drift, watts, error, fault } =
      row;
    const isSame = ofShipped !== null && Math.abs(ofShipped - 1) <= SAME;
    const shipped = ofShipped === null ? "" : `${percent(ofShipped)}${isSame ? " **same**" : ""}`;
    return [
      name,
      engine,
      value === null ? `not measured: ${fault ?? "unknown"}` : `${number(value)} ${unit}`,
      shipped,
      settled === null ? "" : settled ? "yes" : "no",
      spread === null ? "" : percent(spread),
      drift === null ? "" : percent(drift),
      watts === null ? "" : watts.toFixed(0),
      error === null ? "" : error.toPrecision(2),
    ];
  });
  return [head, head.map(() => "---"), ...lines]
    .map((cells) => `| ${cells.map((cell) => cell.replaceAll("|", "/")).join(" | ")} |`)
    .join("\n");
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}

function number(value: number): string {
  return value >= 100 ? value.toFixed(1) : value.toPrecision(3);
}
