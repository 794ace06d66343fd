import { EXIT } from "./exit-codes.ts";
import { systemReason } from "./failure.ts";
import { VERSION } from "./version.ts";

/** What this program is built for. An older Node may fail anywhere; the oldest do not read this file at all. */
const OLDEST_NODE = 20;
if (Number.parseInt(process.versions.node, 10) < OLDEST_NODE) {
  process.stderr.write(
    `assay: this is Node ${process.versions.node}, and Node ${OLDEST_NODE} or newer is needed: curl -fsSL HOST/cli | sh finds or fetches one\n`,
  );
  process.exit(2);
}

for (const stream of [process.stdout, process.stderr]) {
  stream.on("error", (error: NodeJS.ErrnoException) => {
    // The reader has read enough, as head does.
    if (error.code === "EPIPE") process.exit();
    if (stream === process.stdout)
      process.stderr.write(`assay: the output cannot be written: ${systemReason(error)}\n`);
    process.exit(EXIT.failed);
  });
}

const argv = process.argv.slice(2);
if (argv.length === 1 && (argv[0] === "--version" || argv[0] === "-V")) {
  // Answered without loading the rest.
  process.stdout.write(`${VERSION}\n`);
} else {
  const { Stop } = await import("./stop.ts");
  const { run } = await import("./program.ts");
  const stop = new Stop();
  stop.listen();
  const code = await run(argv, process.env, stop);
  // What was written must have left; connections that are kept open must not hold the program.
  await new Promise<void>((done) => process.stdout.write("", () => done()));
  process.exit(code);
}
