/** HostMark's figures of each machine: cores, memory and disk. */
import { hostMark } from "../../../benchmarks/host-mark.ts";
import type { HostFigures, ReportData } from "../../report-data.ts";
import type { Flow } from "../flow.ts";
import { runOf } from "../step-names.ts";
import { type Column, table } from "../table.ts";
import { SIZE, SOFT } from "../theme.ts";
import { capital, nodesOf, sentence } from "../writing.ts";
import { figureCell, MARK } from "./gpus.ts";

/** Short titles of the figures, in the order in which they are measured. */
const TITLES: Readonly<Record<string, string>> = {
  cpu_single_gbs: "SHA-256, 1",
  cpu_all_gbs: "SHA-256, all",
  effective_cores: "Cores",
  memory_triad_gbs: "Triad",
  memory_copy_gbs: "Copy",
  disk_sequential_write_mbs: "Disk write",
  disk_sequential_read_mbs: "Disk read",
  disk_random_read_p50_us: "4 KiB, 50 %",
  disk_random_read_p99_us: "4 KiB, 99 %",
};

const NOTE = `Cores, memory and disk of each machine, measured by HostMark; no baseline rates them. SHA-256: hashing by one thread and by all threads. Cores: all threads compared with one. Triad, Copy: memory bandwidth. 4 KiB: latency of random reads of the disk, median and 99th percentile. ${MARK} marks implausible figures, a dash figures that were not sent.`;

/** Agents send the reasons: a report quotes so many for each step. */
const MAX_REASONS = 8;

export function hosts(flow: Flow, { job, nodes }: ReportData): void {
  const runs = nodes.flatMap(({ rank, hosts: own }) => own.map((run) => ({ rank, run })));
  const byStep = Map.groupBy(runs, ({ run }) => run.key);
  let note: string | undefined = NOTE;
  for (const { key } of job.steps) {
    const rows = byStep.get(key);
    if (rows === undefined) continue;
    flow.heading(`Host${runOf(key)}`, 60, note);
    note = undefined;
    hostTable(flow, rows);
  }
}

function hostTable(flow: Flow, rows: readonly { rank: number; run: HostFigures }[]): void {
  table(
    flow,
    [
      { title: "Node", width: 28 },
      ...Object.entries(TITLES).map(
        ([metric, title]): Column => ({
          title,
          unit: hostMark.fields[metric]?.unit || "effective",
          width: 53,
          align: "right",
        }),
      ),
    ],
    rows.map(({ rank, run: { figures, implausible } }) => [
      String(rank),
      ...Object.keys(TITLES).map((metric) => figureCell(metric, figures, implausible)),
    ]),
    { dense: rows.length > 40 },
  );
  const style = { size: SIZE.small, colour: SOFT };
  const busy = rows.filter(({ run }) => run.isBusy);
  if (busy.length > 0) {
    flow.paragraph(`${capital(nodesOf(busy))}: measured while others used the machine.`, style);
  }
  const unsettled = rows.filter(({ run }) => run.isSettled === false);
  if (unsettled.length > 0) {
    flow.paragraph(`${capital(nodesOf(unsettled))}: some figures had not settled.`, style);
  }
  const without = Map.groupBy(
    rows.filter(({ run }) => run.diskReason !== null),
    ({ run }) => run.diskReason ?? "",
  );
  for (const [reason, list] of [...without].slice(0, MAX_REASONS)) {
    flow.paragraph(sentence(`${capital(nodesOf(list))}: disk not measured: ${reason}`), style);
  }
  const others = [...without.values()].slice(MAX_REASONS).flat();
  if (others.length > 0) {
    flow.paragraph(`${capital(nodesOf(others))}: disk not measured, for other reasons.`, style);
  }
}
