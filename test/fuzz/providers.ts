/**
 * Providers make drawn requests succeed: they fill in tokens and existing ids, and meet the rules between
 * fields that a schema cannot state. An operation without a provider gets ids by its parameters' names.
 */
import { isIP } from "node:net";
import fc from "fast-check";
import { isObject, type Operation, type Schema } from "./document.ts";
import type { Draft, DrawnDraft } from "./draft.ts";
import { validValues } from "./valid-values.ts";
import { type Job, type Named, type Node, quickMarkResult, type World } from "./world.ts";

export interface Filled {
  draft: Draft;
  token: string | null;
  /** The job that the request would change, or null. */
  job: Job | null;
}

/** `once`: the request should succeed and may use up its objects. `again`: it should be refused. */
export type Purpose = "once" | "again";

interface Context {
  world: World;
  operation: Operation;
  drawn: DrawnDraft;
  purpose: Purpose;
}
type Provider = (context: Context) => Promise<Filled>;

/** A UUID without an owner. */
const NOBODY = "00000000-0000-4000-8000-00000000dead";

const PROVIDERS: Record<string, Provider> = {
  async createToken({ world, drawn: { draft, choice } }) {
    // One in ten keeps the drawn credentials of a stranger.
    const body = choice % 10 === 0 ? {} : { grant_type: "password", ...world.credentials };
    return { draft: { ...draft, body: { ...fields(draft), ...body } }, token: null, job: null };
  },

  async login({ world, drawn: { draft, choice } }) {
    const { username: email, password } = world.credentials;
    const body = choice % 10 === 0 ? {} : { email, password };
    return { draft: { ...draft, body: { ...fields(draft), ...body } }, token: null, job: null };
  },

  async createJob({ world, drawn: { draft, choice } }) {
    const body = fields(draft);
    const entry = world.catalogue[choice % world.catalogue.length];
    const spelled = entry === undefined ? [] : spell(entry.id, entry.config_schema, choice);
    const nodes = Math.max(Number(body.node_count ?? 1), entry?.min_nodes ?? 1);
    const name =
      typeof body.name === "string"
        ? `${[...body.name].slice(0, 40).join("")}.${nextSerial()}`
        : null;
    return {
      draft: {
        ...draft,
        headers: uniqueKey(draft),
        body: {
          ...body,
          name,
          benchmarks: spelled,
          node_count: nodes,
          // One in ten keeps the drawn spec, which does not exist.
          ...(typeof body.spec === "string" && choice % 10 !== 0
            ? { spec: spellNamed(world.specs.used, choice) }
            : {}),
        },
      },
      token: world.ownerToken(),
      job: null,
    };
  },

  async createAnonymousJob({ drawn: { draft }, purpose }) {
    // A fault needs a body to spoil.
    const isLeftOut = draft.body === undefined && purpose === "once";
    const body = isLeftOut ? undefined : fields(draft);
    return { draft: { ...draft, body }, token: null, job: null };
  },

  async abortJob({ world, drawn: { draft, choice }, purpose }) {
    const job =
      purpose === "again"
        ? await world.standingJob()
        : choice % 3 === 0
          ? world.jobs.aborted
          : choice % 3 === 1
            ? await world.createJob({})
            : (await world.join(await world.createJob({}))).job;
    return { draft: { ...draft, path: { job_id: job.id } }, token: world.ownerToken(), job };
  },

  async deleteJob({ world, drawn: { draft, choice }, purpose }) {
    const job = purpose === "again" ? await world.standingJob() : await world.createJob({});
    const id = choice % 2 === 0 ? job.id : Number(job.id);
    return { draft: { ...draft, body: { ...fields(draft), id } }, token: world.ownerToken(), job };
  },

  async deleteJobById({ world, drawn: { draft }, purpose }) {
    const job = purpose === "again" ? await world.standingJob() : await world.createJob({});
    return { draft: { ...draft, path: { job_id: job.id } }, token: world.ownerToken(), job };
  },

  async listTasks(context) {
    return withoutCursor(await byName(context));
  },

  async listMachines(context) {
    return withoutCursor(await byName(context));
  },

  async getMachine({ world, drawn: { draft, choice } }) {
    return { draft: ofMachine(draft, world, choice), token: world.ownerToken(), job: null };
  },

  async getMachineHistory({ world, drawn: { draft, choice } }) {
    return { draft: ofMachine(draft, world, choice), token: world.ownerToken(), job: null };
  },

  async compare({ world, drawn: { draft, choice } }) {
    const { completed, failed } = world.jobs;
    const keys: [by: string, one: string, other: string][] = [
      ["job", completed.id, failed.id],
      ["machine", world.machineUuid(choice), NOBODY],
      ["model", "NVIDIA H100 NVL", "l4"],
      ["provider", "Example Cloud", "elsewhere"],
      ["region", "eu-1", "EU-2"],
      ["spec", spellNamed(world.specs.used, choice), "nobodys"],
    ];
    const [by, one, other] = keys[choice % keys.length] ?? ["model", "h100", "l4"];
    const rest = draft.query.filter(([name]) => !["group_by", "key", "gpu_model"].includes(name));
    const query: Draft["query"] = [["group_by", by], ["key", one], ["key", other], ...rest];
    return { draft: { ...draft, query }, token: world.ownerToken(), job: null };
  },

  async listJobs(context) {
    const filled = withoutCursor(await byName(context));
    // One expansion needs the other, so the query has both or neither.
    const kept = filled.draft.query.filter(([name]) => name !== "include");
    const isDrawn = kept.length < filled.draft.query.length;
    const both: [string, string] = ["include", "performance,performance_nodes"];
    const query = isDrawn ? [...kept, both] : kept;
    return { ...filled, draft: { ...filled.draft, query } };
  },

  async getTaskResults({ world, drawn: { draft, choice } }) {
    // The task is the first node of a job; one in ten jobs has no node.
    const { untouched, starting, running, cluster, completed, failed } = world.jobs;
    const joined = [starting, running, cluster, completed, failed];
    const job = choice % 10 === 0 ? untouched : (joined[choice % joined.length] ?? running);
    const path = { task_id: String(Number(job.id) + 1) };
    return { draft: { ...draft, path }, token: world.ownerToken(), job };
  },

  async makeJobReport({ world, drawn: { draft, choice }, purpose }) {
    const { completed, failed, cluster, running } = world.jobs;
    const ended = [completed, failed];
    const other = choice % 2 === 0 ? running : cluster;
    const job = purpose === "once" ? (ended[choice % 2] ?? completed) : other;
    return { draft: { ...draft, path: { job_id: job.id } }, token: world.ownerToken(), job };
  },

  async generateReport({ world, drawn: { draft, choice } }) {
    const { completed, failed, running } = world.jobs;
    const job = [completed, failed, running][choice % 3] ?? completed;
    return { draft: { ...draft, path: { job_id: job.id } }, token: job.token, job };
  },

  async createJobShare({ world, drawn: { draft, choice }, purpose }) {
    const job = purpose === "again" ? await world.standingJob() : await world.createJob({});
    // A fault needs a body to spoil.
    const isLeftOut = draft.body === undefined && purpose === "once";
    const body = isLeftOut ? undefined : fields(draft);
    const headers = choice % 2 === 0 ? draft.headers : uniqueKey(draft);
    const filled = { ...draft, path: { job_id: job.id }, headers, body };
    return { draft: filled, token: world.ownerToken(), job: null };
  },

  async deleteJobShare({ world, drawn: { draft, choice }, purpose }) {
    const job = purpose === "again" ? await world.standingJob() : await world.createJob({});
    const uuid = purpose === "once" ? (await world.shareJob(job)).uuid : NOBODY;
    const path = { job_id: job.id, uuid: spelledUuid(uuid, choice) };
    return { draft: { ...draft, path }, token: world.ownerToken(), job: null };
  },

  async getSharedJob({ world, drawn: { draft, choice } }) {
    // One in ten keeps the drawn token, which shows nothing.
    const path = choice % 10 === 0 ? draft.path : { share: world.sharedToken };
    return { draft: { ...draft, path }, token: null, job: null };
  },

  async getSharedResults({ world, drawn: { draft, choice } }) {
    const path = choice % 10 === 0 ? draft.path : { share: world.sharedToken };
    return { draft: { ...draft, path }, token: null, job: null };
  },

  async getReportData({ world, drawn: { draft, choice } }) {
    const { hash } = await world.reportOf(world.jobs.completed);
    const path = choice % 10 === 0 ? draft.path : { hash };
    return { draft: { ...draft, path }, token: null, job: null };
  },

  async getReport({ world, drawn: { draft, choice } }) {
    const { hash } = await world.reportOf(world.jobs.completed);
    // One in ten keeps the drawn hash, which does not exist.
    const path = choice % 10 === 0 ? draft.path : { hash };
    return { draft: { ...draft, path }, token: null, job: null };
  },

  async getReportFile({ world, drawn: { draft, choice } }) {
    const { query } = await world.reportOf(world.jobs.completed);
    const path = { id: world.jobs.completed.id };
    const link = choice % 10 === 0 ? draft : { ...draft, path, query };
    return { draft: link, token: null, job: null };
  },

  async getBaseline({ world, drawn: { draft, choice } }) {
    const models = ["a100-sxm4-80gb", "NVIDIA H100 NVL", "Tesla L4", "h200"];
    const path = { ...draft.path, model: models[choice % models.length] ?? "l4" };
    return { draft: { ...draft, path }, token: world.ownerToken(), job: null };
  },

  async pinBaseline({ world, drawn: { draft, choice } }) {
    const path = { ...draft.path, model: `fuzz-gpu-${choice % 5}` };
    const headers = withoutPrecondition(draft, choice);
    const body = fields(draft);
    // The document says in words that it is above 0.
    const value = typeof body.value === "number" ? { value: Math.abs(body.value) || 1 } : {};
    const filled = { ...draft, path, headers, body: { ...body, ...value } };
    return { draft: filled, token: world.ownerToken(), job: null };
  },

  async unpinBaseline({ world, drawn: { draft, choice }, purpose }) {
    const [model, metric] =
      purpose === "once" ? await world.pinBaseline() : ["nobodys", "bf16_tflops"];
    const headers = withoutPrecondition(draft, choice);
    return {
      // Another class has nothing pinned.
      draft: { ...draft, path: { model, metric }, headers, query: [] },
      token: world.ownerToken(),
      job: null,
    };
  },

  async listSpecs(context) {
    return withoutCursor(await byName(context));
  },

  async listAvailableSpecs(context) {
    return withoutCursor(await byName(context));
  },

  async getSpec({ world, drawn: { draft, choice } }) {
    const spec = spellNamed(choice % 2 === 0 ? world.specs.used : world.specs.free, choice);
    return { draft: { ...draft, path: { spec } }, token: world.ownerToken(), job: null };
  },

  async createSpec({ world, drawn: { draft, choice } }) {
    const filled = { ...draft, headers: uniqueKey(draft), body: supported(draft, choice) };
    return { draft: filled, token: world.ownerToken(), job: null };
  },

  async updateSpec({ world, drawn: { draft, choice } }) {
    const path = { spec: spelledUuid(world.specs.free.uuid, choice) };
    const headers = withoutPrecondition(draft, choice);
    const filled = { ...draft, path, headers, body: supported(draft, choice) };
    return { draft: filled, token: world.ownerToken(), job: null };
  },

  async deleteSpec({ world, drawn: { draft, choice }, purpose }) {
    const spec = purpose === "once" ? await world.createSpec() : world.specs.used;
    const path = { spec: spellNamed(spec, choice) };
    const headers = withoutPrecondition(draft, choice);
    return { draft: { ...draft, path, headers }, token: world.ownerToken(), job: null };
  },

  async listCustomers(context) {
    return withoutCursor(await byName(context));
  },

  async getCustomer({ world, drawn: { draft, choice } }) {
    const path = { customer: spellNamed(world.customers.used, choice) };
    return { draft: { ...draft, path }, token: world.ownerToken(), job: null };
  },

  async updateCustomer({ world, drawn: { draft, choice } }) {
    const path = { customer: spelledUuid(world.customers.free.uuid, choice) };
    const headers = withoutPrecondition(draft, choice);
    return { draft: { ...draft, path, headers }, token: world.ownerToken(), job: null };
  },

  async listUsers(context) {
    return withoutCursor(await byName(context));
  },

  async createUser({ world, drawn: { draft, choice } }) {
    const body = {
      ...fields(draft),
      email: `fuzz-${nextSerial()}@example.com`,
      ...(choice % 10 === 0 ? {} : { customer: spellNamed(world.customers.used, choice) }),
    };
    const headers = uniqueKey(draft);
    return { draft: { ...draft, headers, body }, token: world.ownerToken(), job: null };
  },

  async getUser({ world, drawn: { draft, choice } }) {
    const user = choice % 5 === 0 ? "me" : spellNamed(world.people.used, choice);
    return { draft: { ...draft, path: { user } }, token: world.ownerToken(), job: null };
  },

  async updateUser({ world, drawn: { draft, choice } }) {
    const body = fields(draft);
    const customer =
      typeof body.customer === "string" && choice % 10 !== 0
        ? { customer: spellNamed(world.customers.used, choice) }
        : {};
    const path = { user: spelledUuid(world.people.free.uuid, choice) };
    const headers = withoutPrecondition(draft, choice);
    const filled = { ...draft, path, headers, body: { ...body, ...customer } };
    return { draft: filled, token: world.ownerToken(), job: null };
  },

  async deleteUser({ world, drawn: { draft, choice }, purpose }) {
    const user =
      purpose === "once"
        ? spellNamed(await world.createPerson(), choice)
        : spelledUuid(NOBODY, choice);
    const headers = withoutPrecondition(draft, choice);
    return { draft: { ...draft, path: { user }, headers }, token: world.ownerToken(), job: null };
  },

  async changeOwnPassword({ world, drawn: { draft }, purpose }) {
    const { token } = purpose === "once" ? await world.createColleague() : world.colleague;
    const body = { ...fields(draft), old_password: world.credentials.password };
    return { draft: { ...draft, body }, token, job: null };
  },

  async createPasswordLink({ world, drawn: { draft, choice } }) {
    const path = { user: spellNamed(world.people.used, choice) };
    const headers = uniqueKey(draft);
    return { draft: { ...draft, path, headers }, token: world.ownerToken(), job: null };
  },

  async setPassword({ world, drawn: { draft }, purpose }) {
    const link = purpose === "once" ? { token: await world.createPasswordLink() } : {};
    return { draft: { ...draft, body: { ...fields(draft), ...link } }, token: null, job: null };
  },

  async listApiTokens({ world, drawn: { draft } }) {
    const filled = {
      draft: { ...draft, path: { user: "me" } },
      token: world.ownerToken(),
      job: null,
    };
    return withoutCursor(filled);
  },

  async createApiToken({ world, drawn: { draft }, purpose }) {
    const token = purpose === "once" ? await world.tokenMaker() : world.colleague.token;
    const filled = { ...draft, path: { user: "me" }, headers: uniqueKey(draft) };
    return { draft: filled, token, job: null };
  },

  async getApiToken({ world, drawn: { draft, choice } }) {
    const path = { user: "me", uuid: spelledUuid(world.apiToken, choice) };
    return { draft: { ...draft, path }, token: world.ownerToken(), job: null };
  },

  async updateApiToken({ world, drawn: { draft, choice } }) {
    const path = { user: "me", uuid: spelledUuid(world.apiToken, choice) };
    const headers = withoutPrecondition(draft, choice);
    return { draft: { ...draft, path, headers }, token: world.ownerToken(), job: null };
  },

  async listUserKeys({ world, drawn: { draft } }) {
    const filled = {
      draft: { ...draft, path: { user: "me" } },
      token: world.ownerToken(),
      job: null,
    };
    return withoutCursor(filled);
  },

  async createUserKey({ world, drawn: { draft }, purpose }) {
    const token = purpose === "once" ? await world.tokenMaker() : world.colleague.token;
    const filled = { ...draft, path: { user: "me" }, headers: uniqueKey(draft) };
    return { draft: filled, token, job: null };
  },

  async getUserKey({ world, drawn: { draft, choice } }) {
    const path = { user: "me", key: spelledUuid(world.userKey, choice) };
    return { draft: { ...draft, path }, token: world.ownerToken(), job: null };
  },

  async updateUserKey({ world, drawn: { draft, choice } }) {
    const path = { user: "me", key: spelledUuid(world.userKey, choice) };
    const headers = withoutPrecondition(draft, choice);
    return { draft: { ...draft, path, headers }, token: world.ownerToken(), job: null };
  },

  async revokeUserKey({ world, drawn: { draft, choice }, purpose }) {
    const key = purpose === "once" ? await world.createUserKey() : NOBODY;
    const path = { user: "me", key: spelledUuid(key, choice) };
    const headers = withoutPrecondition(draft, choice);
    return { draft: { ...draft, path, headers }, token: world.ownerToken(), job: null };
  },

  async revokeApiToken({ world, drawn: { draft, choice }, purpose }) {
    const uuid = purpose === "once" ? await world.createApiToken() : NOBODY;
    const path = { user: "me", uuid: spelledUuid(uuid, choice) };
    const headers = withoutPrecondition(draft, choice);
    return { draft: { ...draft, path, headers }, token: world.ownerToken(), job: null };
  },

  async listRunners(context) {
    return withoutCursor(await byName(context));
  },

  async createRunner({ world, drawn: { draft, choice } }) {
    const slug = `fuzz-${nextSerial()}`;
    const named = choice % 3 === 0 ? { name: `Fuzz ${slug}`, slug: null } : { slug };
    const body = { ...fields(draft), ...named };
    return {
      draft: { ...draft, headers: uniqueKey(draft), body },
      token: world.ownerToken(),
      job: null,
    };
  },

  async getRunner({ world, drawn: { draft, choice } }) {
    const { free, busy, idle } = world.runners;
    const path = { runner: spellNamed([free, busy, idle][choice % 3] ?? free, choice) };
    return { draft: { ...draft, path }, token: world.ownerToken(), job: null };
  },

  async updateRunner({ world, drawn: { draft, choice } }) {
    const path = { runner: spelledUuid(world.runners.free.uuid, choice) };
    const headers = withoutPrecondition(draft, choice);
    const { slug, ...body } = fields(draft);
    const changed = typeof slug === "string" ? { slug: `fuzz-${nextSerial()}` } : { slug };
    return {
      draft: { ...draft, path, headers, body: { ...body, ...changed } },
      token: world.ownerToken(),
      job: null,
    };
  },

  async rotateRunnerKey({ world, drawn: { draft, choice }, purpose }) {
    const runner = purpose === "once" ? await world.createRunner() : world.runners.free;
    const path = { runner: spellNamed(runner, choice) };
    return {
      draft: { ...draft, path, headers: uniqueKey(draft) },
      token: world.ownerToken(),
      job: null,
    };
  },

  async listRunnerSpecs({ world, operation, drawn, purpose }) {
    const filled = withoutCursor(await byName({ world, operation, drawn, purpose }));
    const path = { runner: spellNamed(world.runners.idle, drawn.choice) };
    return { ...filled, draft: { ...filled.draft, path } };
  },

  async offerRunnerSpec({ world, drawn: { draft, choice }, purpose }) {
    const { specs, runners } = world;
    const [runner, spec] =
      purpose === "once" ? [await world.createRunner(), specs.used] : [runners.idle, specs.free];
    return {
      draft: {
        ...draft,
        path: { runner: spellNamed(runner, choice) },
        headers: uniqueKey(draft),
        body: { ...fields(draft), spec: spellNamed(spec, choice) },
      },
      token: world.ownerToken(),
      job: null,
    };
  },

  async withdrawRunnerSpec({ world, drawn: { draft, choice }, purpose }) {
    const { used } = world.specs;
    const runner = purpose === "once" ? await world.createRunner([used]) : world.runners.idle;
    const path = { runner: spellNamed(runner, choice), spec: spellNamed(used, choice) };
    const headers = withoutPrecondition(draft, choice);
    return { draft: { ...draft, path, headers }, token: world.ownerToken(), job: null };
  },

  async listAuditEvents(context) {
    return withoutCursor(await byName(context));
  },

  async claimJob({ world, drawn: { draft, choice }, purpose }) {
    const kind = purpose === "once" && choice % 2 === 0 ? "busy" : "idle";
    const { runner, job } = await world.heardRunner(kind);
    const path = { runner: spellNamed(runner, choice) };
    // A fault needs a body to spoil.
    const isLeftOut = draft.body === undefined && purpose === "once";
    const body = isLeftOut ? undefined : spelledMachine(fields(draft));
    return { draft: { ...draft, path, body }, token: runner.key, job };
  },

  async openRunnerChannel({ world, drawn: { draft, choice } }) {
    const { runner, job } = await world.heardRunner("idle");
    const path = { runner: spellNamed(runner, choice) };
    return { draft: { ...draft, path, headers: upgrade(choice) }, token: runner.key, job };
  },

  async openCurrentChannel({ world, drawn: { draft, choice }, purpose }) {
    const { job } = await nodeFor(world, purpose);
    return { draft: { ...draft, headers: upgrade(choice) }, token: job.token, job };
  },

  async pollCurrentJob({ world, drawn: { draft, choice }, purpose }) {
    if (choice % 6 === 0) {
      const { withoutAccount } = world.jobs;
      return { draft: { ...draft, query: [] }, token: withoutAccount.token, job: withoutAccount };
    }
    const node = await nodeFor(world, purpose);
    const query: Draft["query"] = choice % 3 === 0 ? [] : [["task_id", node.taskId]];
    const headers = tokenOf(node, draft, purpose, choice);
    return { draft: { ...draft, query, headers }, token: node.job.token, job: node.job };
  },

  async joinCurrentJob({ world, drawn: { draft } }) {
    const job = await world.roomyJob();
    const body = spelledMachine(fields(draft));
    return { draft: { ...draft, body }, token: job.token, job };
  },

  async updateCurrentTask({ world, drawn: { draft, choice }, purpose }) {
    const { failed_message: why, ...body } = fields(draft);
    const givesUp = body.state === "failed";
    const node = await nodeFor(world, givesUp ? purpose : "again");
    return {
      draft: {
        ...draft,
        path: { task_id: node.taskId },
        headers: tokenOf(node, draft, purpose, choice),
        body: givesUp && why !== undefined ? { ...body, failed_message: why } : body,
      },
      token: node.job.token,
      job: node.job,
    };
  },

  async putStepResult({ world, drawn: { draft, choice }, purpose }) {
    const node = await nodeFor(world, purpose);
    const body = fields(draft);
    const good = quickMarkResult(body.state === "failed" ? "failed" : "completed");
    // Agents may send more fields than the schema has.
    const sent = isObject(body.results) ? body.results : {};
    return {
      draft: {
        ...draft,
        path: { task_id: node.taskId, position: "0" },
        headers: tokenOf(node, draft, purpose, choice),
        body: {
          ...good,
          ...body,
          results: good.results === null ? null : { ...sent, ...good.results },
          error_message: body.error_message ?? good.error_message,
        },
      },
      token: node.job.token,
      job: node.job,
    };
  },
};

