/** The server's verdict on this node as lines for people. Pure. */
import type { Conclusion } from "./conclusion.ts";
import { number, SHOWN_METRICS } from "./figures-text.ts";
import { clip } from "./log.ts";
import { isRecord, type Outcome, records } from "./protocol.ts";

/** Lines of findings that are shown; the report has all. */
const MAX_FINDINGS = 5;
/** Texts come from the server, and end up in a terminal. */
const MAX_TEXT = 300;

const STATUS: Readonly<Record<string, string>> = {
  outperforming: "better than expected",
  expected: "as expected",
  underperforming: "UNDERPERFORMING",
  unrated: "not rated",
};

/** One entry for each line. */
export function describeConclusion(conclusion: Conclusion | null): string[] {
  if (conclusion === null) return ["verdict: the server did not answer; see the job's detail"];
  const { outcome, unfinishedNodes } = conclusion;
  if (unfinishedNodes !== null && unfinishedNodes > 0) {
    const nodes =
      unfinishedNodes === 1 ? "1 other node has" : `${unfinishedNodes} other nodes have`;
    return [`verdict: none yet; ${nodes} not ended`];
  }
  if (outcome === null) return [];
  return [...performanceOf(outcome), ...findingsOf(outcome), ...specOf(outcome)];
}

function performanceOf({ performance }: Outcome): string[] {
  if (performance === null) return ["verdict: not rated"];
  const { status, replayed, metrics } = performance;
  const word = STATUS[String(status)] ?? plain(status);
  const note = replayed === true ? " (the figures are REPLAYED)" : "";
  return [
    `verdict: ${word}${note}`,
    ...records(metrics)
      .filter(({ metric }) => String(metric) in SHOWN_METRICS)
      .map(metricLine),
  ];
}

/** `  BF16 per GPU 452.2 TFLOPS, 58.3 % of 775.6 (shipped, 4 samples): UNDERPERFORMING` */
function metricLine(verdict: Record<string, unknown>): string {
  const { metric, value, baseline, ratio, source, sample_size: samples, status, reason } = verdict;
  const [name, unit] = SHOWN_METRICS[String(metric)] ?? [plain(metric), ""];
  const figure = typeof value === "number" ? `${number(value)} ${unit}` : "no figure";
  const basis =
    typeof baseline === "number" && typeof ratio === "number"
      ? `, ${(ratio * 100).toFixed(1)} % of ${number(baseline)} (${plain(source).replaceAll("_", " ")}${typeof samples === "number" ? `, ${samples === 1 ? "1 sample" : `${samples} samples`}` : ""})`
      : "";
  const word = STATUS[String(status)] ?? plain(status);
  const why = status === "unrated" && typeof reason === "string" ? `: ${plain(reason)}` : "";
  return `  ${name} per GPU ${figure}${basis}: ${word}${why}`;
}

function findingsOf({ findings }: Outcome): string[] {
  const shown = (findings ?? []).slice(0, MAX_FINDINGS);
  const rest = (findings ?? []).length - shown.length;
  return [
    ...shown.map(({ message }) => `finding: ${plain(message)}`),
    ...(rest > 0 ? [`finding: ${rest} more in the job's report`] : []),
  ];
}

function specOf({ specCheck }: Outcome): string[] {
  if (specCheck === null) return [];
  const { status, fields } = specCheck;
  const differing = records(fields).filter((field) => field.status === "differs");
  return [
    `spec: ${plain(status)}`,
    ...differing.map(
      ({ field, promised, found }) =>
        `  ${plain(field)}: ${plain(promised)} promised, ${found === null ? "nothing" : plain(found)} found`,
    ),
  ];
}

/** Without control characters. */
function plain(value: unknown): string {
  const text = typeof value === "string" ? value : isRecord(value) ? "" : String(value ?? "");
  return clip(text.replace(/\p{Cc}+/gu, " "), MAX_TEXT);
}
