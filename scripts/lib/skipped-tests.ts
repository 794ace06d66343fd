import { relative } from "node:path";

/** The part of vitest's JSON report that is read here. */
export interface VitestReport {
  testResults: { name: string; assertionResults: { status: string }[] }[];
}

/** The file of each skipped test, relative to `root`. */
export function skippedTests(report: VitestReport, root: string): string[] {
  return report.testResults.flatMap(({ name, assertionResults }) =>
    assertionResults
      .filter(({ status }) => status === "skipped" || status === "pending")
      .map(() => relative(root, name)),
  );
}

/** A line for each file with skipped tests, below their number. */
export function describeSkipped(files: readonly string[]): string {
  if (files.length === 0) return "\nNo test was skipped.";
  const counts = new Map<string, number>();
  for (const file of files) counts.set(file, (counts.get(file) ?? 0) + 1);
  const lines = [...counts]
    .sort()
    .map(([file, count]) => `  ${String(count).padStart(3)}  ${file}`);
  return `\nSkipped: ${files.length}\n${lines.join("\n")}`;
}
