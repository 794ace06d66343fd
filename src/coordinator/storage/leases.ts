import { type Clock, SECOND_MS } from "../../lib/clock.ts";
import type { OpenSockets } from "../channel/open-sockets.ts";
import {
  type Contact,
  hasEnded,
  isSettled,
  type Live,
  type Node,
  nextDeadline,
  type Progress,
  positionOf,
} from "../life/model.ts";
import type { CoordinatorStorage } from "./storage.ts";

/**
 * Progress of less than this is no news to nodes that wait at a barrier: an agent that starts its step again and
 * again, or counts in tiny steps, must not keep them for ever.
 */
const FURTHER = 0.01;
/** Pings come every minute at the latest: however short the lease is, an open socket may be silent for so long. */
const SILENCE_MS = 150 * SECOND_MS;
/** A deadline missed by this much means an outage of the server: the platform's alarms are not so late. */
const OUTAGE_MS = 30 * SECOND_MS;

/**
 * The latest contact of each node, by rank, and the length of a lease. Times are exact in memory and up to half a
 * lease old on disk. When memory was lost, that is added to each stored time, so that no node is lost too early.
 */
export class Leases {
  /** A node out of contact for this long is lost. */
  readonly leaseMs: number;
  /** A node with an open socket is looked for this often: its pings wake nobody. */
  readonly #socketCheckMs: number;
  /** A contact without news is written at most this often: an object's memory is short-lived, but writes cost money. */
  readonly #granularityMs: number;
  readonly #storage: CoordinatorStorage;
  readonly #sockets: OpenSockets;
  readonly #clock: Clock;
  readonly #contacts: Contact[];
  readonly #writtenAt: number[];
  /** Sockets were closed while the object had no memory, so that ordinary leases have begun just now. */
  readonly hasLostSockets: boolean;

