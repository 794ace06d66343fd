/** By operation: a request, and the status that each kind of caller gets for it. */
import { decodeJwt } from "jose";
import { baselines } from "../../../src/db/schema/scoreboard.ts";
import { call, machineUuid, resultBody } from "../harness/client.ts";
import {
  createJob,
  createPerson,
  createRunner,
  createSpec,
  HARDWARE,
} from "../harness/factories.ts";
import { customerUuid, db } from "../harness/rows.ts";
import {
  apiToken,
  createPrincipals,
  type MachineName,
  PASSWORD,
  type PersonName,
  type RunnerName,
  userKey,
} from "./access-principals.ts";

export const principals = await createPrincipals();
const { persons, job, ended, taskId, runner } = principals;
const ofMachine = { params: { machine_uuid: principals.machineUuid } };
const ofNoMachine = () => ({ params: { machine_uuid: NOBODY } });

/** A request: sent once for a thing that exists, once for one that does not. */
export interface Sent {
  params?: Record<string, string>;
  query?: string;
  body?: unknown;
}

export interface Expectation {
  access: "open" | "user" | "node" | "runner";
  /** Made anew for every request, since some use up what they name. */
  request: () => Sent | Promise<Sent>;
  /** The same request for something that does not exist; absent where nothing is named. */
  missing?: () => Sent;
  /** The status that people get by a session of now; for `node` operations `machines` has that of machines. */
  people?: (name: PersonName) => number;
  /** Asks for a session, or for one signed in lately: API tokens and older sessions get 403. */
  session?: "any" | "recent";
  machines?: (name: MachineName) => number;
  /** For `runner` operations. */
  runners?: (name: RunnerName) => number;
}

