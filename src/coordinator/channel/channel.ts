/** The sockets of a job's nodes. Loads with the first of them. */
import { epochOf } from "../../identity/job-token.ts";
import { createTokens, type Tokens } from "../../identity/tokens.ts";
import { type Clock, SECOND_MS } from "../../lib/clock.ts";
import { readConfig } from "../../lib/config.ts";
import { rankOf } from "../../lib/ids.ts";
import { speaksFor } from "../life/access.ts";
import { isSettled, type Job, type Live, type Node, positionOf } from "../life/model.ts";
import { pollReply, viewOf } from "../replies.ts";
import type { JobRuntime } from "../runtime.ts";
import type { Directive } from "../wire/node-view.ts";
import type { Refusal } from "../wire/protocol.ts";
import { CLOSE, type Hello, type ProgressMessage, readMessage, viewMessage } from "./messages.ts";
import type { OpenSocket, OpenSockets, SocketNode } from "./open-sockets.ts";

/** A client has this long to say which node it is. */
const HELLO_MS = 10 * SECOND_MS;
/** Sockets without a hello, besides one for each node: after a deployment all of them come back. */
const MORE_STRANGERS = 16;
/** A node's progress messages are this far apart in the mean; the network may deliver some at once. */
const PROGRESS_MS = 5 * SECOND_MS;
const PROGRESS_BURST_MS = 4 * PROGRESS_MS;

export class Channel {
  readonly #runtime: JobRuntime;
  readonly #sockets: OpenSockets;
  readonly #tokens: Promise<Tokens>;
  readonly #clock: Clock;
  /** The time-outs of sockets without a hello: an object sleeps only when it waits for nothing. */
  readonly #waiting = new Map<OpenSocket, ReturnType<typeof setTimeout>>();

  constructor({ runtime, env, clock }: { runtime: JobRuntime; env: Env; clock: Clock }) {
    this.#runtime = runtime;
    this.#sockets = runtime.sockets;
    this.#tokens = createTokens(readConfig(env).tokenSecrets, clock);
    this.#clock = clock;
  }

  /** Opens a socket for a bearer of the job's token; answers a refusal for a job that has ended. */
  async open(jobId: number): Promise<WebSocket | Refusal> {
    const live = await this.#runtime.open(jobId);
    if ("ok" in live) return live;
    if (isSettled(live.job)) return { ok: false, reason: "ended" };
    this.#dismissStrangers(live.job.nodeCount + MORE_STRANGERS);
    const { 0: client, 1: server } = new WebSocketPair();
    const opened = this.#sockets.accept(server, jobId);
    const timer = setTimeout(() => {
      this.#refuse(opened, CLOSE.refused, "no hello within 10 s");
    }, HELLO_MS);
    this.#waiting.set(opened, timer);
    return client;
  }

