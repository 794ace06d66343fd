import fc from "fast-check";
import type { LocalWorker } from "../../scripts/lib/local-worker.ts";
import { type BoundaryCase, boundaryCases } from "./boundaries.ts";
import type { Conformance } from "./conformance.ts";
import type { ApiDocument, Operation } from "./document.ts";
import { type DrawnDraft, toWire, validDrafts } from "./draft.ts";
import { faults } from "./faults.ts";
import { type Filled, fill, type Purpose } from "./providers.ts";
import type { FuzzOptions } from "./run.ts";
import type { StateWatch } from "./state-watch.ts";
import { type Reply, send, toCurl, type WireRequest } from "./wire.ts";
import type { World } from "./world.ts";

export interface FuzzContext {
  worker: LocalWorker;
  world: World;
  document: ApiDocument;
  conformance: Conformance;
  watch: StateWatch;
  options: FuzzOptions;
}

export interface OperationReport {
  id: string;
  valid: number;
  /** Number of valid requests that ended in 2xx. */
  succeeded: number;
  boundary: number;
  hostile: number;
}

/** Excluded from the state watch, because a refused sign-in may be recorded. */
const SIGN_IN = "createToken";
/** Operations that hash a password on each call. */
const HASHING = new Set([SIGN_IN, "createUser", "updateUser", "changeOwnPassword", "setPassword"]);
const HASHING_SHARE = 0.2;

export async function fuzzOperation(
  context: FuzzContext,
  operation: Operation,
): Promise<OperationReport & { failures: string[] }> {
  const { document, conformance, options } = context;
  const { seed } = options;
  const cases = Math.ceil(options.cases * (HASHING.has(operation.id) ? HASHING_SHARE : 1));
  const report = { id: operation.id, valid: 0, succeeded: 0, boundary: 0, hostile: 0 };
  const failures: string[] = [];
  await context.world.renew();
  const drafts = validDrafts(document, conformance, operation);
  let last = "";

  /** Sends one request and checks the reply. The request is stored for the report of a failure. */
  const attempt = async (
    drawn: DrawnDraft,
    purpose: Purpose,
    change: (filled: Filled) => WireRequest,
    check: (reply: Reply) => string | null = () => null,
  ): Promise<Reply> => {
    const filled = await fill({ world: context.world, operation, drawn, purpose });
    const wire = change(filled);
    last = toCurl(context.worker.url, wire);
    const logged = context.worker.errors.length;
    const { reply, fault } = await exchange(context, operation, filled, wire);
    const wrong = fault ?? check(reply);
    if (wrong === null) return reply;
    const log = context.worker.errors.slice(logged).join("\n");
    throw new Error(`${wrong}\n  reply: ${reply.status} ${shorten(reply.body.toString())}\n${log}`);
  };

  /** Checks one property. A failure is recorded with the command that repeats it, and the run goes on. */
  const property = async <T>(
    phase: string,
    arbitrary: fc.Arbitrary<T>,
    numRuns: number,
    run: (value: T) => Promise<void>,
  ): Promise<void> => {
    const path = options.path?.startsWith(`${phase}:`)
      ? options.path.slice(phase.length + 1)
      : undefined;
    if (options.path !== undefined && path === undefined) return;
    const result = await fc.check(fc.asyncProperty(arbitrary, run), {
      seed,
      numRuns,
      ...(path === undefined ? {} : { path }),
    });
    if (!result.failed) return;
    const [counterexample] = result.counterexample ?? [];
    const label = (counterexample as { fault?: { label: string } } | undefined)?.fault?.label ?? ""; // only the hostile phase below draws a fault
    failures.push(
      [
        `${operation.id}, ${phase} request${label && ` (${label})`}: ${messageOf(result.errorInstance)}`,
        `  ${last}`,
        `  again: npm run fuzz -- --only ${operation.id} --seed ${seed} --path ${phase}:${result.counterexamplePath}`,
      ].join("\n"),
    );
  };

  await property("valid", drafts, cases, async (drawn) => {
    const reply = await attempt(drawn, "once", (filled) =>
      toWire(operation, filled.draft, filled.token),
    );
    report.valid++;
    if (reply.status < 300) report.succeeded++;
  });

  if (options.path === undefined) {
    const edges = boundaryCases(document, conformance, operation);
    const bases = fc.sample(drafts, { seed, numRuns: Math.max(1, edges.length) });
    for (const [index, edge] of edges.entries()) {
      const drawn = bases[index];
      if (drawn === undefined) continue;
      report.boundary++;
      try {
        await attempt(
          drawn,
          "again",
          ({ draft, token }) => toWire(operation, edge.apply(draft), token),
          (reply) => boundaryFault(operation.id, edge, reply),
        );
      } catch (error) {
        failures.push(`${operation.id}, boundary (${edge.label}): ${messageOf(error)}\n  ${last}`);
      }
    }
  }

  const spoiled = fc.record({ drawn: drafts, fault: faults(operation) });
  await property("hostile", spoiled, cases * 2, async ({ drawn, fault }) => {
    report.hostile++;
    await attempt(drawn, "again", ({ draft, token }) =>
      fault.apply(operation, draft, toWire(operation, draft, token)),
    );
  });
  return { ...report, failures };
}

