/** Every verb of the command line against the whole stack, with both outputs. */
import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import type { AnyCommand } from "../../cli/src/commands/open.ts";
import { createProgram } from "../../cli/src/program.ts";
import { Stop } from "../../cli/src/stop.ts";
import { fetchAgent, startAgent } from "../../scripts/lib/agents.ts";
import { ROOT } from "../../scripts/lib/project.ts";
import type { RunningServer } from "../../scripts/lib/server.ts";
import { writeProfile } from "../cli/profiles.ts";
import { buildCli, type CliProgram } from "../cli/program.ts";
import { hasTmux, openPseudoTerminal } from "../cli/pseudo-terminal.ts";
import { createStack, type Stack } from "./stack.ts";

const JOBS = "/api/silicon-mark/v1/jobs";

let cli: CliProgram;
let stack: Stack;
let server: RunningServer;
let session: string;
/** Verbs that were run to their end, by output. */
const done = { text: new Set<string>(), json: new Set<string>() };

beforeAll(async () => {
  cli = await buildCli();
  stack = await createStack(afterAll);
  server = await stack.start();
  const { adminEmail: username, adminPassword: password } = server.secrets;
  const body = new URLSearchParams({ grant_type: "password", username, password });
  const reply = await fetch(`${server.url}/token`, { method: "POST", body });
  const tokens = (await reply.json()) as { access_token: string; refresh_token: string };
  session = tokens.access_token;
  writeProfile(cli, {
    host: server.url,
    email: username,
    access_token: tokens.access_token,
    refresh_token: tokens.refresh_token,
  });
});
afterAll(() => cli.remove());

const program = createProgram({}, new Stop());

/** The verb that a command line names, such as `runner spec add`. */
function verbOf(args: readonly string[]): string {
  let command: AnyCommand = program;
  const names: string[] = [];
  for (const word of args) {
    const next = command.commands.find((one) => one.name() === word);
    if (next === undefined) break;
    command = next;
    names.push(word);
  }
  return names.join(" ");
}

/** Runs a line for people; answers what it printed. */
async function text(args: readonly string[], env = {}, code = 0): Promise<string> {
  const ended = await cli.run(args, env);
  expect(ended.code, `${args.join(" ")}: ${ended.stderr}`).toBe(code);
  done.text.add(verbOf(args));
  return ended.stdout;
}

/** Runs a line with --json; answers its one document. */
async function document(args: readonly string[], env = {}, code = 0) {
  const ended = await cli.run([...args, "--json"], env);
  expect(ended.code, `${args.join(" ")}: ${ended.stderr}`).toBe(code);
  done.json.add(verbOf(args));
  return JSON.parse(ended.stdout);
}

const words = (line: string) => line.split(" ");

/** Measured results of a node of a job, as an agent sends them. */
async function measure(token: string, machine: string, bf16: number): Promise<void> {
  const call = async (method: string, path: string, body: object, task = "") => {
    const headers = {
      authorization: `Bearer ${token}`,
      "content-type": "application/json",
      ...(task === "" ? {} : { "assay-task-token": task }),
    };
    const reply = await fetch(`${server.url}${JOBS}/current${path}`, {
      method,
      headers,
      body: JSON.stringify(body),
    });
    expect(reply.ok, await reply.clone().text()).toBe(true);
    return (await reply.json()) as { id: string; task_token: string };
  };
  const joined = await call("POST", "/tasks", {
    machine_uuid: machine,
    gpu_model: "NVIDIA A100-SXM4-40GB",
    gpu_count: 1,
    join_secret: "a-secret-of-22-characters",
  });
  await fetch(`${server.url}${JOBS}/current?task_id=${joined.id}`, {
    headers: { authorization: `Bearer ${token}`, "assay-task-token": joined.task_token },
  });
  const results = { aggregate_results: { bf16_tflops: bf16, memory_bandwidth_gbs: 1371 } };
  const times = { started_at: "2026-01-01T00:00:00Z", ended_at: "2026-01-01T00:05:00Z" };
  await call(
    "PUT",
    `/tasks/${joined.id}/results/0`,
    { state: "completed", ...times, results },
    joined.task_token,
  );
}

const MACHINES = [
  "550e8400-e29b-41d4-a716-446655440000",
  "550e8400-e29b-41d4-a716-446655440001",
] as const;

