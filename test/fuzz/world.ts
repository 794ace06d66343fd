/** Test data for fuzzed requests: people, tokens, and jobs in every state. */
import { randomUUID } from "node:crypto";
import { Agent } from "node:http";
import type { LocalWorker } from "../../scripts/lib/local-worker.ts";
import { hashPassword } from "../../src/identity/password-hash.ts";
import { patient } from "../patience.ts";
import { addPerson } from "../world/people.ts";
import { quickMarkFigures, type StepState, stepResult } from "../world/results.ts";
import { isObject } from "./document.ts";
import { type Reply, send } from "./wire.ts";

const API = "/api/silicon-mark/v1";
const PASSWORD = "a password of the fuzz";
/** Node count of a job that provides running steps: large enough for many requests, and cheap to write. */
const ARENA_NODES = 32;
/** API tokens made per person, below the limit of 100. */
const API_TOKENS = 90;

export interface Job {
  id: string;
  token: string;
  /** True for a job without an account. */
  isAnonymous?: true;
}

export interface Node {
  job: Job;
  taskId: string;
  taskToken: string;
}

/** A person or thing with a UUID and a slug. */
export interface Named {
  uuid: string;
  slug: string;
}

export interface Runner extends Named {
  key: string;
}

export interface CatalogueEntry {
  id: string;
  min_nodes: number;
  config_schema: object;
}

export type World = Awaited<ReturnType<typeof createWorld>>;