/** Sends a request. Returns the fault in the reply, or in the writes of a refused request. */
async function exchange(
  { worker, world, watch, conformance }: FuzzContext,
  operation: Operation,
  { job }: Filled,
  wire: WireRequest,
): Promise<{ reply: Reply; fault: string | null }> {
  const watched = operation.method !== "GET" && operation.id !== SIGN_IN;
  if (watched) await watch.look(job);
  const reply = await send(worker.url, world.agent, wire);
  const refused = reply.status >= 400 && reply.status < 500;
  if (!watched || !refused) watch.expectChange(refused ? null : job);
  const fault = isRerouted(operation, wire)
    ? conformance.faultOfAny(reply)
    : conformance.faultOf(operation, reply);
  if (fault !== null || !watched || !refused) return { reply, fault };
  return { reply, fault: await watch.changeSince() };
}

/** Words of paths that come before ids: other methods of them are 405 (docs/contract.md, "Surfaces"). */
const FIXED_WORDS = /^\/api\/silicon-mark\/v1\/jobs\/(?:anonymous|current|delete|stats|tags)$/;

/** True if a fault changed the path, as `..`, an unencoded slash or a fixed word for an id does. */
function isRerouted(operation: Operation, wire: WireRequest): boolean {
  const pattern = operation.path.replaceAll(".", "\\.").replaceAll(/\{\w+\}/g, "[^/]+");
  // A server drops dot segments and empty segments (docs/contract.md, "HTTP rules").
  const segments = new URL(wire.target, "http://any").pathname.split("/").filter(Boolean);
  const path = `/${segments.join("/")}`;
  return (
    !new RegExp(`^${pattern}$`).test(path) || (path !== operation.path && FIXED_WORDS.test(path))
  );
}

/** Fields whose values depend on other fields or on issued values, so that a value in range may be refused. */
const CROSS_RULES = new Set([
  "createJob node_count",
  "listJobs cursor",
  "listSpecs cursor",
  "listAvailableSpecs cursor",
  "listCustomers cursor",
  "listUsers cursor",
  "listApiTokens cursor",
  "listUserKeys cursor",
  "updateUser admin",
  "createSpec fallback",
  "createSpec sandbox",
  "updateSpec fallback",
  "joinCurrentJob machine_ip",
  "claimJob machine_ip",
  "pinBaseline value",
  "getBaseline class",
  "pinBaseline class",
  "unpinBaseline class",
  "updateCurrentTask failed_message",
  "listAuditEvents cursor",
  "setPassword token",
  "listRunners cursor",
  "listRunnerSpecs cursor",
  "listTasks cursor",
  "listMachines cursor",
  "compare key",
  "compare group_by",
  "compare gpu_model",
  "putStepResult position",
  "putStepResult results",
  "putStepResult error_message",
]);

function boundaryFault(id: string, edge: BoundaryCase, reply: Reply): string | null {
  const { expectation, field } = edge;
  const refused = reply.status >= 400;
  if (expectation === "beyond" && !refused) return "the document refuses this, the server does not";
  const free = !CROSS_RULES.has(`${id} ${field}`);
  if (expectation === "within" && free && reply.status === 400 && refusesField(reply, field)) {
    return "the document allows this, the server does not";
  }
  return null;
}

function refusesField(reply: Reply, field: string): boolean {
  const body: { error?: { details?: { field: string }[] } } = JSON.parse(reply.body.toString());
  const details = body.error?.details ?? [];
  return Array.isArray(details) && details.some((detail) => detail.field === field);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function shorten(text: string): string {
  return text.length > 600 ? `${text.slice(0, 600)}…` : text;
}