describe("specs and runners", () => {
  test("are created, listed, viewed, changed, deleted", async () => {
    const shape = words("--architecture x86_64 --cpu 26 --memory 224GiB --disk 1TiB");
    const spec = await document(["spec", "create", "--name", "H100 node", ...shape]);
    expect(spec).toMatchObject({
      slug: "h100-node",
      memory: 224 * 2 ** 30,
      disk: 2 ** 40,
      network: false,
    });
    expect(await text(["spec", "create", "--name", "Other", ...shape, "--network"])).toContain(
      "224 GiB",
    );
    expect((await document(words("spec list --search h100"))).results).toEqual([spec]);
    expect(await text(words("spec list --name Other"))).toContain("other");
    expect(await document(words("spec view h100-node"))).toEqual(spec);
    expect(await text(words("spec get h100-node"))).toContain(spec.uuid);
    await text(words("spec view h100-node"));
    expect(await document(["spec", "update", "h100-node", "--name", "H100"])).toMatchObject({
      name: "H100",
    });
    expect(await text(words("spec update other --archive"))).toContain("Archived");
    expect((await document(words("spec list --archived"))).total).toBe(2);
    expect(await document(words("spec delete other"))).toEqual({ deleted: "other" });
    await text(["spec", "create", "--name", "Third", ...shape]);
    expect(await text(words("spec delete third"))).toBe("spec third deleted\n");

    const runner = await document(["runner", "create", "--name", "Rack 7"]);
    expect(runner.key).toMatch(/^bencher_runner_/);
    expect(await text(["runner", "create", "--name", "Rack 8"])).toContain("bencher_runner_");
    expect((await document(words("runner list"))).results).toHaveLength(2);
    expect(await text(words("runner list"))).toContain("rack-7");
    expect(await document(words("runner view rack-7"))).toMatchObject({
      uuid: runner.uuid,
      state: "offline",
    });
    await text(words("runner view rack-7"));
    expect(await document(words("runner update rack-8 --archive"))).toMatchObject({
      slug: "rack-8",
    });
    await text(words("runner update rack-8 --unarchive"));
    expect((await document(words("runner key rack-7"))).key).not.toBe(runner.key);
    expect(await text(words("runner key rack-7"))).toContain("bencher_runner_");
    expect(await document(words("runner spec add rack-7 --spec h100-node"))).toMatchObject({
      slug: "h100-node",
    });
    expect((await document(words("runner spec list rack-7"))).total).toBe(1);
    expect(await text(words("runner spec list rack-7"))).toContain("h100-node");
    await text(words("runner spec remove rack-7 h100-node"));
    await text(words("runner spec add rack-7 --spec h100-node"));
    expect(await document(words("runner spec remove rack-7 h100-node"))).toEqual({
      runner: "rack-7",
      removed: "h100-node",
    });
  });
});

