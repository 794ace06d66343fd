/** The command line where what it writes cannot be written, or what was typed is nearly right: one sentence each. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { json, startFakeServer } from "./fake-server.ts";
import { buildCli, type CliProgram } from "./program.ts";

let cli: CliProgram;

beforeAll(async () => {
  cli = await buildCli();
});
afterAll(() => cli.remove());

test.skipIf(!existsSync("/dev/full")).each(["--version", "--help", "completion bash"])(
  "a full disk behind the output is said: %s",
  (args) => {
    const { status, stderr } = spawnSync(
      "sh",
      ["-c", `exec "$0" "$1" ${args} >/dev/full`, process.execPath, cli.file],
      { env: cli.env, encoding: "utf8" },
    );
    expect({ status, stderr }).toEqual({
      status: 1,
      stderr: "assay: the output cannot be written: no space left on device\n",
    });
  },
);

test("a report that cannot be stored is named as it was asked for", async () => {
  const server = await startFakeServer();
  server.on(
    "POST /api/silicon-mark/v1/jobs/512/report",
    json(202, { pdf_report_url: `${server.url}/r` }),
  );
  server.on("GET /r", (response) => void response.writeHead(200).end("%PDF"));
  const path = join(cli.folder, "nowhere/r.pdf");
  const { code, stderr } = await cli.run(["job", "report", "512", "--output", path], {
    ASSAY_HOST: server.url,
    ASSAY_TOKEN: "t",
  });
  await server.close();
  expect({ code, stderr }).toEqual({
    code: 1,
    stderr: `assay: ${path} cannot be written: no such file or directory\n`,
  });
});

test("a port that fetch refuses is said, at once", async () => {
  const from = Date.now();
  const { code, stderr } = await cli.run(["runner", "key", "r1"], {
    ASSAY_HOST: "http://127.0.0.1:9",
    ASSAY_TOKEN: "t",
  });
  expect({ code, stderr }).toEqual({
    code: 69,
    stderr:
      "assay: requests to http://127.0.0.1:9 are blocked: the port is reserved for another protocol\n",
  });
  // Without the pauses of repeats, of which the first four take 7 s at least.
  expect(Date.now() - from).toBeLessThan(6_000);
});

test("a verb that is nearly right is suggested in the same line", async () => {
  const { code, stderr } = await cli.run(["jobb"]);
  expect({ code, stderr }).toEqual({
    code: 2,
    stderr: "assay: unknown command 'jobb' (Did you mean job?)\n",
  });
});
