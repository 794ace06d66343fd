/**
 * The node protocol's replies, read leniently: servers are older and newer than agents, so unknown
 * fields are ignored and only what the agent acts on must be there.
 */

export type Directive = "join" | "wait" | "run" | "stop";

export interface Step {
  /** 0-based index into the job's benchmark sequence. */
  position: number;
  benchmarkId: string;
  config: Record<string, unknown>;
  /** Hex key the nodes of a cluster step greet each other with; null for other steps. */
  peerKey: string | null;
}

export interface ClusterNode {
  rank: number;
  taskId: string;
  /** Each a `host:port`, best first; empty when the node named none. */
  clusterAddresses: string[];
}

export interface Task {
  id: string;
  rank: number;
  state: string;
  /** By which the server knows the node's calls; only joining and claiming bring it. */
  token: string | null;
  /** The whole object as the server sent it, but for the token. */
  wire: Record<string, unknown>;
}

export interface JobView {
  id: string;
  nodeCount: number;
  /** Milliseconds since the epoch, by the server's clock. */
  expiresAt: number | null;
  directive: Directive;
  step: Step | null;
  nodes: ClusterNode[];
  task: Task | null;
  pollAfterSeconds: number;
  benchmarkIds: string[];
  /** True once every node has ended, or the job was aborted. */
  isSettled: boolean;
  /** Of the expected nodes; null from a server that does not say. */
  unfinishedNodes: number | null;
  /** Null in views that the server sends by itself. */
  outcome: Outcome | null;
}

/** The server's verdict on this node, as it came; null before the job is rated. */
export interface Outcome {
  performance: Record<string, unknown> | null;
  findings: Record<string, unknown>[] | null;
  specCheck: Record<string, unknown> | null;
}

const SETTLED_STATES = ["completed", "completed_with_warnings", "failed", "aborted"];

/** The outcome of a step, which becomes the body of its result. */
export type StepOutcome =
  | { state: "completed"; results: Record<string, unknown> }
  | { state: "failed"; errorMessage: string; results?: Record<string, unknown> };

/** Used when a reply names no interval. */
const DEFAULT_POLL_SECONDS = 20;

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Returns null when the body is not a job view, such as a proxy's error page. */
export function parseJobView(body: unknown): JobView | null {
  if (!isRecord(body)) return null;
  const id = toId(body.id);
  if (id === null || typeof body.directive !== "string") return null;
  const expiresAt = typeof body.expires_at === "string" ? Date.parse(body.expires_at) : Number.NaN;
  const poll = body.poll_after_seconds;
  return {
    id,
    nodeCount: typeof body.node_count === "number" ? body.node_count : 1,
    expiresAt: Number.isNaN(expiresAt) ? null : expiresAt,
    directive: toDirective(body.directive),
    step: parseStep(body.step),
    nodes: Array.isArray(body.nodes) ? body.nodes.flatMap(parseNode) : [],
    task: parseTask(body.task),
    pollAfterSeconds: typeof poll === "number" && poll >= 0 ? poll : DEFAULT_POLL_SECONDS,
    benchmarkIds: records(body.benchmark_sequence).flatMap(({ benchmark_id: id }) =>
      typeof id === "string" ? [id] : [],
    ),
    isSettled: typeof body.state === "string" && SETTLED_STATES.includes(body.state),
    unfinishedNodes: typeof body.unfinished_nodes === "number" ? body.unfinished_nodes : null,
    outcome: "performance" in body ? parseOutcome(body) : null,
  };
}

function parseOutcome(body: Record<string, unknown>): Outcome {
  const { performance, findings, spec_check: specCheck } = body;
  return {
    performance: isRecord(performance) ? performance : null,
    findings: Array.isArray(findings) ? records(findings) : null,
    specCheck: isRecord(specCheck) ? specCheck : null,
  };
}

/** The records of a list. */
export function records(list: unknown): Record<string, unknown>[] {
  return Array.isArray(list) ? list.filter(isRecord) : [];
}

export function parseTask(value: unknown): Task | null {
  if (!isRecord(value)) return null;
  const { task_token: token, ...wire } = value;
  const id = toId(wire.id);
  if (id === null || typeof wire.state !== "string") return null;
  return {
    id,
    rank: typeof wire.rank === "number" ? wire.rank : 0,
    state: wire.state,
    token: typeof token === "string" ? token : null,
    wire,
  };
}

/** A directive from a newer server is met by waiting: the next one may be known. */
function toDirective(text: string): Directive {
  return text === "join" || text === "run" || text === "stop" ? text : "wait";
}

function toId(value: unknown): string | null {
  if (typeof value === "number") return String(value);
  return typeof value === "string" && value !== "" ? value : null;
}

function parseStep(value: unknown): Step | null {
  if (!isRecord(value)) return null;
  const { position, benchmark_id: benchmarkId, config, peer_key: peerKey } = value;
  if (typeof position !== "number" || typeof benchmarkId !== "string") return null;
  return {
    position,
    benchmarkId,
    config: isRecord(config) ? config : {},
    peerKey: typeof peerKey === "string" ? peerKey : null,
  };
}

function parseNode(value: unknown): ClusterNode[] {
  if (!isRecord(value)) return [];
  const taskId = toId(value.task_id);
  if (typeof value.rank !== "number" || taskId === null) return [];
  const addresses: unknown[] = Array.isArray(value.cluster_addresses)
    ? value.cluster_addresses
    : [value.cluster_address];
  const clusterAddresses = addresses.filter((each) => typeof each === "string");
  return [{ rank: value.rank, taskId, clusterAddresses }];
}