  /** Makes room for one more socket without a hello, and closes those that an earlier instance left. */
  #dismissStrangers(limit: number): void {
    const strangers = this.#sockets.all().filter(({ node }) => node === null);
    const late = this.#clock.now() - HELLO_MS;
    for (const [at, stranger] of strangers.entries()) {
      if (stranger.openedAt < late) this.#refuse(stranger, CLOSE.refused, "no hello within 10 s");
      else if (at <= strangers.length - limit) {
        this.#refuse(stranger, CLOSE.busy, "too many sockets without a hello");
      }
    }
  }

  async hear(socket: WebSocket, sent: string | ArrayBuffer): Promise<void> {
    const open = this.#sockets.find(socket);
    // Closed by this side; what the client has sent before it knew is late.
    if (open === undefined) return;
    const read = readMessage(sent);
    if (!read.ok) return this.#refuse(open, read.code, read.why);
    const live = await this.#runtime.open(open.jobId);
    const { message } = read;
    if ("ok" in live) this.#sockets.close(open, CLOSE.busy, "the job cannot be read now");
    else if (message.type === "hello") await this.#greet(open, live, message);
    else this.#takeProgress(open, live, message);
  }

  async #greet(open: OpenSocket, live: Live, hello: Hello): Promise<void> {
    if (isGreeted(open)) return this.#refuse(open, CLOSE.refused, "hello comes once");
    const { task_id: taskId, task_token: token, known_etag: known = null } = hello;
    const epoch = token ? await epochOf(await this.#tokens, token, taskId) : null;
    // The check of the token has taken a moment: everything else is decided now.
    if (!this.#sockets.all().includes(open)) return;
    if (isGreeted(open)) return this.#refuse(open, CLOSE.refused, "hello comes once");
    const rank = rankOf(live.identity.jobId, taskId);
    const node = rank === null ? undefined : live.job.nodes[rank];
    if (node === undefined) return this.#refuse(open, CLOSE.refused, `no task ${taskId}`);
    if (!speaksFor(node, epoch)) {
      const why = "task_token is not that of this task, or another agent has taken it over";
      return this.#refuse(open, CLOSE.revoked, why);
    }
    const { leases } = this.#runtime;
    // Before the socket is the node's, so that its first view is the reply to its hello.
    if (node.lostAt !== null) this.#runtime.touch(live, node, {}, true);
    const contact = leases.socketOpened(node.rank);
    if (contact === undefined) return this.#refuse(open, CLOSE.refused, `no task ${taskId}`);
    const own: SocketNode = { rank: node.rank, epoch, etag: "", contact, paidUntil: 0 };
    this.#admit(open, live, own);
    const view = viewOf(live, leases, node.rank);
    const { etag, view: text } = pollReply(view, known);
    own.etag = etag;
    this.#sockets.save(open);
    if (text !== null || hello.nonce) send(open, viewMessage(etag, text, hello.nonce));
    if (view.directive === "stop") leases.tellToStop([node.rank]);
    if (isSettled(live.job)) this.#sockets.close(open, CLOSE.ended, "the job has ended");
  }

  /** From here on the socket speaks for the node, and an older one does not. */
  #admit(open: OpenSocket, live: Live, own: SocketNode): void {
    const { rank } = own;
    const older = this.#sockets.ofRank(rank);
    open.node = own;
    this.#stopWaiting(open);
    if (older !== undefined) {
      this.#sockets.close(older, CLOSE.replaced, "the task has opened another socket");
    }
    this.#runtime.rearm(live);
  }

  #takeProgress(open: OpenSocket, live: Live, sent: ProgressMessage): void {
    const { node: own } = open;
    const node = own === null ? undefined : live.job.nodes[own.rank];
    if (own === null || node === undefined) {
      this.#refuse(open, CLOSE.refused, "the first message is hello");
      return;
    }
    if (isSettled(live.job)) return;
    const now = this.#clock.now();
    own.paidUntil = Math.max(own.paidUntil, now) + PROGRESS_MS;
    if (own.paidUntil - now > PROGRESS_BURST_MS) {
      this.#refuse(open, CLOSE.refused, "progress comes at most once in 5 s");
      return;
    }
    const { progress, message, clock_skew_ms: clockSkewMs } = sent;
    const update = {
      ...(progress === undefined ? {} : { progress }),
      ...(message === undefined ? {} : { message }),
      ...(clockSkewMs === undefined ? {} : { clockSkewMs }),
    };
    this.#runtime.touch(live, node, update, true);
    own.contact = this.#runtime.leases.of(own.rank) ?? own.contact;
    this.#sockets.save(open);
  }

  /** The client has closed its socket, or the connection has broken: the node's ordinary lease begins. */
  async end(socket: WebSocket): Promise<void> {
    const open = this.#sockets.find(socket);
    if (open === undefined) return;
    this.#stopWaiting(open);
    this.#sockets.close(open, CLOSE.ended, "");
    if (open.node === null) return;
    const live = await this.#runtime.open(open.jobId);
    if ("ok" in live) return;
    this.#endOf(live, open, true);
  }

  #endOf(live: Live, { node }: OpenSocket, isContact: boolean): void {
    if (node === null || isSettled(live.job)) return;
    // The client was faster than the end of its earlier socket.
    if (this.#sockets.ofRank(node.rank) !== undefined) return;
    this.#runtime.leases.socketClosed(node.rank, isContact);
    this.#runtime.rearm(live);
  }

  /** Sends each node what it sees now, if that has changed. */
  announce(live: Live, before: Job): void {
    const { job } = live;
    const hasMoved = job.nodes.some(
      ({ machine }, rank) => before.nodes[rank]?.machine !== machine && rank < before.nodes.length,
    );
    const sees = (node: Node) =>
      job.state !== before.state ||
      node !== before.nodes[node.rank] ||
      (hasMoved && node.steps[positionOf(node)]?.state === "running");
    const stopped: number[] = [];
    for (const open of [...this.#sockets.all()]) {
      const node = open.node === null ? undefined : job.nodes[open.node.rank];
      if (node !== undefined && sees(node)) {
        if (this.#show(open, live, node) === "stop") stopped.push(node.rank);
      } else if (open.node === null && isSettled(job)) {
        this.#stopWaiting(open);
        this.#sockets.close(open, CLOSE.ended, "the job has ended");
      }
    }
    this.#runtime.leases.tellToStop(stopped);
  }

  /** Answers the directive that the node is told; null if its client has it already. */
  #show(open: OpenSocket, live: Live, node: Node): Directive | null {
    const { leases } = this.#runtime;
    const { node: own } = open;
    if (own === null) return null;
    if (!speaksFor(node, own.epoch)) {
      this.#sockets.close(open, CLOSE.revoked, "another agent has taken the task over");
      return null;
    }
    const view = viewOf(live, leases, node.rank);
    const { etag, view: text } = pollReply(view, own.etag);
    if (text !== null) send(open, viewMessage(etag, text));
    if (isSettled(live.job)) {
      this.#sockets.close(open, CLOSE.ended, "the job has ended");
    } else if (node.lostAt !== null) {
      this.#sockets.close(open, CLOSE.silent, "no ping for longer than a lease");
      this.#endOf(live, open, false);
    } else if (text !== null) {
      own.etag = etag;
      this.#sockets.save(open);
    }
    return text === null ? null : view.directive;
  }

  #refuse(open: OpenSocket, code: number, message: string): void {
    const { node } = open;
    this.#stopWaiting(open);
    send(open, JSON.stringify({ type: "error", message }));
    this.#sockets.close(open, code, message.slice(0, MAX_REASON));
    if (node !== null) this.#leave(open);
  }

  #stopWaiting(open: OpenSocket): void {
    clearTimeout(this.#waiting.get(open));
    this.#waiting.delete(open);
  }

  /** Begins the ordinary lease of a node whose client was refused. */
  #leave(open: OpenSocket): void {
    void this.#runtime.open(open.jobId).then((live) => {
      if (!("ok" in live)) this.#endOf(live, open, true);
    });
  }
}

/** A function, since what it reads changes while a hello is looked at. */
const isGreeted = ({ node }: OpenSocket) => node !== null;

/** A close frame's reason has at most 123 bytes, and ours are ASCII. */
const MAX_REASON = 120;

function send({ socket }: OpenSocket, text: string): void {
  try {
    socket.send(text);
  } catch {
    // The client has closed it; its end comes as an event of its own.
  }
}