  constructor(options: {
    storage: CoordinatorStorage;
    sockets: OpenSockets;
    clock: Clock;
    leaseMs: number;
    socketCheckMs: number;
  }) {
    const { storage, sockets, clock, leaseMs } = options;
    this.leaseMs = leaseMs;
    this.#socketCheckMs = options.socketCheckMs;
    this.#granularityMs = leaseMs / 2;
    this.#storage = storage;
    this.#sockets = sockets;
    this.#clock = clock;
    const now = clock.now();
    const stored = storage.contacts();
    this.#writtenAt = stored.map((contact) => contact.at);
    this.#contacts = stored.map((contact) => ({
      ...contact,
      at: Math.min(now, contact.at + this.#granularityMs),
    }));
    for (const { node } of sockets.all()) {
      // Progress by socket is on no disk; what was written after it is newer.
      if (node !== null && node.contact.at > (stored[node.rank]?.at ?? 0))
        this.#contacts[node.rank] = node.contact;
    }
    // A deployment closes all sockets, and tells nobody.
    const lost = [...this.#contacts.keys()].filter(
      (rank) => this.#contacts[rank]?.hasSocket && sockets.ofRank(rank) === undefined,
    );
    for (const rank of lost) this.socketClosed(rank);
    this.hasLostSockets = lost.length > 0;
  }

  of(rank: number): Contact | undefined {
    return this.#contacts[rank];
  }

  /** Pings wake nobody: their times are read from the sockets. */
  #listen(): void {
    const now = this.#clock.now();
    for (const open of this.#sockets.all()) {
      const contact = open.node === null ? undefined : this.#contacts[open.node.rank];
      if (contact === undefined) continue;
      contact.at = Math.max(contact.at, Math.min(now, this.#sockets.pingedAt(open)));
    }
  }

  /** Notes that an open socket speaks for the node, whose lease is as long as it is open. */
  socketOpened(rank: number): Contact | undefined {
    const contact = this.#contacts[rank];
    if (contact === undefined) return undefined;
    const now = this.#clock.now();
    const opened = { ...contact, at: Math.max(now, contact.at), hasSocket: true };
    const isKnown = contact.hasSocket && now - (this.#writtenAt[rank] ?? 0) < this.#granularityMs;
    if (isKnown) this.#contacts[rank] = opened;
    else this.#write([[rank, opened]]);
    return opened;
  }

  /**
   * Begins the node's ordinary lease, and writes the progress that its socket has brought.
   *
   * @param isContact false for a node that was silent for longer than its lease
   */
  socketClosed(rank: number, isContact = true): void {
    const contact = this.#contacts[rank];
    if (contact === undefined) return;
    const at = isContact ? Math.max(this.#clock.now(), contact.at) : contact.at;
    this.#write([[rank, { ...contact, at, hasSocket: false }]]);
  }

  /**
   * Time for which a node still counts as in contact, ms, for another machine that is told of it; 0 for a node whose
   * lease is over. The contact is written exactly, so that the lease ends then even if memory is lost.
   */
  pinnedRestOf({ hearingSince }: Live, { rank, lostAt, joinedAt }: Node): number {
    if (lostAt !== null) return 0;
    this.#listen();
    const contact = this.#contacts[rank];
    const since = Math.max(contact?.at ?? joinedAt, hearingSince);
    const leaseMs = this.leaseMs + this.#moreFor(contact);
    const rest = Math.min(Math.max(since + leaseMs - this.#clock.now(), 0), leaseMs);
    if (rest > 0) this.#pin(rank);
    return rest;
  }

  /** Writes a node's latest contact so that what is added to stored times leads to it. Nothing for a repetition. */
  #pin(rank: number): void {
    const contact = this.#contacts[rank];
    if (contact === undefined) return;
    const at = contact.at - this.#granularityMs;
    if (this.#writtenAt[rank] === at) return;
    this.#writtenAt[rank] = at;
    this.#storage.saveContacts([[rank, { ...contact, at }]]);
  }

  /** Times by rank, ms, from which a lease counts: the latest contacts, later for a node with a socket if leases are short. */
  times(): number[] {
    this.#listen();
    return this.#contacts.map((contact) => contact.at + this.#moreFor(contact));
  }

  #moreFor(contact: Contact | undefined): number {
    return contact?.hasSocket ? Math.max(SILENCE_MS - this.leaseMs, 0) : 0;
  }

  /** Times of the latest news by rank, ms: exact, since all news is written. */
  news(): number[] {
    return this.#contacts.map((contact) => contact.newsAt);
  }

  /** See `nextDeadline`. */
  deadlineOf({ job, hearingSince }: Live): number | null {
    const more = Math.max(this.#socketCheckMs - this.leaseMs, 0);
    this.#listen();
    const looks = this.#contacts.map(({ at, hasSocket }) => (hasSocket ? at + more : at));
    return nextDeadline(job, looks, this.leaseMs, hearingSince, this.news());
  }

  /**
   * Gives each node a whole lease from now on if the object wakes long after its alarm was due: there was an
   * outage of the server, during which no node could call.
   */
  renewAfterOutage(live: Live): void {
    const now = this.#clock.now();
    const due = this.deadlineOf(live);
    if (due === null || now - due < OUTAGE_MS) return;
    live.hearingSince = now;
    this.#storage.setHearingSince(now);
  }

  /**
   * Renews a node's lease, unless the job has settled. Written to disk when the stored contact is half a lease old
   * or the node reports news; what comes by a socket is written when that closes.
   */
  renew(live: Live, node: Node, progress: Progress, isBySocket = false): void {
    if (isSettled(live.job)) return;
    // A node that has ended all steps may still call, but its progress has no step.
    const isRunning = node.steps[positionOf(node)]?.state === "running";
    this.#record(node.rank, hasEnded(node) ? {} : progress, isRunning, isBySocket);
  }

  #record(rank: number, reported: Progress, isRunning: boolean, isBySocket: boolean): void {
    const now = this.#clock.now();
    const last = this.#contacts[rank];
    const progress = reported.progress ?? last?.progress ?? 0;
    const message = reported.message ?? last?.message ?? null;
    const clockSkewMs = reported.clockSkewMs ?? last?.clockSkewMs ?? null;
    // A clock that was set back shortens no lease.
    const at = Math.max(now, last?.at ?? 0);
    const isNews = progress !== last?.progress || message !== last?.message;
    const { newsAt = 0, newsProgress = 0, toldToStop = false, hasSocket = false } = last ?? {};
    const isFurther = isRunning && progress >= newsProgress + FURTHER;
    const news = isFurther ? { newsAt: at, newsProgress: progress } : { newsAt, newsProgress };
    const contact = { at, progress, message, clockSkewMs, toldToStop, hasSocket, ...news };
    const isDue = isNews || now - (this.#writtenAt[rank] ?? 0) >= this.#granularityMs;
    if (isDue && !isBySocket) this.#write([[rank, contact]]);
    else this.#contacts[rank] = contact;
  }

  /** Starts a lease without progress, for a node that has just joined or ended a step. */
  begin(rank: number, now: number, reported: Pick<Contact, "clockSkewMs"> | null = null): void {
    const news = { newsAt: now, newsProgress: 0 };
    const last = this.#contacts[rank];
    const hasSocket = last?.hasSocket ?? false;
    const clockSkewMs = reported?.clockSkewMs ?? last?.clockSkewMs ?? null;
    const none = { progress: 0, message: null, toldToStop: false };
    this.#write([[rank, { at: now, ...none, ...news, clockSkewMs, hasSocket }]]);
  }

  /** Records that the agents of these nodes are told to stop. Written once, together. */
  tellToStop(ranks: readonly number[]): void {
    const told = ranks.flatMap((rank): [number, Contact][] => {
      const contact = this.#contacts[rank];
      const isNews = contact !== undefined && !contact.toldToStop;
      return isNews ? [[rank, { ...contact, toldToStop: true }]] : [];
    });
    if (told.length > 0) this.#write(told);
  }

  /** True when an agent was in contact within the lease and has not been told to stop. */
  hasAgentAtWork(): boolean {
    const since = this.#clock.now() - this.leaseMs;
    return this.times().some((at, rank) => at > since && !this.#contacts[rank]?.toldToStop);
  }

  #write(contacts: readonly (readonly [rank: number, contact: Contact])[]): void {
    for (const [rank, contact] of contacts) {
      this.#contacts[rank] = contact;
      this.#writtenAt[rank] = contact.at;
    }
    this.#storage.saveContacts(contacts);
  }
}
