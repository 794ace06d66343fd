/** What requests need to mean something: people, tokens, and jobs in every state. */
import { randomUUID } from "node:crypto";
import { Agent } from "node:http";
import type { LocalWorker } from "../../scripts/lib/local-worker.ts";
import { hashPassword } from "../../src/identity/password.ts";
import { isObject } from "./document.ts";
import { type Reply, send } from "./wire.ts";

const API = "/api/silicon-mark/v1";
const PASSWORD = "a password of the fuzz";
/** Nodes of a job that hands out running steps: enough to be used for a while, cheap to write. */
const ARENA_NODES = 32;
/** A person has at most 100. */
const API_TOKENS = 90;

export interface Job {
  id: string;
  token: string;
  /** Made without an account. */
  isAnonymous?: true;
}

export interface Node {
  job: Job;
  taskId: string;
}

/** Whoever and whatever goes by a UUID and a slug. */
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
  const owner = await addPerson("owner@example.com", "root_admin", "default");
  await addPerson("stranger@example.com", "user", "elsewhere");

  async function addPerson(
    email: string,
    role: string,
    customer: string,
    uuid: string = randomUUID(),
  ): Promise<string> {
    await db.batch([
      db
        .prepare(
          `INSERT INTO customers (uuid, name, slug, created_at, modified_at)
           VALUES (?1, ?2, ?2, 0, 0) ON CONFLICT DO NOTHING`,
        )
        .bind(randomUUID(), customer),
      db
        .prepare(
          `INSERT INTO users (uuid, customer_id, email, name, slug, role, password_hash, created_at, modified_at)
           SELECT ?1, id, ?2, 'Person', 'person-' || ?1, ?3, ?4, 0, 0 FROM customers WHERE slug = ?5`,
        )
        .bind(uuid, email, role, passwordHash, customer),
    ]);
    return email;
  }

  async function call(method: string, target: string, token: string | null, body?: unknown) {
    const form = body instanceof URLSearchParams;
    const type = form ? "application/x-www-form-urlencoded" : "application/json";
    const text = body === undefined ? null : form ? body.toString() : JSON.stringify(body);
    const reply = await send(url, agent, {
      method,
      target,
      headers: {
        ...(token === null ? {} : { authorization: `Bearer ${token}` }),
        ...(text === null ? {} : { "content-type": type }),
      },
      body: text === null ? null : new TextEncoder().encode(text),
      chunked: false,
    });
    return { reply, json: parse(reply) };
  }

  async function succeed(method: string, target: string, token: string | null, body?: unknown) {
    const { reply, json } = await call(method, target, token, body);
    if (reply.status >= 300) throw new Error(`${method} ${target}: ${reply.status} ${reply.body}`);
    return json;
  }

  async function signIn(username: string): Promise<string> {
    const form = new URLSearchParams({ grant_type: "password", username, password: PASSWORD });
    return String((await succeed("POST", "/token", null, form)).access_token);
  }

  let ownerToken = await signIn(owner);
  const strangerToken = await signIn("stranger@example.com");
  /** Jobs whose object may know more than D1 does. */
  const unsettled = new Map<string, Job>();
  // Prepared once: Miniflare's proxy blocks this process for every `prepare`.
  // One that has ended, and is not rated yet, is still to be written to.
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
    const json = await succeed("POST", `${API}/jobs/current/tasks`, job.token, machine);
    unsettled.set(job.id, job);
    return { job, taskId: String(json.id) };
  }

  const poll = ({ token }: Job, taskId?: string) =>
    succeed("GET", `${API}/jobs/current${taskId ? `?task_id=${taskId}` : ""}`, token);

  async function finish(node: Node, state: "completed" | "failed"): Promise<void> {
    await succeed(
      "PUT",
      `${API}/jobs/current/tasks/${node.taskId}/results/0`,
      node.job.token,
      stepResult(state),
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

  /** Straight into the database: the API would hash a password for each. */
  async function createPerson(): Promise<Named & { email: string }> {
    const uuid = randomUUID();
    const email = `${uuid}@example.com`;
    await addPerson(email, "user", "default", uuid);
    return { uuid, slug: `person-${uuid}`, email };
  }

  /** Someone who has just signed in. */
  async function createColleague(): Promise<Named & { token: string }> {
    const { email, ...named } = await createPerson();
    return { ...named, token: await signIn(email) };
  }

  async function createApiToken(): Promise<string> {
    return String((await succeed("POST", "/v0/users/me/tokens", ownerToken, { name: "t" })).uuid);
  }

  /** A link's token, for somebody who is not locked. */
  async function createPasswordLink(): Promise<string> {
    const { uuid } = await createPerson();
    const { url: link } = await succeed("POST", `/v0/users/${uuid}/password-link`, ownerToken);
    return String(link).split("#")[1] ?? "";
  }

  let pinned = 0;
  /** A baseline with a pin to take back. */
  async function pinBaseline(): Promise<[model: string, metric: string]> {
    const key: [string, string] = [`pinned-gpu-${pinned++}`, "memory_bandwidth_gbs"];
    await succeed("PUT", `${API}/baselines/${key.join("/")}`, ownerToken, { value: 1 });
    return key;
  }

  let maker: { token: string; left: number } | null = null;
  /** Someone with room for another API token. */
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
  /** A node on which a step runs, of its own. */
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
    /** There are jobs for it. */
    busy: await createRunner([claimed]),
    /** Offers a spec, for which there is no job. */
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

  return {
    url,
    agent,
    credentials,
    /** Of an administrator. */
    ownerToken: () => ownerToken,
    /** Of someone of another customer, who may see nothing of the owner's. */
    strangerToken,
    jobs,
    /** `used`: a job refers to it for ever, so it cannot be deleted. */
    specs,
    createSpec,
    /** `free`: its name and slug may change. */
    customers: { used: await createCustomer(), free: await createCustomer() },
    /** `free`: may be locked, moved, and whatever else. */
    people: { used: await createPerson(), free: await createPerson() },
    /** With the password of the world, until they change it. */
    colleague: await createColleague(),
    createPerson,
    createColleague,
    /** Of the owner. */
    apiToken: await createApiToken(),
    createApiToken,
    createPasswordLink,
    pinBaseline,
    tokenMaker,
    runners,
    createRunner,

    /**
     * A runner that has been heard a moment ago, so that hearing of it again writes nothing; and a job that
     * it has, or can get, if it is the busy one. The job is a new object each time: it may have changed.
     */
    async heardRunner(kind: "busy" | "idle"): Promise<{ runner: Runner; job: Job }> {
      const runner = runners[kind];
      const held = await claim(runner);
      if (kind === "idle") return { runner, job: { ...jobs.untouched } };
      const job =
        held.job_id === undefined
          ? await createJob({ spec: claimed.uuid, node_count: ARENA_NODES })
          : { id: String(held.job_id), token: String(held.token) };
      unsettled.set(job.id, job);
      return { runner, job };
    },
    // The fuzz asserts this reply against its schema like every other.
    catalogue: catalogue.benchmarks as CatalogueEntry[],
    createJob,
    join,
    freshNode,

    /** A node on which a step runs, the same as long as it lives: for requests that should be refused. */
    async standingNode(): Promise<Node> {
      if (standing !== null && !standing.checked) {
        const { node } = standing;
        const alive = (await poll(node.job, node.taskId)).directive === "run";
        standing = alive ? { node, checked: true } : null;
      }
      standing ??= { node: await join(await createJob({})), checked: true };
      return standing.node;
    },

    /** A job that can be aborted or deleted, the same as long as it can be. */
    async standingJob(): Promise<Job> {
      if (standingJob !== null && !standingJob.checked) {
        const { job } = standingJob;
        // It may have been deleted, too.
        const { json } = await call("GET", `${API}/jobs/${job.id}`, ownerToken);
        standingJob = json.state === "created" ? { job, checked: true } : null;
      }
      standingJob ??= { job: await createJob({}), checked: true };
      return standingJob.job;
    },

    /** A job that another machine can join. */
    async roomyJob(): Promise<Job> {
      if (roomy !== null && !roomy.checked) {
        const { current_nodes: joined, node_count: expected, state } = await poll(roomy.job);
        const open = Number(joined) < Number(expected) && state !== "failed";
        roomy = open ? { job: roomy.job, checked: true } : null;
      }
      roomy ??= { job: await createJob({ node_count: ARENA_NODES }), checked: true };
      return roomy.job;
    },

    /** Something was accepted: what is handed out again must be looked at before. */
    changed(job: Job | null): void {
      if (job !== null) unsettled.set(job.id, job);
      for (const held of [standing, standingJob, roomy]) if (held !== null) held.checked = false;
    },

    /** Waits until D1 has what the jobs' objects know. */
    async settle(): Promise<void> {
      for (const job of unsettled.values()) {
        const { version } = await poll(job);
        const deadline = Date.now() + 30_000;
        while ((await versionsInD1()).get(Number(job.id)) !== version) {
          if (Date.now() > deadline) throw new Error(`Job ${job.id}: D1 never got its version`);
        }
        if (job.isAnonymous) continue;
        // What follows a job's end changes its view, too; jobs without an account get no report.
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

    /** The report of a job that has ended: the query of its link, and its hash. */
    async reportOf(job: Job): Promise<{ query: [string, string][]; hash: string }> {
      const made = await succeed("POST", `${API}/jobs/${job.id}/report`, ownerToken);
      const { pathname, search, searchParams } = new URL(String(made.pdf_report_url));
      const { reply } = await call("HEAD", `${pathname}${search}`, null);
      return { query: [...searchParams], hash: String(reply.headers.etag).replaceAll('"', "") };
    },

    /** The owner's view of a job: what its object knows shows here. */
    async viewOf(job: Job): Promise<string> {
      return (await call("GET", `${API}/jobs/${job.id}`, ownerToken)).reply.body.toString();
    },

    /** User tokens live for an hour, and a long run may take longer. */
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

/** A result of `quick_mark` as an agent sends it. */
export function stepResult(state: "completed" | "failed") {
  const figures = { bf16_tflops: 452.2, memory_bandwidth_gbs: 3254.4 };
  return {
    state,
    started_at: "2026-01-01T00:00:00Z",
    ended_at: "2026-01-01T00:05:00Z",
    results: state === "failed" ? null : { aggregate_results: figures },
    error_message: state === "failed" ? "no GPU" : null,
  };
}