export function fill(context: Context): Promise<Filled> {
  return (PROVIDERS[context.operation.id] ?? byName)(context);
}

/** Fills in ids by the parameters' names, and the token that the operation requires. */
const byName: Provider = async ({ world, operation, drawn: { draft, choice } }) => {
  const { untouched, starting, running, cluster, completed, failed, aborted } = world.jobs;
  const visible = [untouched, starting, running, cluster, completed, failed, aborted];
  const job = visible[choice % visible.length] ?? untouched;
  const path = "job_id" in draft.path ? { ...draft.path, job_id: job.id } : draft.path;
  const token = tokenFor(operation, world);
  return { draft: { ...draft, path, headers: uniqueKey(draft) }, token, job };
};

function tokenFor(operation: Operation, world: World): string | null {
  if (operation.security.length === 0) return null;
  return operation.security.some((scheme) => /job/i.test(scheme))
    ? world.jobs.running.token
    : world.ownerToken();
}

function nodeFor(world: World, purpose: Purpose): Promise<Node> {
  return purpose === "once" ? world.freshNode() : world.standingNode();
}

/** The node's own token; one in ten requests that should be refused keeps a drawn token, or none. */
function tokenOf(
  node: Node,
  { headers }: Draft,
  purpose: Purpose,
  choice: number,
): Record<string, string> {
  if (purpose === "again" && choice % 10 === 0) return headers;
  const others = Object.entries(headers).filter(
    ([name]) => name.toLowerCase() !== "assay-task-token",
  );
  return Object.fromEntries([...others, ["Assay-Task-Token", node.taskToken]]);
}

