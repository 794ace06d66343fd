import { MINUTE_MS } from "../lib/clock.ts";
import type { Contact, CoordinatorStorage } from "./storage.ts";

/** Contact is written at most this often: an object's memory is short, but writes cost (design §4). */
const GRANULARITY_MS = MINUTE_MS;

/** What a node says of its running step. */
export interface Said {
  /** 0 to 1. */
  progress?: number;
  message?: string;
}

/**
 * The last sign of life of each node, by rank: exact in memory, on disk up to a minute old. What
 * memory knew and lost gets the benefit of the doubt, so that no node is taken for lost too early.
 */
export class ContactBook {
  readonly #storage: CoordinatorStorage;
  readonly #contacts: Contact[];
  readonly #writtenAt: number[];

  constructor(storage: CoordinatorStorage, now: number) {
    this.#storage = storage;
    const stored = storage.contacts();
    this.#writtenAt = stored.map((contact) => contact.at);
    this.#contacts = stored.map((contact) => ({
      ...contact,
      at: Math.min(now, contact.at + GRANULARITY_MS),
    }));
  }

  of(rank: number): Contact | undefined {
    return this.#contacts[rank];
  }

  /** Times of the last contacts by rank, ms. */
  times(): number[] {
    return this.#contacts.map((contact) => contact.at);
  }

  /** A sign of life: written when the last one on disk is a minute old, or when the node says something new. */
  touch(rank: number, said: Said, now: number): void {
    const known = this.#contacts[rank];
    const progress = said.progress ?? known?.progress ?? 0;
    const message = said.message ?? known?.message ?? null;
    // A clock that was set back takes no lease from anyone.
    const at = Math.max(now, known?.at ?? 0);
    const contact = { at, progress, message, toldToStop: known?.toldToStop ?? false };
    const news = progress !== known?.progress || message !== known?.message;
    if (news || now - (this.#writtenAt[rank] ?? 0) >= GRANULARITY_MS) this.#write(rank, contact);
    else this.#contacts[rank] = contact;
  }

  /** A node that has just joined, or ended a step: nothing is said of the next one yet. */
  begin(rank: number, now: number): void {
    this.#write(rank, { at: now, progress: 0, message: null, toldToStop: false });
  }

  /** Its agent hears now that there is nothing more to do. Written once. */
  tellToStop(rank: number): void {
    const known = this.#contacts[rank];
    if (known !== undefined && !known.toldToStop) this.#write(rank, { ...known, toldToStop: true });
  }

  /** Whether some agent has been heard after this time, ms, and not been told to stop. */
  hasAgentAtWork(heardAfter: number): boolean {
    return this.#contacts.some(({ at, toldToStop }) => at > heardAfter && !toldToStop);
  }

  #write(rank: number, contact: Contact): void {
    this.#contacts[rank] = contact;
    this.#writtenAt[rank] = contact.at;
    this.#storage.saveContact(rank, contact);
  }
}