describe("people, tokens, keys", () => {
  test("customers are created, listed, viewed, changed", async () => {
    const made = await document(["customer", "create", "--name", "Example Labs"]);
    await text(["customer", "create", "--name", "Others"]);
    expect((await document(words("customer list --search example"))).results).toEqual([made]);
    await text(words("customer list"));
    expect(await document(words("customer view example-labs"))).toEqual(made);
    await text(words("customer view example-labs"));
    expect(await document(words("customer update others --slug third"))).toMatchObject({
      slug: "third",
    });
    await text(["customer", "update", "third", "--name", "Third"]);
  });

  test.each(["token", "key"])(
    "a %s is created, works, is listed, renamed, revoked",
    async (kind) => {
      const made = await document(words(`${kind} create --name nightly --ttl 30d --scope read`));
      const secret = made[kind];
      const other = await text(words(`${kind} create --name other`));
      expect(other).toMatch(kind === "key" ? /bencher_user_/ : /ey/);
      expect((await document(["whoami"], { ASSAY_TOKEN: secret })).email).toBe(
        server.secrets.adminEmail,
      );
      const refused = await cli.run(["job", "create"], { ASSAY_TOKEN: secret });
      expect(refused.code).toBe(77);
      expect((await document(words(`${kind} list`))).total).toBe(2);
      expect(await text(words(`${kind} list --search night`))).toContain("nightly");
      expect(await document(words(`${kind} view ${made.uuid}`))).toMatchObject({
        name: "nightly",
        scope: "read",
      });
      await text(words(`${kind} view ${made.uuid}`));
      expect(await document(words(`${kind} update ${made.uuid} --name weekly`))).toMatchObject({
        name: "weekly",
      });
      await text(words(`${kind} update ${made.uuid} --name daily`));
      const status = await document(["status"], { ASSAY_TOKEN: secret });
      expect(status.token).toContain(kind === "key" ? "API key" : "API token");
      if (kind === "token") expect(status.may).toContain("read only");
      expect(await document(words(`${kind} revoke ${made.uuid}`))).toEqual({ revoked: made.uuid });
      const [{ uuid }] = (await document(words(`${kind} list`))).results;
      expect(await text(words(`${kind} revoke ${uuid}`))).toContain("revoked");
      expect((await document(words(`${kind} list --revoked`))).total).toBe(2);
      expect((await cli.run(["whoami"], { ASSAY_TOKEN: secret })).code).toBe(77);
      expect((await cli.run(["status"], { ASSAY_TOKEN: secret })).code).toBe(77);
    },
  );

  test.skipIf(!hasTmux)(
    "people are created, changed and deleted, with passwords typed at a terminal",
    async () => {
      const type = async (args: string[], ...secrets: [string, string][]) => {
        const terminal = openPseudoTerminal(cli, args, { columns: 150 });
        onTestFinished(() => terminal.close());
        for (const [question, secret] of secrets) {
          await terminal.shows(question);
          terminal.type(secret);
          terminal.press("Enter");
        }
        expect(await terminal.ended(), terminal.screen()).toBe(0);
        const isJson = args.includes("--json");
        done[isJson ? "json" : "text"].add(verbOf(args));
        return terminal.screen();
      };
      const password = "correct horse battery staple";
      const twice: [string, string][] = [
        ["12 to 128", password],
        ["Confirm", password],
      ];
      const ada = [
        "user",
        "create",
        "--email",
        "ada@example.com",
        "--name",
        "Ada",
        "--customer",
        "default",
      ];
      expect(await type(ada, ...twice)).toContain("ada@example.com");
      const bob = ada.map((word) => word.replace("ada@", "bob@").replace("Ada", "Bob"));
      expect(await type([...bob, "--json"], ...twice)).toContain('"slug": "bob"');
      expect((await document(words("user list --search ada"))).total).toBe(1);
      expect(await text(words("user list"))).toContain("bob@example.com");
      expect(await document(words("user view ada"))).toMatchObject({ role: "user", locked: false });
      await text(words("user view ada"));
      expect(await document(words("user update ada --role customer_admin"))).toMatchObject({
        role: "customer_admin",
      });
      await text(words("user update ada --lock"));
      await text(words("user update ada --unlock"));
      expect((await document(words("user link ada"))).url).toContain("/set-password#");
      expect(await text(words("user link ada"))).toContain("/set-password#");
      expect(await document(words("user delete ada --yes"))).toEqual({ deleted: "ada" });
      expect(await text(words("user delete bob --yes"))).toBe("bob deleted\n");

      const { adminPassword } = server.secrets;
      const other = `${adminPassword}-2`;
      await type(
        ["user", "password"],
        ["Current", adminPassword],
        ["12 to 128", other],
        ["Confirm", other],
      );
      await type(
        ["user", "password", "--json"],
        ["Current", other],
        ["12 to 128", adminPassword],
        ["Confirm", adminPassword],
      );
    },
  );
});