/** Headers that ask for a socket, as often as not. */
function upgrade(choice: number): Record<string, string> {
  if (choice % 2 === 0) return {};
  const key = Buffer.alloc(16, choice).toString("base64");
  return {
    connection: "upgrade",
    upgrade: "websocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": key,
  };
}

function fields({ body }: Pick<Draft, "body">): Record<string, unknown> {
  return isObject(body) ? body : {};
}

let serial = 0;
function nextSerial(): number {
  return serial++;
}

/** Names a spec, customer or person by slug or UUID. */
function spellNamed({ uuid, slug }: Named, choice: number): string {
  return choice % 3 === 0 ? slug : spelledUuid(uuid, choice);
}

/** Replaces invalid addresses of a drawn machine. */
function spelledMachine(body: Record<string, unknown>): Record<string, unknown> {
  const { machine_ip: ip, cluster_address: address, cluster_addresses: all } = body;
  const isBad = (text: unknown): boolean => {
    const port = Number(String(text).split(":").at(-1));
    return typeof text === "string" && !(port > 0 && port < 65_536);
  };
  const repaired = (text: unknown) => (isBad(text) ? "[fe80::1]:7117" : text);
  return {
    ...body,
    ...(typeof ip === "string" && isIP(ip) === 0 ? { machine_ip: "192.168.1.10" } : {}),
    ...(isBad(address) ? { cluster_address: repaired(address) } : {}),
    ...(Array.isArray(all) ? { cluster_addresses: all.map(repaired) } : {}),
  };
}

