/**
 * Draws a report. Imported only dynamically, so that no other request loads the PDF library and the tables of
 * transliteration.
 */
import type { ReportData } from "../report-data.ts";
import { attachData, type DataExtent, type PackedData } from "./attachment.ts";
import { addOutline, addPages } from "./document.ts";
import { Flow } from "./flow.ts";
import { addMetadata } from "./metadata.ts";
import { noticesOf } from "./notices.ts";
import { PAPERS } from "./paper.ts";
import { PdfFile } from "./pdf-file.ts";
import { baselines } from "./sections/baselines.ts";
import { checking, checkingHeight } from "./sections/checking.ts";
import { conditions } from "./sections/conditions.ts";
import { title, verdictPanel } from "./sections/cover.ts";
import { findings } from "./sections/findings.ts";
import { gpuPairs } from "./sections/gpu-pairs.ts";
import { gpuTable, implausibleReadings, telemetry } from "./sections/gpus.ts";
import { history } from "./sections/history.ts";
import { hosts } from "./sections/host.ts";
import { identity } from "./sections/identity.ts";
import { machines } from "./sections/machines.ts";
import { networks } from "./sections/network.ts";
import { distributions, isLong, nodeTable } from "./sections/nodes.ts";
import { measured } from "./sections/quality.ts";
import { events, method, steps } from "./sections/record.ts";
import { Type } from "./type.ts";
import { type FontFiles, typefacesOf } from "./typeface.ts";

/** Bounds of the characters in a report's tables. A job of 256 nodes with 8 GPUs each has about 250,000. */
const MAX_CHARACTERS = { job: 500_000, task: 100_000 };

export interface DrawOptions {
  /** The content hash printed in the report. */
  hash: string;
  fonts: FontFiles;
  /** The key that signed the data; null or absent for an unsigned report. */
  kid?: string | null;
  /** The data of the report, to be embedded (`signing.ts`). */
  data?: PackedData;
  /** Called between sections, to let other requests run. */
  breathe?: () => Promise<void>;
}

/** A report's file. */
export interface Drawn {
  bytes: Uint8Array;
  /** The place of the embedded data; null without embedded data. */
  data: DataExtent | null;
}

/** The report as a PDF: the same bytes for the same data and hash. */
export async function drawReport(data: ReportData, options: DrawOptions): Promise<Drawn> {
  const { hash, fonts, breathe = () => Promise.resolve() } = options;
  const { job, subject } = data;
  const type = new Type(typefacesOf(fonts), MAX_CHARACTERS[subject.kind]);
  const what = subject.kind === "job" ? `Job ${subject.id}` : `Job ${job.id}, node ${subject.rank}`;
  const file = new PdfFile();
  const flow = new Flow(file, type, {
    paper: PAPERS[data.paper],
    notices: noticesOf(data),
    running: `${what}: ${job.name}`,
  });
  for (const section of sectionsOf(flow, data, { hash, kid: options.kid ?? null })) {
    section();
    await breathe();
  }
  const finished = flow.finish(
    `${what}   Assay ${data.release}`,
    `Content hash ${hash.slice(0, 32)}…`,
  );
  const pages = await addPages(file, type, finished, breathe);
  const node = subject.kind === "job" ? "" : `, node ${subject.rank}`;
  const described = {
    title: `${job.name}${node}: hardware benchmark report`,
    subject: `Job ${job.id}${node}, content hash ${hash}`,
    release: data.release,
    at: job.endedAt ?? job.createdAt,
  };
  const attached = options.data ? attachData(file, options.data, described.at) : null;
  const { info, entries: metadata } = addMetadata(file, described, type.originals);
  const parts = [
    pages,
    addOutline(file, flow),
    flow.structure.end(),
    attached?.entries ?? "",
    metadata,
  ];
  const root = file.add(`<</Type/Catalog${parts.join("")}>>`);
  const bytes = file.end({ root, info, id: hash.slice(0, 32) });
  return { bytes, data: attached?.extent ?? null };
}

function sectionsOf(
  flow: Flow,
  data: ReportData,
  check: { hash: string; kid: string | null },
): (() => void)[] {
  return [
    () => title(flow, data),
    () => findings(flow, data),
    () => verdictPanel(flow, data),
    () => identity(flow, data),
    ...(isLong(data) ? [] : [() => nodeTable(flow, data)]),
    () => baselines(flow, data),
    () => distributions(flow, data),
    ...(isLong(data) ? [() => nodeTable(flow, data)] : []),
    () => history(flow, data),
    () => hosts(flow, data),
    () => networks(flow, data),
    () => gpuTable(flow, data),
    () => conditions(flow, data),
    () => gpuPairs(flow, data),
    () => telemetry(flow, data),
    () => implausibleReadings(flow, data),
    () => machines(flow, data),
    () => measured(flow, data),
    () => steps(flow, data),
    () => events(flow, data),
    () => method(flow, data, checkingHeight(flow, data, check.kid)),
    () => checking(flow, data, check),
  ];
}
