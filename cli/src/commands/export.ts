import { Option } from "@commander-js/extra-typings";
import { call } from "../api/client.ts";
import { saveReply } from "../job/report-file.ts";
import { type AnyCommand, type Open, parseId, verb } from "./open.ts";

const FORMATS = { csv: "text/csv", jsonl: "application/x-ndjson" } as const;
const FORMAT_NAMES = ["csv", "jsonl"] as const;

/** Streams the nodes of one job, or of all that the caller sees, with their figures. */
export function exportVerb(open: Open): AnyCommand {
  return verb("export", "Export the nodes of a job, or of all jobs, with verdicts and figures", [
    "assay job export 7554621440 > nodes.csv",
    "assay job export --format jsonl --output all.jsonl",
  ])
    .argument("[job]", "id of the job; all jobs by default", parseId)
    .addOption(
      new Option("--format <format>", "csv or jsonl").choices(FORMAT_NAMES).default("csv" as const),
    )
    .option("-o, --output <file>", "file; standard output by default", "-")
    .action(async (job, { format, output: file }, self) => {
      const { session, output, stop } = open(self);
      const caller = session();
      const address = new URL("/api/silicon-mark/v1/tasks", caller.host);
      if (job !== undefined) address.searchParams.set("job_id", job);
      const request = new Request(address, { headers: { accept: FORMATS[format] } });
      const reply = await call(caller, request, { signal: stop.signal, isStream: true });
      await saveReply(reply, file, stop.signal);
      if (file !== "-")
        await output.result({ output: file, format }, () => [`Exported to ${file}`]);
    });
}
