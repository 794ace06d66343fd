/** The files of docs/guide, run as far as a machine without Docker, Kubernetes and Slurm can: see `container-stand-in.ts`. */
import { spawn, spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { readIdentity } from "../../agent/src/identity.ts";
import { AGENT_END, renderBootstrap } from "../../scripts/lib/bootstrap.ts";
import { ROOT } from "../../scripts/lib/project.ts";
import { type AgentProgram, buildAgent } from "./agent-program.ts";
import { hasContainers, startContainer } from "./container-stand-in.ts";
import { type FakeServer, JOB_TOKEN, startFakeServer } from "./fake-server.ts";
import { type Gateway, startGateway } from "./gateway-stand-in.ts";
import { until } from "./helpers.ts";

const GUIDE = join(ROOT, "docs/guide");
const has = (name: string) => spawnSync("sh", ["-c", `command -v ${name}`]).status === 0;
const SCRIPT = renderBootstrap("http://registry.invalid");
/** Of the images that the files name, only this is assumed: a shell, the usual tools, Node or something to fetch with. */
const PATH = `${dirname(process.execPath)}:/usr/local/bin:/usr/bin:/bin`;

let agent: AgentProgram;
let folder: string;
let server: FakeServer;
let gateway: Gateway;
const ends: (() => void)[] = [];

beforeAll(async () => {
  agent = await buildAgent();
});
afterAll(() => agent.remove());
beforeEach(async () => {
  folder = mkdtempSync(join(agent.folder, "guide-"));
  await serve(1);
});
afterEach(async () => {
  for (const end of ends.splice(0)) end();
  await gateway.close();
  await server.close();
});

/** A server that hands out the agent, too. */
async function serve(nodeCount: number): Promise<void> {
  server = await startFakeServer({ nodeCount });
  gateway = await startGateway(server.port);
  const program = `${readFileSync(agent.file, "utf8")}\n${AGENT_END}\n`;
  gateway.answer = ({ url }) => {
    if (url === "/agent") return { status: 200, text: SCRIPT };
    return url === "/agent.mjs" ? { status: 200, text: program } : undefined;
  };
}

/** A folder of programs that come before all others. */
function programs(files: Record<string, string>): string {
  const bin = mkdtempSync(join(folder, "bin-"));
  for (const [name, text] of Object.entries(files)) {
    writeFileSync(join(bin, name), `#!/bin/sh\n${text}\n`);
    chmodSync(join(bin, name), 0o755);
  }
  return `${bin}:${PATH}`;
}

/** Runs a file of the guide by a shell. */
async function runFile(name: string, env: Record<string, string>, change = (text: string) => text) {
  const file = join(folder, name);
  writeFileSync(file, change(readFileSync(join(GUIDE, name), "utf8")));
  const common = { ASSAY_HOST: gateway.url, ASSAY_TOKEN: JOB_TOKEN, HOME: folder };
  const child = spawn("sh", [file], { env: { PATH, ...common, ...env } });
  ends.push(() => child.kill("SIGKILL"));
  let [stdout, stderr] = ["", ""];
  child.stdout.on("data", (chunk) => {
    stdout += chunk;
  });
  child.stderr.on("data", (chunk) => {
    stderr += chunk;
  });
  const code = await new Promise<number | null>((done) => child.once("close", done));
  return { code, stdout, stderr };
}

const uuidOf = (key: string) => readIdentity({ ASSAY_MACHINE_KEY: key }).uuid;

describe("Docker", () => {
  /** What `docker run` is asked for, and its standard input. */
  async function ask() {
    const path = programs({
      docker: `printf '%s\\n' "$@" > "${folder}/args"; cat > "${folder}/stdin"`,
    });
    const key = { PATH: path, ASSAY_MACHINE_KEY: "a machine" };
    const { code, stderr } = await runFile("assay-docker.sh", key);
    expect(code, stderr).toBe(0);
    const args = readFileSync(join(folder, "args"), "utf8").trimEnd().split("\n");
    const image = args.findIndex((each) => each.startsWith("pytorch/"));
    const stdin = readFileSync(join(folder, "stdin"), "utf8");
    return { options: args.slice(0, image).join(" "), command: args.slice(image + 1), stdin };
  }

  test("gets a root that is read-only, no rights, and a token that no list of processes shows", async () => {
    const { options, stdin } = await ask();
    expect(options).toMatch(/^run --rm --interactive /);
    expect(options).toMatch(/--read-only .*--cap-drop ALL .*no-new-privileges/);
    expect(options).toMatch(/--env ASSAY_TOKEN --env ASSAY_MACHINE_KEY /);
    expect(options).not.toContain(JOB_TOKEN);
    expect(stdin).toBe(SCRIPT);
  });

  test.skipIf(!hasContainers)(
    "its command runs the agent as process 1 of such a container",
    async () => {
      const { command, stdin } = await ask();
      const env = { PATH, ASSAY_HOST: gateway.url, ASSAY_TOKEN: JOB_TOKEN, ASSAY_MACHINE_KEY: "m" };
      const caches = { XDG_CACHE_HOME: "/tmp/cache", XDG_STATE_HOME: "/tmp/state" };
      const run = startContainer({ command, env: { ...env, ...caches }, volumes: {}, stdin });
      ends.push(run.kill);
      expect(await run.exit, run.output.stderr).toBe(1);
      expect(JSON.parse(run.output.stdout)).toMatchObject({
        state: "failed",
        agent: { machine_uuid: uuidOf("m"), gpu: { outcome: "could not be asked" } },
      });
    },
  );

  test("a server that is not there: nothing is started, and the exit code says so", async () => {
    const path = programs({ docker: `echo started > "${folder}/args"` });
    const away = { PATH: path, ASSAY_MACHINE_KEY: "m", ASSAY_HOST: "http://127.0.0.1:9" };
    expect((await runFile("assay-docker.sh", away)).code).not.toBe(0);
    expect(() => readFileSync(join(folder, "args"))).toThrow();
  });
});

interface Manifest {
  apiVersion: string;
  kind: string;
  spec: {
    completions: number;
    parallelism: number;
    completionMode: string;
    podFailurePolicy: { rules: { onExitCodes?: { containerName: string; values: number[] } }[] };
    template: {
      spec: {
        restartPolicy: string;
        terminationGracePeriodSeconds: number;
        containers: {
          name: string;
          command: string[];
          args: string[];
          env: {
            name: string;
            value?: string;
            valueFrom?: { fieldRef?: { fieldPath: string }; secretKeyRef?: { name: string } };
          }[];
          securityContext: object;
          volumeMounts: { name: string; mountPath: string }[];
        }[];
        volumes: { name: string; configMap?: object; emptyDir?: object }[];
      };
    };
  };
}

describe("Kubernetes", () => {
  const text = readFileSync(join(GUIDE, "assay-job.yaml"), "utf8");
  const manifest: Manifest = parse(text, { strict: true, uniqueKeys: true });
  const { spec } = manifest;
  const pod = spec.template.spec;
  const [container, ...others] = pod.containers;
  if (container === undefined) throw new Error("the manifest has no container");

  /** The environment that a pod gets, as the kubelet makes it: variables may use those before them. */
  function environment(index: number): Record<string, string> {
    const fields: Record<string, string> = {
      "metadata.labels['batch.kubernetes.io/controller-uid']": "6f9619ff-8b86-4d01-b42d",
      "metadata.annotations['batch.kubernetes.io/job-completion-index']": `${index}`,
    };
    const env: Record<string, string> = { PATH, KUBERNETES_SERVICE_HOST: "10.0.0.1" };
    for (const { name, value = "", valueFrom } of container?.env ?? []) {
      const field = valueFrom?.fieldRef && fields[valueFrom.fieldRef.fieldPath];
      const given = valueFrom?.secretKeyRef ? JOB_TOKEN : (field ?? value);
      env[name] = given.replace(/\$\((\w+)\)/g, (whole, used: string) => env[used] ?? whole);
    }
    return { ...env, ASSAY_HOST: gateway.url };
  }

  function startPod(index: number, more: string[]) {
    const volume = mkdtempSync(join(folder, "volume-"));
    writeFileSync(join(volume, "agent"), SCRIPT);
    writeFileSync(join(volume, "replay.json"), readFileSync(agent.recording(0.2)));
    writeFileSync(join(volume, "long.json"), readFileSync(agent.recording(600)));
    const command = [...(container?.command ?? []), ...(container?.args ?? []), ...more];
    const volumes = { "/assay": volume };
    const run = startContainer({ command, env: environment(index), volumes, stdin: "" });
    ends.push(run.kill);
    return run;
  }

  test("the Job has an index for each node, and a failing one ends no other", () => {
    expect(manifest).toMatchObject({ apiVersion: "batch/v1", kind: "Job" });
    expect(others).toEqual([]);
    expect(spec).toMatchObject({ completionMode: "Indexed", backoffLimitPerIndex: 2 });
    expect(spec.completions).toBe(spec.parallelism);
    expect(pod.restartPolicy).toBe("Never");
    const [codes] = spec.podFailurePolicy.rules.flatMap(({ onExitCodes }) => onExitCodes ?? []);
    expect(codes).toMatchObject({ containerName: container.name, values: [1, 2] });
  });

  test("the root is read-only, and every folder that the agent writes is a volume", () => {
    expect(container.securityContext).toMatchObject({
      readOnlyRootFilesystem: true,
      allowPrivilegeEscalation: false,
      capabilities: { drop: ["ALL"] },
    });
    const writable = pod.volumes.filter(({ emptyDir }) => emptyDir).map(({ name }) => name);
    const paths = container.volumeMounts.filter(({ name }) => writable.includes(name));
    expect(paths.map(({ mountPath }) => mountPath)).toEqual(["/tmp"]);
    const { XDG_CACHE_HOME, XDG_STATE_HOME } = environment(0);
    for (const each of [XDG_CACHE_HOME, XDG_STATE_HOME]) expect(each).toMatch(/^\/tmp\//);
    expect(new Set(pod.volumes.map(({ name }) => name))).toEqual(
      new Set(container.volumeMounts.map(({ name }) => name)),
    );
  });

  test.skipIf(!has("kubectl"))("kubectl knows every field, with its type", () => {
    const args = [
      "set",
      "env",
      "--local",
      "-f",
      join(GUIDE, "assay-job.yaml"),
      "-o",
      "json",
      "X=1",
    ];
    const env = { ...process.env, KUBECONFIG: "/dev/null" };
    const { stdout, stderr } = spawnSync("kubectl", args, { encoding: "utf8", env });
    expect(stderr).toBe("");
    // A field that it does not know is left out of what it writes. Quantities are written as text; X is one more variable.
    const typed = JSON.parse(
      JSON.stringify(manifest).replace('"nvidia.com/gpu":8', '"nvidia.com/gpu":"8"'),
    );
    typed.spec.template.spec.containers[0].env.push({ name: "X", value: "1" });
    expect(JSON.parse(stdout)).toMatchObject(typed);
  });

  test.skipIf(!hasContainers)("a pod completes the job as the node of its index", async () => {
    for (const index of [0, 1]) {
      if (index === 1) await Promise.all([gateway.close(), server.close()]).then(() => serve(1));
      const run = startPod(index, ["--replay", "/assay/replay.json"]);
      expect(await run.exit, run.output.stderr).toBe(0);
      expect(JSON.parse(run.output.stdout)).toMatchObject({
        state: "completed",
        machine_uuid: uuidOf(`6f9619ff-8b86-4d01-b42d-${index}`),
        agent: { verdict: "completed" },
      });
      expect(run.output.stderr).not.toMatch(/cannot/);
    }
  });

  test.skipIf(!hasContainers)(
    "SIGTERM to process 1 ends it within its grace, and the task stays open",
    async () => {
      const run = startPod(0, ["--replay", "/assay/long.json"]);
      await until(() => server.of("PATCH").length > 0, "the first heartbeat");
      const sentAt = performance.now();
      run.signal("SIGTERM");
      expect(await run.exit, run.output.stderr).toBe(143);
      const seconds = (performance.now() - sentAt) / 1_000;
      expect(seconds).toBeLessThan(pod.terminationGracePeriodSeconds);
      expect(JSON.parse(run.output.stdout)).toMatchObject({ agent: { verdict: "interrupted" } });
      expect(server.of("PATCH").every(({ body }) => body.state === undefined)).toBe(true);
    },
  );
});

describe("Slurm", () => {
  /** Runs the command on two nodes, each with the whole standard input, as srun does with `--input=all`. */
  const SRUN = `
    while case $1 in --*) ;; *) false ;; esac; do printf '%s ' "$1" >> "$OUT/options"; shift; done
    cat > "$OUT/stdin"; [ -s "$OUT/stdin" ] || echo "no script" >&2
    for node in n0 n1; do
      XDG_STATE_HOME=$OUT/$node SLURM_JOB_ID=77 SLURMD_NODENAME=$node "$@" < "$OUT/stdin" & pids="$pids $!"
    done
    worst=0; for pid in $pids; do wait "$pid" || worst=$?; done; exit $worst`;

  test("each machine is a node of its own, and the batch ends as the worst of them", async () => {
    await Promise.all([gateway.close(), server.close()]);
    await serve(2);
    mkdirSync(join(folder, "cache"));
    const env = {
      PATH: programs({ srun: `OUT="${folder}"; pids=; ${SRUN}` }),
      XDG_CACHE_HOME: join(folder, "cache"),
    };
    const replay = `--json --replay ${agent.recording(0.2)}'`;
    const end = await runFile("assay.sbatch", env, (text) => text.replace("--json'", replay));
    expect(end.code, end.stderr).toBe(0);
    const lines = end.stdout.trimEnd().split("\n");
    const uuids = lines.map((line) => JSON.parse(line).machine_uuid).sort();
    expect(uuids).toEqual([uuidOf("77-n0"), uuidOf("77-n1")].sort());
    const options = readFileSync(join(folder, "options"), "utf8");
    expect(options).toMatch(/--input=all --kill-on-bad-exit=0 --wait=0 /);
  });

  test("its directives ask for one task on each of the machines", () => {
    const text = readFileSync(join(GUIDE, "assay.sbatch"), "utf8");
    const directives = [...text.matchAll(/^#SBATCH (--[\w-]+)(?:=(\S+))?$/gm)].map(
      ([, name]) => name,
    );
    expect(directives).toEqual(expect.arrayContaining(["--nodes", "--ntasks-per-node", "--time"]));
    // sbatch reads none behind the first command.
    expect(text.lastIndexOf("#SBATCH")).toBeLessThan(text.indexOf("set -eu"));
  });

  test("a server that is not there: no task is started, and the exit code says so", async () => {
    const path = programs({ srun: `echo started > "${folder}/options"` });
    const end = await runFile("assay.sbatch", { PATH: path, ASSAY_HOST: "http://127.0.0.1:9" });
    expect(end.code).not.toBe(0);
    expect(() => readFileSync(join(folder, "options"))).toThrow();
  });
});

describe("the scripts' texts", () => {
  test.each(["assay-docker.sh", "assay.sbatch"])("%s says what it needs", async (name) => {
    const { code, stderr } = await runFile(name, { ASSAY_TOKEN: "" });
    expect(code).toBe(2);
    expect(stderr).toMatch(/ASSAY_TOKEN: the token of the job/);
  });

  test.skipIf(!has("shellcheck"))("shellcheck finds nothing", () => {
    const files = ["assay-docker.sh", "assay.sbatch"].map((name) => join(GUIDE, name));
    expect(spawnSync("shellcheck", files, { encoding: "utf8" }).stdout).toBe("");
  });
});
