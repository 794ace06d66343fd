import { followJob } from "./follow.ts";
import { addJobOptions, createJob, type JobOptions, joinLine } from "./job-options.ts";
import { type AnyCommand, type Open, verb } from "./open.ts";

interface RunOptions extends JobOptions {
  report: string | boolean;
  abortOnExit?: true;
}

export function runCommand(open: Open): AnyCommand {
  const command = verb("run", "Create a job, follow it, and show the verdict of each machine", [
    "assay run",
    "assay run --nodes 4 --benchmark cluster_network --expect h100-node",
    "assay run --nodes 2 --spec h100-node --abort-on-exit --json",
  ]);
  addJobOptions(command)
    .option("--report <file>", "where to save the PDF report; assay-job-ID.pdf by default")
    .option("--no-report", "save no report")
    .option("--abort-on-exit", "abort the job when this program is stopped, without asking");
  return command.action(async (given, self) => {
    // `as`: declared above.
    const options = given as RunOptions;
    const { report, abortOnExit = false, ...wanted } = options;
    const opened = open(self);
    const job = await createJob(opened, wanted);
    const { output, session } = opened;
    const line = joinLine(session().host, job, wanted);
    output.note(`Job ${job.id} (${job.name}) created.`);
    if (line === null) output.note(`Waiting for runners of ${wanted.spec}.`);
    else {
      output.note(
        job.node_count === 1
          ? "Run this on the machine:"
          : `Run this on each of the ${job.node_count} machines:`,
      );
      output.say(`\n  ${line}\n`);
    }
    await followJob(opened, {
      jobId: job.id,
      report: report === false ? null : report === true ? undefined : report,
      abortOnExit,
      mayAsk: true,
    });
  });
}