export async function createWorld({ url, db }: Pick<LocalWorker, "url" | "db">) {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const passwordHash = await hashPassword(PASSWORD);
  const credentials = { username: "owner@example.com", password: PASSWORD };
  const owner = "owner@example.com";
  await addPerson(db, { email: owner, role: "root_admin", customer: "default", passwordHash });
  const stranger = "stranger@example.com";
  await addPerson(db, { email: stranger, role: "user", customer: "elsewhere", passwordHash });

  async function call(
    method: string,
    target: string,
    token: string | null,
    body?: unknown,
    taskToken?: string,
  ) {
    const form = body instanceof URLSearchParams;
    const type = form ? "application/x-www-form-urlencoded" : "application/json";
    const text = body === undefined ? null : form ? body.toString() : JSON.stringify(body);
    const reply = await send(url, agent, {
      method,
      target,
      headers: {
        ...(token === null ? {} : { authorization: `Bearer ${token}` }),
        ...(text === null ? {} : { "content-type": type }),
        ...(taskToken === undefined ? {} : { "assay-task-token": taskToken }),
      },
      body: text === null ? null : new TextEncoder().encode(text),
      chunked: false,
    });
    return { reply, json: parse(reply) };
  }

  async function succeed(...sent: Parameters<typeof call>) {
    const [method, target] = sent;
    const { reply, json } = await call(...sent);
    if (reply.status >= 300) throw new Error(`${method} ${target}: ${reply.status} ${reply.body}`);
    return json;
  }

  async function signIn(username: string): Promise<string> {
    const form = new URLSearchParams({ grant_type: "password", username, password: PASSWORD });
    return String((await succeed("POST", "/token", null, form)).access_token);
  }

  let ownerToken = await signIn(owner);
  const strangerToken = await signIn(stranger);
  /** UUIDs of all that have joined. */
  const machines: string[] = [];
  /** Jobs whose object may be ahead of D1. */
  const unsettled = new Map<string, Job>();
  // Prepared once, because Miniflare's proxy blocks this process for every `prepare`. An ended job without
  // a rating has version -1, because its row is still to be written.
  const versions = db.prepare(
    "SELECT id, CASE WHEN ended_at IS NOT NULL AND rated_at IS NULL AND current_nodes > 0 AND deleted_at IS NULL THEN -1 ELSE version END AS version FROM jobs",
  );

  async function createJob(body: Record<string, unknown>, token = ownerToken): Promise<Job> {
    const json = await succeed("POST", `${API}/jobs`, token, { benchmarks: [], ...body });
    return { id: String(json.id), token: String(json.token) };
  }

  async function createJobWithoutAccount(): Promise<Job> {
    const json = await succeed("POST", `${API}/jobs/anonymous`, null);
    return { id: String(json.id), token: String(json.token), isAnonymous: true };
  }

  async function join(job: Job): Promise<Node> {
    const machine = { machine_uuid: randomUUID(), gpu_model: "NVIDIA H100 NVL", gpu_count: 1 };
    const body = { ...machine, join_secret: `${randomUUID()}-fuzz` };
    const json = await succeed("POST", `${API}/jobs/current/tasks`, job.token, body);
    unsettled.set(job.id, job);
    machines.push(machine.machine_uuid);
    return { job, taskId: String(json.id), taskToken: String(json.task_token) };
  }

  const poll = ({ token }: Job, node?: Node) => {
    const path = `${API}/jobs/current${node === undefined ? "" : `?task_id=${node.taskId}`}`;
    return succeed("GET", path, token, undefined, node?.taskToken);
  };

  async function finish(node: Node, state: "completed" | "failed"): Promise<void> {
    await succeed(
      "PUT",
      `${API}/jobs/current/tasks/${node.taskId}/results/0`,
      node.job.token,
      quickMarkResult(state),
      node.taskToken,
    );
  }

  async function createSpec(): Promise<Named> {
    const hardware = { architecture: "x86_64", cpu: 26, memory: 2 ** 38, disk: 2 ** 40 };
    const { uuid, slug } = await succeed("POST", "/v0/specs", ownerToken, {
      name: "H100 node",
      ...hardware,
    });
    return { uuid: String(uuid), slug: String(slug) };
  }

  async function createCustomer(): Promise<Named> {
    const { uuid, slug } = await succeed("POST", "/v0/customers", ownerToken, { name: "Labs" });
    return { uuid: String(uuid), slug: String(slug) };
  }

  /** Inserts a person as a row, because the API would hash a password. */
  async function createPerson(): Promise<Named & { email: string }> {
    const uuid = randomUUID();
    const email = `${uuid}@example.com`;
    await addPerson(db, { uuid, email, role: "user", customer: "default", passwordHash });
    return { uuid, slug: `person-${uuid}`, email };
  }

  /** Creates a person who has just signed in. */
  async function createColleague(): Promise<Named & { token: string }> {
    const { email, ...named } = await createPerson();
    return { ...named, token: await signIn(email) };
  }

  async function createApiToken(): Promise<string> {
    return String((await succeed("POST", "/v0/users/me/tokens", ownerToken, { name: "t" })).uuid);
  }

  async function createUserKey(): Promise<string> {
    return String((await succeed("POST", "/v0/users/me/keys", ownerToken, { name: "k" })).uuid);
  }

  /** Creates a password link for a new person. Returns the link's token. */
  async function createPasswordLink(): Promise<string> {
    const { uuid } = await createPerson();
    const { url: link } = await succeed("POST", `/v0/users/${uuid}/password-link`, ownerToken);
    return String(link).split("#")[1] ?? "";
  }

  let pinned = 0;
  /** Pins a baseline for a later removal. Returns its model and metric. */
  async function pinBaseline(): Promise<[model: string, metric: string]> {
    const key: [string, string] = [`pinned-gpu-${pinned++}`, "memory_bandwidth_gbs"];
    await succeed("PUT", `${API}/baselines/${key.join("/")}`, ownerToken, { value: 1 });
    return key;
  }

  let maker: { token: string; left: number } | null = null;
  /** Token of a person below the limit of API tokens. */
  async function tokenMaker(): Promise<string> {
    if (maker === null || maker.left === 0) {
      maker = { token: (await createColleague()).token, left: API_TOKENS };
    }
    maker.left--;
    return maker.token;
  }

  async function createRunner(specs: readonly Named[] = []): Promise<Runner> {
    const slug = `runner-${randomUUID().slice(0, 18)}x`;
    const made = await succeed("POST", "/v0/runners", ownerToken, { name: "Rack", slug });
    for (const spec of specs) {
      await succeed("POST", `/v0/runners/${slug}/specs`, ownerToken, { spec: spec.uuid });
    }
    return { uuid: String(made.uuid), slug, key: String(made.key) };
  }

  const claim = ({ uuid, key }: Runner) => succeed("POST", `/v0/runners/${uuid}/jobs`, key);

  let arena: { job: Job; left: number } | null = null;
  /** A new node with a running step. */
  async function freshNode(): Promise<Node> {
    if (arena === null || arena.left === 0) {
      arena = { job: await createJob({ node_count: ARENA_NODES }), left: ARENA_NODES };
    }
    arena.left--;
    return await join(arena.job);
  }

  let standing: { node: Node; checked: boolean } | null = null;
  let standingJob: { job: Job; checked: boolean } | null = null;
  let roomy: { job: Job; checked: boolean } | null = null;

  const specs = { used: await createSpec(), free: await createSpec() };
  await createJob({ spec: specs.used.uuid });
  const claimed = await createSpec();
  const runners = {
    /** May be archived. */
    free: await createRunner(),
    /** Offers a spec that has jobs. */
    busy: await createRunner([claimed]),
    /** Offers a spec that has no job. */
    idle: await createRunner([specs.free]),
  };
  const jobs = {
    untouched: await createJob({ node_count: 2, tags: ["fuzz"], description: "Nobody joins." }),
    starting: await createJob({ node_count: 3 }),
    running: await createJob({}),
    cluster: await createJob({ benchmarks: ["cluster_network"], node_count: 2 }),
    completed: await createJob({}),
    failed: await createJob({}),
    aborted: await createJob({}),
    foreign: await createJob({}, strangerToken),
    withoutAccount: await createJobWithoutAccount(),
  };
  await join(jobs.starting);
  await join(jobs.running);
  for (const node of [await join(jobs.cluster), await join(jobs.cluster)]) {
    await finish(node, "completed");
  }
  await finish(await join(jobs.completed), "completed");
  await finish(await join(jobs.failed), "failed");
  await finish(await join(jobs.withoutAccount), "completed");
  await succeed("POST", `${API}/jobs/${jobs.aborted.id}/abort`, ownerToken);
  const catalogue = await succeed("GET", `${API}/benchmarks`, ownerToken);
  const shareJob = async ({ id }: Job) => {
    const made = await succeed("POST", `${API}/jobs/${id}/shares`, ownerToken);
    return { uuid: String(made.uuid), token: String(made.url).split("#")[1] ?? "" };
  };

  return {
    url,
    agent,
    credentials,
    /** The token of an administrator. */
    ownerToken: () => ownerToken,
    /** The token of a person at another customer, who may not see the owner's data. */
    strangerToken,
    jobs,
    shareJob,
    /** The token of a link that shows a job. */
    sharedToken: (await shareJob(jobs.completed)).token,
    /** A job refers to `used`, so it cannot be deleted. */
    specs,
    createSpec,
    /** The name and slug of `free` may change. */
    customers: { used: await createCustomer(), free: await createCustomer() },
    /** `free` may be locked, moved and otherwise changed. */
    people: { used: await createPerson(), free: await createPerson() },
    /** A person with the common password, until a request changes it. */
    colleague: await createColleague(),
    createPerson,
    createColleague,
    /** UUID of an API token of the owner. */
    apiToken: await createApiToken(),
    createApiToken,
    /** UUID of a key of the owner. */
    userKey: await createUserKey(),
    createUserKey,
    createPasswordLink,
    pinBaseline,
    tokenMaker,
    runners,
    createRunner,
    /** One of the first machines that have joined, whose jobs D1 has. */
    machineUuid: (choice: number) => machines[choice % 5] ?? "",

    /**
     * A runner with a recent contact, so that another contact writes nothing, and its job. The busy runner
     * has a job of its own or can get one. The job is a new object each time, because its state may differ.
     */
    async heardRunner(kind: "busy" | "idle"): Promise<{ runner: Runner; job: Job }> {
      const runner = runners[kind];
      const reply = await claim(runner);
      if (kind === "idle") return { runner, job: { ...jobs.untouched } };
      const job =
        reply.job_id === undefined
          ? await createJob({ spec: claimed.uuid, node_count: ARENA_NODES })
          : { id: String(reply.job_id), token: String(reply.token) };
      unsettled.set(job.id, job);
      return { runner, job };
    },
    // The cast is safe: the fuzz checks this reply against its schema.
    catalogue: catalogue.benchmarks as CatalogueEntry[],
    createJob,
    join,
    finish,
    freshNode,

    /** A node with a running step for requests that should be refused, reused while it lives. */
    async standingNode(): Promise<Node> {
      if (standing !== null && !standing.checked) {
        const { node } = standing;
        const alive = (await poll(node.job, node)).directive === "run";
        standing = alive ? { node, checked: true } : null;
      }
      standing ??= { node: await join(await createJob({})), checked: true };
      return standing.node;
    },

    /** A job that can be aborted or deleted, reused while that is possible. */
    async standingJob(): Promise<Job> {
      if (standingJob !== null && !standingJob.checked) {
        const { job } = standingJob;
        // This call may fail, because the job may be deleted.
        const { json } = await call("GET", `${API}/jobs/${job.id}`, ownerToken);
        standingJob = json.state === "created" ? { job, checked: true } : null;
      }
      standingJob ??= { job: await createJob({}), checked: true };
      return standingJob.job;
    },

    /** A job with room for another machine. */
    async roomyJob(): Promise<Job> {
      if (roomy !== null && !roomy.checked) {
        const { current_nodes: joined, node_count: expected, state } = await poll(roomy.job);
        const open = Number(joined) < Number(expected) && state !== "failed";
        roomy = open ? { job: roomy.job, checked: true } : null;
      }
      roomy ??= { job: await createJob({ node_count: ARENA_NODES }), checked: true };
      return roomy.job;
    },

    /** Records an accepted request, so that reused jobs and nodes are checked before their next use. */
    changed(job: Job | null): void {
      if (job !== null) unsettled.set(job.id, job);
      for (const reused of [standing, standingJob, roomy]) {
        if (reused !== null) reused.checked = false;
      }
    },

    /** Waits until D1 has the current version of every job. */
    async settle(): Promise<void> {
      for (const job of unsettled.values()) {
        const { version } = await poll(job);
        const deadline = Date.now() + patient(30_000);
        while ((await versionsInD1()).get(Number(job.id)) !== version) {
          if (Date.now() > deadline) throw new Error(`Job ${job.id}: D1 never got its version`);
        }
        if (job.isAnonymous) continue;
        // The follow-ups of a job's end also change its view. Jobs without an account get no report.
        const hasReport = async () => {
          const { json } = await call("GET", `${API}/jobs/${job.id}`, ownerToken);
          return typeof json.pdf_report_url === "string" || !json.ended_at || !json.current_nodes;
        };
        while (!(await hasReport())) {
          if (Date.now() > deadline) throw new Error(`Job ${job.id} never got its report`);
          await new Promise((done) => setTimeout(done, 20));
        }
      }
      unsettled.clear();
    },

    /** The report of an ended job: the query of its link, and its hash. */
    async reportOf(job: Job): Promise<{ query: [string, string][]; hash: string }> {
      const made = await succeed("POST", `${API}/jobs/${job.id}/report`, ownerToken);
      const { pathname, search, searchParams } = new URL(String(made.pdf_report_url));
      const { reply } = await call("HEAD", `${pathname}${search}`, null);
      return { query: [...searchParams], hash: String(reply.headers.etag).replaceAll('"', "") };
    },

    /** The owner's view of a job, which shows the state of its object. */
    async viewOf(job: Job): Promise<string> {
      return (await call("GET", `${API}/jobs/${job.id}`, ownerToken)).reply.body.toString();
    },

    /** Renews the owner's token, because a long run may exceed its lifetime of an hour. */
    async renew(): Promise<void> {
      ownerToken = await signIn(owner);
    },

    close: () => agent.destroy(),
  };

  async function versionsInD1(): Promise<Map<number, number>> {
    const { results } = await versions.all<{ id: number; version: number }>();
    return new Map(results.map(({ id, version }) => [id, version]));
  }
}

function parse(reply: Reply): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(reply.body.toString());
    return isObject(value) ? value : {};
  } catch {
    return {};
  }
}

/** A QuickMark result. */
export function quickMarkResult(state: StepState) {
  return stepResult(state, state === "failed" ? null : quickMarkFigures(452.2));
}
