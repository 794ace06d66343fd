/** Shares as people read them, in findings, verdicts and reports alike. */

/** A share in a sentence: 0.583 is "58.3 %", 0.9 is "90 %". */
export function percent(ratio: number): string {
  return `${Math.round(ratio * 1_000) / 10} %`;
}

/** A share in a column of shares: 1 is "100.0 %". */
export function columnPercent(ratio: number): string {
  return `${(Math.round(ratio * 1_000) / 10).toFixed(1)} %`;
}