/** Operations that tell a caller who sees a job of another customer that they may not end it. */
export const SAYS_WHY = new Set([
  "abortJob",
  "deleteJob",
  "deleteJobById",
  "createJobShare",
  "deleteJobShare",
]);
export const UUID = /[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g;
export const NOBODY = "00000000-0000-4000-8000-00000000dead";
const ROOTS: readonly PersonName[] = ["root_admin", "foreign root_admin"];
/** People who see the owner's jobs: docs/contract.md, "Jobs". */
export const SEES: readonly PersonName[] = [
  "owner",
  "owner's API token",
  "owner's API key",
  "customer_admin",
  "staff",
  "root_admin",
  "root_admin's API token",
  "root_admin's reading token",
  "root_admin of an hour ago",
  "foreign staff",
  "foreign root_admin",
];
/** Credentials that allow at most what a session of now does. */
const PERSON_OF: Partial<Record<PersonName, PersonName>> = {
  "owner's API token": "owner",
  "owner's API key": "owner",
  "root_admin's API token": "root_admin",
  "root_admin's reading token": "root_admin",
  "root_admin of an hour ago": "root_admin",
};

/** The status that a person's credential gets: that of a session of now, unless the credential allows less. */
export function statusOfPerson(
  { people, session }: Expectation,
  method: string,
  name: PersonName,
): number {
  const status = people?.(PERSON_OF[name] ?? name) ?? 0;
  const isToken = name.endsWith("token") || name.endsWith("key");
  const isRefused =
    (isToken && session !== undefined) ||
    (name.endsWith("ago") && session === "recent") ||
    (name.endsWith("reading token") && method !== "GET");
  return isRefused ? 403 : status;
}

const everyone = (status: number) => () => status;
const rootsAlone = (status: number) => (name: PersonName) => (ROOTS.includes(name) ? status : 403);
const viewers = (status: number) => (name: PersonName) => (SEES.includes(name) ? status : 404);

/** People who see it and belong to its customer. */
const ofItsCustomer = (status: number) => (name: PersonName) =>
  SEES.includes(name) && name.startsWith("foreign") ? 403 : viewers(status)(name);

const isOneOf = (...names: PersonName[]) => new Set(names);
const MANAGERS = isOneOf("customer_admin", "foreign customer_admin", ...ROOTS);
const managers = (status: number) => (name: PersonName) => (MANAGERS.has(name) ? status : 403);
/** For things of the owner's customer: administrators of another one do not see them. */
const managersOf = (status: number) => (name: PersonName) =>
  name === "foreign customer_admin" ? 404 : managers(status)(name);
const ownerAndManagers = (status: number) => (name: PersonName) =>
  name === "owner" ? status : managersOf(status)(name);

const ofOwner = { params: { user: persons.owner.uuid } };
const ofColleague = { params: { user: persons.colleague.uuid } };
const ofNobody = (body?: unknown) => () => ({ params: { user: NOBODY }, body });
const ofNoToken = () => ({ params: { user: NOBODY, uuid: NOBODY } });
const customer = await customerUuid(persons.owner.customerId);
const newPerson = (customerUuid: string) => ({
  email: `${crypto.randomUUID()}@example.com`,
  name: "Made by the matrix",
  password: PASSWORD,
  customer: customerUuid,
});
const ofNoKey = () => ({ params: { user: NOBODY, key: NOBODY } });
const keyOfOwner = async () => (await userKey(persons.owner)).uuid;
const tokenOfOwner = async () => decodeJwt(await apiToken(persons.owner)).jti ?? "";

const ofJob = { params: { job_id: job.id } };
const ofNoJob = () => ({ params: { job_id: "512" } });
/** A new link of the owner's job. */
let share: string | null = null;
/** Made again once it is revoked, since a job has few of them. */
async function shareOfJob(): Promise<string> {
  const { token } = persons.owner;
  const { body } = await call("GET", `/jobs/${job.id}/shares`, { token });
  const isThere = body.shares.some(({ uuid }: { uuid: string }) => uuid === share);
  if (share !== null && isThere) return share;
  const reply = await call("POST", `/jobs/${job.id}/shares`, { token });
  if (reply.status !== 201) throw new Error(reply.text);
  share = String(reply.body.uuid);
  return share;
}
const spec = await createSpec();
const ofSpec = { params: { spec: spec.uuid } };
const ofNoSpec = (body?: unknown) => () => ({ params: { spec: NOBODY }, body });
const ofRunner = { params: { runner: runner.uuid } };
const ofNoRunner = (body?: unknown) => () => ({ params: { runner: NOBODY }, body });
const ofNoOffer = () => ({ params: { runner: NOBODY, spec: NOBODY } });
const ofBaseline = { params: { model: "l4", metric: "bf16_tflops" } };
const ofNoBaseline = { params: { model: "nobody's", metric: "bf16_tflops" } };
const machine = () => ({ machine_uuid: machineUuid() });
const settings = { name: "Renamed" };

/** Jobs without an account: a live one, full and of another task; and one whose token reads alone. */
const notMeant = (live: number, reading = 401) => ({
  "job without an account": live,
  "read without an account": reading,
});

/** By operation id: an operation of the document that is not here fails the suite, and the reverse. */
export const EXPECTATIONS: Record<string, Expectation> = {
  createToken: { access: "open", request: () => ({}) },
  revokeToken: { access: "open", request: () => ({}) },
  login: { access: "open", request: () => ({}) },
  getHealth: { access: "open", request: () => ({}) },
  getServerSpec: { access: "open", request: () => ({}) },
  getServerVersion: { access: "open", request: () => ({}) },

  createJob: {
    access: "user",
    request: () => ({ body: { benchmarks: [] } }),
    people: everyone(201),
  },
  listJobs: { access: "user", request: () => ({}), people: everyone(200) },
  getJob: { access: "user", request: () => ofJob, missing: ofNoJob, people: viewers(200) },
  getJobResults: { access: "user", request: () => ofJob, missing: ofNoJob, people: viewers(200) },
  // The stream of an ended job ends, too.
  streamJobEvents: {
    access: "user",
    request: () => ({ params: { job_id: ended.id } }),
    missing: ofNoJob,
    people: viewers(200),
  },
  makeJobReport: {
    access: "user",
    request: () => ({ params: { job_id: ended.id } }),
    missing: ofNoJob,
    people: viewers(202),
  },
  createJobShare: {
    access: "user",
    request: async () => ({ params: { job_id: (await createJob({}, persons.owner)).id } }),
    missing: ofNoJob,
    people: ofItsCustomer(201),
  },
  listJobShares: { access: "user", request: () => ofJob, missing: ofNoJob, people: viewers(200) },
  deleteJobShare: {
    access: "user",
    request: async () => ({ params: { ...ofJob.params, uuid: await shareOfJob() } }),
    missing: () => ({ params: { ...ofNoJob().params, uuid: NOBODY } }),
    people: ofItsCustomer(204),
  },
  getSharedJob: {
    access: "open",
    request: () => ({ params: { share: `assay_share_${"0".repeat(30)}` } }),
  },
  getSharedResults: {
    access: "open",
    request: () => ({ params: { share: `assay_share_${"0".repeat(30)}` } }),
  },
  getReportData: {
    access: "open",
    request: () => ({ params: { hash: "0".repeat(64) } }),
  },
  getReportKeys: { access: "open", request: () => ({}) },
  getReport: {
    access: "open",
    request: () => ({ params: { hash: "0".repeat(64) } }),
  },
  getReportFile: {
    access: "open",
    request: () => ({
      params: { id: ended.id },
      query: `?expires=99999999999&key=AAAAAAAA&signature=${"A".repeat(43)}`,
    }),
  },
  abortJob: {
    access: "user",
    request: async () => ({ params: { job_id: (await createJob({}, persons.owner)).id } }),
    missing: ofNoJob,
    people: ofItsCustomer(200),
  },
  deleteJob: {
    access: "user",
    request: async () => ({ body: { id: (await createJob({}, persons.owner)).id } }),
    missing: () => ({ body: { id: "512" } }),
    people: ofItsCustomer(200),
  },
  deleteJobById: {
    access: "user",
    request: async () => ({ params: { job_id: (await createJob({}, persons.owner)).id } }),
    missing: () => ({ params: { job_id: "512" } }),
    people: ofItsCustomer(200),
  },
  getJobStats: { access: "user", request: () => ({}), people: everyone(200) },
  listBaselines: { access: "user", request: () => ({}), people: everyone(200) },
  getBaseline: { access: "user", request: () => ofBaseline, people: everyone(200) },
  pinBaseline: {
    access: "user",
    request: () => ({ ...ofBaseline, body: { value: 260.5 } }),
    missing: () => ({ ...ofNoBaseline, body: { value: 260.5 } }),
    people: rootsAlone(200),
  },
  unpinBaseline: {
    access: "user",
    request: async () => {
      const pin = {
        model: "l4",
        metric: "bf16_tflops" as const,
        class: "quickmark",
        version: 0,
        pinnedValue: 1,
        pinnedAt: 0,
      };
      const target = [baselines.model, baselines.metric, baselines.class];
      await db
        .insert(baselines)
        .values(pin)
        .onConflictDoUpdate({ target, set: { pinnedValue: 1 } });
      return ofBaseline;
    },
    missing: () => ofNoBaseline,
    people: rootsAlone(204),
  },
  listTasks: { access: "user", request: () => ({}), people: everyone(200) },
  getTaskResults: {
    access: "user",
    request: () => ({ params: { task_id: taskId } }),
    missing: () => ({ params: { task_id: "513" } }),
    people: viewers(200),
  },
  listMachines: { access: "user", request: () => ({}), people: everyone(200) },
  getMachine: {
    access: "user",
    request: () => ofMachine,
    missing: ofNoMachine,
    people: viewers(200),
  },
  getMachineHistory: {
    access: "user",
    request: () => ofMachine,
    missing: ofNoMachine,
    people: viewers(200),
  },
  compare: {
    access: "user",
    request: () => ({ query: `?group_by=job&key=${job.id}&key=${ended.id}` }),
    people: everyone(200),
  },
  listJobTags: { access: "user", request: () => ({}), people: everyone(200) },
  listBenchmarks: { access: "user", request: () => ({}), people: everyone(200) },
  listAvailableSpecs: { access: "user", request: () => ({}), people: everyone(200) },

  listSpecs: { access: "user", request: () => ({}), people: rootsAlone(200) },
  createSpec: {
    access: "user",
    request: () => ({ body: { name: "Made by the matrix", ...HARDWARE } }),
    people: rootsAlone(201),
  },
  getSpec: { access: "user", request: () => ofSpec, missing: ofNoSpec(), people: rootsAlone(200) },
  updateSpec: {
    access: "user",
    request: () => ({ ...ofSpec, body: settings }),
    missing: ofNoSpec(settings),
    people: rootsAlone(200),
  },
  deleteSpec: {
    access: "user",
    request: async () => ({ params: { spec: (await createSpec()).uuid } }),
    missing: ofNoSpec(),
    people: rootsAlone(204),
  },

  listCustomers: { access: "user", request: () => ({}), people: managers(200) },
  createCustomer: {
    access: "user",
    session: "any",
    request: () => ({ body: { name: "Made by the matrix" } }),
    people: rootsAlone(201),
  },
  getCustomer: {
    access: "user",
    request: () => ({ params: { customer } }),
    missing: () => ({ params: { customer: NOBODY } }),
    people: managersOf(200),
  },
  updateCustomer: {
    access: "user",
    session: "any",
    request: () => ({ params: { customer }, body: settings }),
    missing: () => ({ params: { customer: NOBODY }, body: settings }),
    people: rootsAlone(200),
  },

  listUsers: { access: "user", request: () => ({}), people: managers(200) },
  createUser: {
    access: "user",
    session: "recent",
    request: () => ({ body: newPerson(customer) }),
    missing: () => ({ body: newPerson(NOBODY) }),
    people: managersOf(201),
  },
  getOwnUser: { access: "user", request: () => ({}), people: everyone(200) },
  changeOwnPassword: {
    access: "user",
    request: () => ({ body: { old_password: PASSWORD, password: PASSWORD } }),
    people: everyone(204),
    session: "any",
  },
  getUser: {
    access: "user",
    request: () => ofColleague,
    missing: ofNobody(),
    // Everyone sees themselves.
    people: (name) => (name === "colleague" ? 200 : managersOf(200)(name)),
  },
  updateUser: {
    access: "user",
    session: "any",
    request: () => ({ ...ofColleague, body: settings }),
    missing: ofNobody(settings),
    people: managersOf(200),
  },
  deleteUser: {
    access: "user",
    session: "any",
    request: async () => ({
      params: { user: (await createPerson({ customerId: persons.owner.customerId })).uuid },
    }),
    missing: ofNobody(),
    people: managersOf(204),
  },
  createPasswordLink: {
    access: "user",
    session: "recent",
    request: () => ofColleague,
    missing: ofNobody(),
    people: managersOf(201),
  },
  setPassword: { access: "open", request: () => ({}) },
  setUp: { access: "open", request: () => ({}) },
  createAnonymousJob: { access: "open", request: () => ({}) },

  listApiTokens: {
    access: "user",
    request: () => ofOwner,
    missing: ofNobody(),
    people: ownerAndManagers(200),
  },
  createApiToken: {
    access: "user",
    request: () => ({ ...ofOwner, body: { name: "Made by the matrix" } }),
    missing: ofNobody({ name: "Made by the matrix" }),
    // Nobody makes one for someone else, whatever their role.
    session: "any",
    people: (name) => (name === "owner" ? 201 : 403),
  },
  getApiToken: {
    access: "user",
    request: async () => ({ params: { ...ofOwner.params, uuid: await tokenOfOwner() } }),
    missing: ofNoToken,
    people: ownerAndManagers(200),
  },
  updateApiToken: {
    access: "user",
    session: "any",
    request: async () => ({
      params: { ...ofOwner.params, uuid: await tokenOfOwner() },
      body: settings,
    }),
    missing: () => ({ ...ofNoToken(), body: settings }),
    people: ownerAndManagers(200),
  },
  revokeApiToken: {
    access: "user",
    session: "any",
    request: async () => ({ params: { ...ofOwner.params, uuid: await tokenOfOwner() } }),
    missing: ofNoToken,
    people: ownerAndManagers(204),
  },
  listUserKeys: {
    access: "user",
    request: () => ofOwner,
    missing: ofNobody(),
    people: ownerAndManagers(200),
  },
  createUserKey: {
    access: "user",
    request: () => ({ ...ofOwner, body: { name: "Made by the matrix" } }),
    missing: ofNobody({ name: "Made by the matrix" }),
    // Nobody makes one for someone else, whatever their role.
    session: "any",
    people: (name) => (name === "owner" ? 201 : 403),
  },
  getUserKey: {
    access: "user",
    request: async () => ({ params: { ...ofOwner.params, key: await keyOfOwner() } }),
    missing: ofNoKey,
    people: ownerAndManagers(200),
  },
  updateUserKey: {
    access: "user",
    session: "any",
    request: async () => ({
      params: { ...ofOwner.params, key: await keyOfOwner() },
      body: settings,
    }),
    missing: () => ({ ...ofNoKey(), body: settings }),
    people: ownerAndManagers(200),
  },
  revokeUserKey: {
    access: "user",
    session: "any",
    request: async () => ({ params: { ...ofOwner.params, key: await keyOfOwner() } }),
    missing: ofNoKey,
    people: ownerAndManagers(204),
  },
  listAuditEvents: { access: "user", request: () => ({}), people: managers(200) },
  listRunners: { access: "user", request: () => ({}), people: rootsAlone(200) },
  createRunner: {
    access: "user",
    request: () => ({ body: { name: "Made by the matrix", slug: `made-${machineUuid()}` } }),
    people: rootsAlone(201),
  },
  getRunner: {
    access: "user",
    request: () => ofRunner,
    missing: ofNoRunner(),
    people: rootsAlone(200),
  },
  updateRunner: {
    access: "user",
    request: () => ({ ...ofRunner, body: settings }),
    missing: ofNoRunner(settings),
    people: rootsAlone(200),
  },
  rotateRunnerKey: {
    access: "user",
    request: async () => ({ params: { runner: (await createRunner()).uuid } }),
    missing: ofNoRunner(),
    people: rootsAlone(201),
  },
  listRunnerSpecs: {
    access: "user",
    request: () => ofRunner,
    missing: ofNoRunner(),
    people: rootsAlone(200),
  },
  offerRunnerSpec: {
    access: "user",
    request: async () => ({ ...ofRunner, body: { spec: (await createSpec()).uuid } }),
    missing: ofNoRunner({ spec: NOBODY }),
    people: rootsAlone(201),
  },
  withdrawRunnerSpec: {
    access: "user",
    request: async () => {
      const offered = await createSpec();
      return { params: { runner: (await createRunner([offered])).uuid, spec: offered.uuid } };
    },
    missing: ofNoOffer,
    people: rootsAlone(204),
  },
  claimJob: {
    access: "runner",
    request: () => ofRunner,
    missing: ofNoRunner(),
    // For another runner there is no such runner.
    runners: (name) => (name === "runner key" ? 200 : 401),
  },

  // Without an upgrade, whoever may open a socket is told that this is one.
  openRunnerChannel: {
    access: "runner",
    request: () => ofRunner,
    missing: ofNoRunner(),
    runners: (name) => (name === "runner key" ? 426 : 401),
  },
  openCurrentChannel: {
    access: "node",
    request: () => ({}),
    machines: (name) => (name === "read without an account" ? 401 : 426),
  },

  pollCurrentJob: {
    access: "node",
    request: () => ({ query: `?task_id=${taskId}` }),
    // The task of another job is no task of this one; an ended job tells everybody to stop.
    machines: (name) =>
      ({ "own job": 200, "another job": 404, "ended job": 200, ...notMeant(404, 200) })[name],
  },
  generateReport: {
    access: "node",
    request: () => ({ params: { job_id: ended.id } }),
    machines: (name) =>
      ({ "own job": 404, "another job": 404, "ended job": 202, ...notMeant(404) })[name],
  },
  joinCurrentJob: {
    access: "node",
    request: () => ({ body: machine() }),
    machines: (name) =>
      ({ "own job": 201, "another job": 201, "ended job": 409, ...notMeant(409) })[name],
  },
  updateCurrentTask: {
    access: "node",
    request: () => ({ params: { task_id: taskId }, body: {} }),
    machines: (name) =>
      ({ "own job": 200, "another job": 404, "ended job": 409, ...notMeant(404) })[name],
  },
  putStepResult: {
    access: "node",
    request: () => ({ params: { task_id: taskId, position: "0" }, body: resultBody() }),
    machines: (name) =>
      ({ "own job": 200, "another job": 404, "ended job": 409, ...notMeant(404) })[name],
  },
};
