/** Views of nodes, with their text and validators. Parts that nodes or polls share are made once. */
import { createHash } from "node:crypto";
import { isClusterStep } from "../../benchmarks/sequence.ts";
import { toTimestamp } from "../../lib/clock.ts";
import { taskIdOf } from "../../lib/ids.ts";
import {
  type Contact,
  hasEnded,
  isSettled,
  type Job,
  type JobIdentity,
  type Node,
  positionOf,
} from "../life/model.ts";
import { toNodeRecord } from "../projection/projection.ts";
import { chooseWait, directiveFor, type NodeView } from "./node-view.ts";
import { toTaskWire } from "./task.ts";

interface Peers {
  list: NonNullable<NodeView["nodes"]>;
  /** JSON of the list. */
  text: string;
  /** Stands for the list in validators. */
  digest: string;
}

/** By list and by job: when a barrier opens, up to 256 nodes are told of the same 256 nodes. */
const peersByList = new WeakMap<object, Peers>();
const peersByJob = new WeakMap<Job, Peers>();

function peersOf(identity: JobIdentity, job: Job): Peers {
  const known = peersByJob.get(job);
  if (known !== undefined) return known;
  const list = job.nodes.map(({ rank, machine }) => ({
    rank,
    task_id: String(taskIdOf(identity.jobId, rank)),
    cluster_address: machine.clusterAddresses[0] ?? null,
    cluster_addresses: [...machine.clusterAddresses],
  }));
  const text = JSON.stringify(list);
  const peers = { list, text, digest: digestOf(text) };
  peersByJob.set(job, peers);
  peersByList.set(list, peers);
  return peers;
}

/** Most polls of a node get the same view, which is made once for each change of the job or of the node's contact. */
interface Standing {
  contact: Contact | undefined;
  view: Omit<NodeView, "poll_after_seconds">;
  etag?: string;
  /** The text up to the time of the next poll; only of a view without the list of nodes, which is long. */
  text?: string;
}

const standingByJob = new WeakMap<Job, Map<number, Standing>>();
/** By the task of a view, which only that node's views have. */
const standingByTask = new WeakMap<object, Standing>();

function standingOf(job: Job, rank: number, contact: Contact | undefined): Standing | undefined {
  const standing = standingByJob.get(job)?.get(rank);
  const isSame =
    standing?.contact?.progress === contact?.progress &&
    standing?.contact?.message === contact?.message &&
    standing?.contact?.clockSkewMs === contact?.clockSkewMs;
  return isSame ? standing : undefined;
}

function remember(job: Job, rank: number, standing: Standing): void {
  const ofJob = standingByJob.get(job) ?? new Map<number, Standing>();
  standingByJob.set(job, ofJob.set(rank, standing));
  if (standing.view.task !== null) standingByTask.set(standing.view.task, standing);
}

/** The view of one node, or of a caller that has not joined. */
export function toNodeView(
  identity: JobIdentity,
  job: Job,
  node: Node | null,
  contact: Contact | undefined,
  leaseMs: number,
  random: () => number,
): NodeView {
  const known = node === null ? undefined : standingOf(job, node.rank, contact);
  const view = known?.view ?? toLastingView(identity, job, node, contact);
  if (known === undefined && node !== null) remember(job, node.rank, { contact, view });
  return { ...view, poll_after_seconds: chooseWait(job, view.directive, leaseMs, random) };
}

function toLastingView(
  identity: JobIdentity,
  job: Job,
  node: Node | null,
  contact: Contact | undefined,
): Standing["view"] {
  const directive = directiveFor(job, node);
  const position = node === null ? -1 : positionOf(node);
  const step = directive === "run" ? identity.sequence[position] : undefined;
  const cluster = step !== undefined && isClusterStep(step);
  return {
    id: String(identity.jobId),
    name: identity.name,
    state: job.state,
    version: job.version,
    node_count: job.nodeCount,
    current_nodes: job.nodes.length,
    unfinished_nodes: isSettled(job) ? 0 : job.nodeCount - job.nodes.filter(hasEnded).length,
    benchmark_sequence: [...identity.sequence],
    expires_at: toTimestamp(job.expiresAt),
    directive,
    step:
      step === undefined
        ? null
        : { position, ...step, peer_key: cluster ? identity.peerKey : null },
    nodes: cluster ? peersOf(identity, job).list : null,
    task:
      node === null ? null : toTaskWire(toNodeRecord(identity, node, contact, job.version), null),
  };
}

/** The text of a view. Its list of nodes is serialized once for all nodes that are told of it. */
export function viewText(view: NodeView): string {
  const standing = view.task === null ? undefined : standingByTask.get(view.task);
  if (standing === undefined || view.nodes !== null) return writtenView(view);
  const { poll_after_seconds, ...lasting } = view;
  standing.text ??= JSON.stringify(lasting).slice(0, -1);
  return `${standing.text},"poll_after_seconds":${poll_after_seconds}}`;
}

function writtenView(view: NodeView): string {
  const peers = view.nodes === null ? undefined : peersByList.get(view.nodes);
  if (peers === undefined) return JSON.stringify(view);
  const text = JSON.stringify({ ...view, nodes: null });
  // The last one: a benchmark's options, which come before, are free in form.
  const at = text.lastIndexOf(NO_NODES);
  return `${text.slice(0, at)},"nodes":${peers.text},${text.slice(at + NO_NODES.length)}`;
}

const NO_NODES = ',"nodes":null,';

/**
 * A weak validator of a node's view. It leaves out the job's version and the numbers of nodes, which change with
 * events of other nodes: otherwise each event would be news for up to 256 nodes.
 */
export function etagOf(view: NodeView): string {
  const standing = view.task === null ? undefined : standingByTask.get(view.task);
  if (standing === undefined) return computedTag(view);
  standing.etag ??= computedTag(view);
  return standing.etag;
}

function computedTag(view: NodeView): string {
  const {
    version: _version,
    poll_after_seconds: _poll,
    current_nodes: _nodes,
    unfinished_nodes: _unfinished,
    ...seen
  } = view;
  const peers = view.nodes === null ? undefined : peersByList.get(view.nodes);
  return `W/"${digestOf(JSON.stringify(peers === undefined ? seen : { ...seen, nodes: peers.digest }))}"`;
}

function digestOf(text: string): string {
  return createHash("sha256").update(text).digest("base64url").slice(0, 22);
}