/** Writes a UUID in one of its accepted forms. */
function spelledUuid(uuid: string, choice: number): string {
  const digits = uuid.replaceAll("-", "");
  const ways = [uuid, uuid.toUpperCase(), digits, `{${uuid}}`, `urn:uuid:${uuid}`];
  return ways[choice % ways.length] ?? uuid;
}

/** One in ten keeps the drawn machine, which nobody has seen. */
function ofMachine(draft: Draft, world: World, choice: number): Draft {
  const machine_uuid = world.machineUuid(choice);
  return choice % 10 === 0 ? draft : { ...draft, path: { machine_uuid } };
}

/** Removes a drawn cursor, because no list has issued it. */
function withoutCursor(filled: Filled): Filled {
  const query = filled.draft.query.filter(([name]) => name !== "cursor");
  return { ...filled, draft: { ...filled.draft, query } };
}

/** Removes a drawn version, which rarely exists; one in four requests accepts any version instead. */
function withoutPrecondition({ headers }: Draft, choice: number): Record<string, string> {
  const others = Object.entries(headers).filter(([name]) => name.toLowerCase() !== "if-match");
  const isDrawn = others.length < Object.keys(headers).length;
  return Object.fromEntries(isDrawn && choice % 4 === 0 ? [...others, ["If-Match", "*"]] : others);
}

/** Replaces a drawn idempotency key: examples repeat, and a repeated key with another body is refused. */
function uniqueKey({ headers }: Draft): Record<string, string> {
  const name = Object.keys(headers).find((header) => header.toLowerCase() === "idempotency-key");
  return name === undefined ? headers : { ...headers, [name]: `fuzz-${nextSerial()}` };
}

/** Writes a benchmark in one of its accepted forms, with a config of its own schema. */
function spell(id: string, configSchema: object, choice: number): unknown[] {
  const resolve = (schema: Schema) => schema;
  const configs = validValues({ resolve }, configSchema, () => true);
  const [config] = fc.sample(configs, { numRuns: 1, seed: choice });
  const ways = [[], [id], [{ benchmark_id: id }], [{ benchmark_id: id, config: null }]];
  return ways[choice % 7] ?? [{ benchmark_id: id, config }];
}

/** Mostly without what the document says in words is refused: a fallback and a sandbox. */
function supported(draft: Draft, choice: number): Record<string, unknown> {
  const { fallback, sandbox, ...body } = fields(draft);
  return choice % 10 === 0 ? { ...body, fallback, sandbox } : body;
}