describe("jobs", () => {
  let token: string;
  let first: string;
  let second: string;

  test("assay run ends with the verdict of real agents, and saves the report", async () => {
    const folder = stack.folder;
    const agent = await fetchAgent(server.url, folder);
    const replayFile = join(ROOT, "agent/replays/h100-nvl-x1.json");
    for (const output of ["text", "json"] as const) {
      const options = words("run --nodes 2 --benchmark cluster_network --report report.pdf");
      const running = cli.start([...options, ...(output === "json" ? ["--json"] : [])]);
      await running.printed("--token ");
      const [, joined = ""] = /--token (\S+)/.exec(running.output.stderr) ?? [];
      const agents = [0, 1].map((index) =>
        startAgent({
          program: agent,
          index,
          host: server.url,
          token: joined,
          clusterAddress: `127.0.0.1:${19_300 + index}`,
          replayFile,
        }),
      );
      onTestFinished(async () => {
        for (const one of agents) await one.stop();
      });
      const { code, stdout, stderr } = await running.ended;
      // Recordings are not rated.
      expect(code, stderr).toBe(4);
      expect(stderr).toContain("node 0 joined");
      done[output].add("run");
      if (output === "text") {
        expect(stdout).toContain("REPLAYED");
        expect(stdout).toMatch(/from \\ to +node 0 +node 1/);
      } else {
        const { exit_code, job, results, report } = JSON.parse(stdout);
        expect({ exit_code, report, state: job.state }).toEqual({
          exit_code: 4,
          report: "report.pdf",
          state: "completed",
        });
        expect(results.cluster_network.results.measurements).toHaveLength(2);
        first = job.id;
      }
      expect(readFileSync(join(cli.folder, "report.pdf"), "utf8").slice(0, 5)).toBe("%PDF-");
    }
  });

  test("a job is created, listed, watched, viewed, reported, exported", async () => {
    const created = await document([
      "job",
      "create",
      "--name",
      "Slow one",
      "--tag",
      "cli",
      "--provider",
      "Lambda",
      "--region",
      "us-east-1",
    ]);
    token = created.token;
    second = created.id;
    const idle = await text(["job", "create", "--name", "Idle", "--provider", "Other"]);
    const line = /curl -fsSL .*/.exec(idle)?.[0];
    const waiting = await text(["job", "view", /\b\d{10,16}\b/.exec(idle)?.[0] ?? ""]);
    expect(waiting).toContain(`Run this on one more machine:\n${line}\n`);
    await measure(token, MACHINES[0], 170);
    const watched = await document(["job", "watch", second], {}, 3);
    expect(watched.job.scoreboard_summary.status).toBe("underperforming");
    expect(await text(["job", "watch", second], {}, 3)).toMatch(
      /node 0: BF16 TFLOPS 170\.0 per GPU, 67 % of 255\.\d \(shipped, \d+ runs\)/,
    );
    const list = await document(
      words("job list --filter tags=cli --created-after 1h --provider lambda"),
    );
    expect(list.results.map(({ id }: { id: string }) => id)).toEqual([second]);
    expect(await text(words("job list --state completed"))).toContain("underperforming");
    expect((await document(words("job list --all --per-page 1"))).results).toHaveLength(4);
    expect((await document(["job", "view", second])).id).toBe(second);
    expect(await text(["job", "view", second])).toContain("node 0 joined");
    expect(Object.keys(await document(["job", "results", first]))).toEqual(["cluster_network"]);
    expect(await text(["job", "results", first])).toContain("Cluster Network");
    expect(await document(["job", "report", second, "-o", "a.pdf"])).toEqual({
      job_id: second,
      report: "a.pdf",
    });
    expect(await text(["job", "report", second])).toBe(`Report: assay-job-${second}.pdf\n`);
    expect(existsSync(join(cli.folder, `assay-job-${second}.pdf`))).toBe(true);
    expect(await text(["job", "export", second])).toContain("bf16_tflops_per_gpu");
    expect(await document(["job", "export", "--format", "jsonl", "-o", "all.jsonl"])).toEqual({
      output: "all.jsonl",
      format: "jsonl",
    });
    const lines = readFileSync(join(cli.folder, "all.jsonl"), "utf8").trim().split("\n");
    expect(lines).toHaveLength(5);
  });

  test("tasks, machines and comparisons tell the same", async () => {
    const { results } = await document(["task", "list", "--job-id", second]);
    expect(results).toHaveLength(1);
    expect(await text(words("task list --performance-status underperforming"))).toContain(
      MACHINES[0],
    );
    expect((await document(["task", "view", results[0].id])).performance.status).toBe(
      "underperforming",
    );
    expect(await text(["task", "view", results[0].id])).toContain("BF16 TFLOPS 170.0 per GPU");

    const again = await document(["job", "create", "--name", "Good one", "--provider", "Other"]);
    await measure(again.token, MACHINES[1], 255);
    await text(["job", "watch", again.id, "--quiet"]);
    expect((await document(words("machine list --provider lambda"))).results).toMatchObject([
      { machine_uuid: MACHINES[0], status: "underperforming" },
    ]);
    expect(await text(words("machine list --status underperforming"))).toContain("us-east-1");
    expect(await document(["machine", "view", MACHINES[0]])).toMatchObject({
      jobs: 1,
      last_job_id: second,
    });
    expect(await text(["machine", "view", MACHINES[0]])).toContain("Lambda");
    expect(
      (await document(["machine", "history", MACHINES[0], "--metric", "bf16_tflops"])).points,
    ).toMatchObject([{ value: 170 }]);
    expect(await text(["machine", "history", MACHINES[0]])).toContain("67 %");

    const compared = await document(["compare", second, again.id, "--metric", "bf16_tflops"]);
    expect(compared.group_by).toBe("job");
    const [one, other] = compared.comparisons[0].groups;
    expect(one).toMatchObject({ median: 170, ratio: 1, is_best: false, n: 1, machines: 1 });
    expect(other).toMatchObject({ median: 255, ratio: 1.5, is_best: true });
    expect(await text(["compare", ...MACHINES])).toContain("50.0 % above the next");
    expect(await text(words("compare --by provider Lambda Other"))).toContain("Best");
    expect((await cli.run(words("compare Lambda Other"))).code).toBe(2);
    expect((await cli.run(words("compare --by provider Nobody Noone"))).code).toBe(4);
  });

  test("jobs are aborted and deleted", async () => {
    const idle = await document(words("job list --name Idle"));
    const [{ id }] = idle.results;
    expect(await document(["job", "abort", id])).toMatchObject({ id, state: "aborted" });
    expect(await text(["job", "abort", id])).toBe(`job ${id} aborted\n`);
    expect(await document(["job", "delete", id, "--yes"])).toMatchObject({ deleted: id });
    expect(await text(["job", "delete", first, "--yes"])).toBe(`job ${first} deleted\n`);
    expect((await cli.run(["job", "view", id])).code).toBe(1);
  });

  test("baselines are listed, viewed, pinned, unpinned; the audit log has it", async () => {
    expect((await document(words("baseline list"))).total).toBeGreaterThan(10);
    expect(await text(words("baseline list"))).toContain("h100-nvl");
    expect(await document(words("baseline pin h100-nvl bf16_tflops 460"))).toMatchObject({
      value: 460,
      source: "pinned",
    });
    expect(await text(words("baseline pin h100-nvl bf16_tflops 461.5"))).toContain("461.5");
    expect((await document(words("baseline view h100-nvl bf16_tflops"))).value).toBe(461.5);
    await text(words("baseline view h100-nvl memory_bandwidth_gbs"));
    await document(words("baseline unpin h100-nvl bf16_tflops"));
    await text(words("baseline pin h100-nvl bf16_tflops 460"));
    expect(await text(words("baseline unpin h100-nvl bf16_tflops"))).toContain("unpinned");
    const { results } = await document(words("audit --action baseline_pinned"));
    expect(results).toHaveLength(3);
    expect(await text(words("audit --per-page 5"))).toContain("baseline_unpinned");
  });
});

test("who one is, the server, and the profiles", async () => {
  expect((await document(["whoami"])).role).toBe("root_admin");
  expect(await text(["whoami"])).toContain(server.secrets.adminEmail);
  expect(await document(["status"])).toMatchObject({
    host: server.url,
    profile: "default",
    token: "session",
    role: "root_admin",
    may: "everything",
  });
  expect(await text(["status"])).toMatch(/Clock skew +0 s/);
  for (const output of [text, document]) {
    await output(["login", "--profile", "bot", "--host", server.url, "--token", session]);
    await output(["logout", "--profile", "bot"]);
  }
  for (const shell of ["bash", "zsh", "fish"]) {
    expect((await document(["completion", shell])).script).toContain("__complete");
    expect(await text(["completion", shell])).toContain("__complete");
  }
});

test("the script at /cli knows the server, and the program is served whole", async () => {
  const script = await fetch(`${server.url}/cli`);
  expect(script.headers.get("content-type")).toContain("text/plain");
  expect(await script.text()).toContain(`host='${server.url}'`);
  const file = await (await fetch(`${server.url}/assay.mjs`)).text();
  expect(file.trimEnd().split("\n").at(-1)).toBe("// The end of assay.mjs.");
  // Nothing lies beside it there.
  const alone = join(mkdtempSync(join(stack.folder, "alone-")), "assay.mjs");
  writeFileSync(alone, file);
  // The server's front runs in this process, which must not stand still.
  const run = promisify(execFile);
  const { stdout } = await run(process.execPath, [alone, "whoami"], { env: cli.env });
  expect(stdout).toContain(server.secrets.adminEmail);
});

test("no verb was left out, with either output", () => {
  const leaves = (command: AnyCommand, path: string[]): string[] =>
    command.commands.length === 0
      ? [path.join(" ")]
      : command.commands.flatMap((one) => leaves(one, [...path, one.name()]));
  const all = leaves(program, []).filter((name) => name !== "__complete" && name !== "help");
  // Without tmux nobody can type passwords.
  const typed = hasTmux ? [] : all.filter((name) => name.startsWith("user "));
  const missing = (set: Set<string>) =>
    all.filter((name) => !set.has(name) && !typed.includes(name));
  expect(missing(done.text)).toEqual([]);
  expect(missing(done.json)).toEqual([]);
});
