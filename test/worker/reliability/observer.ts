/**
 * Follows one job through calls, time and faults, and asserts after each step all that must hold. Where
 * the house is free to choose (how soon a silent node counts as lost, whether an unanswered call took
 * effect), it may have done any of the things allowed, and has to stand by it afterwards.
 */
import type { ExpectStatic } from "vitest";
import {
  giveUpWaitingAt,
  isActive,
  isSettled,
  nextDeadline,
} from "../../../src/coordinator/model.ts";
import { DAY_MS } from "../../../src/lib/clock.ts";
import { taskIdOf } from "../../../src/lib/ids.ts";
import { canonicalJson } from "../../../src/lib/json.ts";
import type { Faults } from "./faults.ts";
import { figuresOf } from "./machines.ts";
import {
  type Call,
  heardIn,
  isTold,
  losable,
  newWorld,
  passTime,
  respond,
  seenOf,
  slotOf,
  type Told,
  type World,
} from "./reference.ts";
import type { Projection, Scene, Stored } from "./scene.ts";

export const LEASE_MS = 150_000;
/** How much of a node's last contact an object that starts anew may have forgotten. */
const FORGOTTEN_MS = 60_000;
/** An object that wakes up so long after it was due was kept from waking. */
const OUTAGE_MS = 30_000;
/** A flush that failed is tried again after at most this long. */
const LONGEST_RETRY_MS = 5 * 60_000 + 2_000;

export class Observer {
  readonly #expect: ExpectStatic;
  readonly #faults: Faults;
  readonly scene: Scene;
  world: World;
  /** When each node was last heard, by rank: for certain, and at the latest. */
  #heardAt: number[] = [];
  #maybeHeardAt: number[] = [];
  /** Ranks of which the object may remember an earlier contact than the last. */
  #forgotten = new Set<number>();
  /** An object that wakes up long after it was due counts from then: nobody could have been heard before. */
  #hearingSince = 0;
  /** The object has deleted what it had, a day after the job's expiry: D1 has all of it. */
  #isForgotten = false;
  /** An alarm that was taken away, and when it was due; null once one is set again. */
  #lostAlarm: { dueAt: number | null; renewed: boolean } | null = null;
  /** First replies of accepted results, by slot. */
  #firstReplies = new Map<string, string>();
  #settled: string | null = null;

  constructor(expect: ExpectStatic, faults: Faults, scene: Scene, expiresAt: number) {
    this.#expect = expect;
    this.#faults = faults;
    this.scene = scene;
    this.world = newWorld(scene.plan, expiresAt);
  }

  /** A call that is answered. Refusing it for a failing D1 is allowed only where D1 was needed and failed. */
  async call(asked: Call, now: number): Promise<void> {
    const struck = this.#faults.struck;
    const { reply, told } = await this.scene.call(asked, now);
    const mayRefuse = this.#faults.struck > struck && told.status === 503;
    if (told.status === 503) this.#expect(mayRefuse, `${asked.kind}: ${reply.text}`).toBe(true);
    if (mayRefuse) {
      this.#expect(Number(reply.headers.get("retry-after"))).toBeGreaterThan(0);
      await this.#settleUnanswered(asked, now);
      return;
    }
    await this.#settleAnswered(asked, told, reply.text, now);
  }

  /** A call during which every object is lost: it may be answered or not, and unanswered it may count. */
  async callIntoCrash(asked: Call, now: number, crash: () => Promise<void>): Promise<void> {
    const answer = this.scene.call(asked, now);
    await crash();
    const { reply, told } = await answer;
    this.lostMemory(now);
    if (told.status === 503) await this.#settleUnanswered(asked, now);
    else await this.#settleAnswered(asked, told, reply.text, now);
  }

  /** Something else than a call has happened, such as an alarm. */
  async look(now: number, { alarmRan = false } = {}): Promise<void> {
    const before = this.world;
    const allowed = this.#ticks(before, now);
    const due = before.job.nodes.filter(
      (node) => isActive(node) && this.#mustBeLost(node.rank, now),
    );
    await this.#settleOn(allowed, now);
    if (!alarmRan) return;
    // Lost by now, or over altogether.
    for (const { rank } of due) {
      const node = this.world.job.nodes[rank];
      this.#expect(node !== undefined && isActive(node), `node ${rank} is lost`).toBe(false);
    }
    if (now >= before.job.expiresAt) this.#expect(isSettled(this.world.job)).toBe(true);
  }

  /** The object starts anew. */
  lostMemory(now: number): void {
    const { job } = this.world;
    // By what is certain: it may have taken this for the platform's delay before.
    const dueAt = nextDeadline(job, this.#heardAt, LEASE_MS);
    if (dueAt !== null && now - dueAt >= OUTAGE_MS) this.#hearingSince = now;
    for (const rank of this.world.job.nodes.keys()) this.#forgotten.add(rank);
    if (this.#lostAlarm !== null) this.#lostAlarm.renewed = true;
  }

  lostAlarm(dueAt: number | null): void {
    if (dueAt !== null) this.#lostAlarm ??= { dueAt, renewed: false };
  }

  /** Whether nothing is left to be done: the job has settled, and D1 knows it. */
  async isDone(): Promise<boolean> {
    const { job, flushedVersion } = await this.scene.stored();
    return job !== null && isSettled(job) && flushedVersion === job.version;
  }

  async expectNoAlarm(): Promise<void> {
    const { alarm } = await this.scene.stored();
    const forgetAt = this.world.job.expiresAt + DAY_MS;
    this.#expect(alarm ?? forgetAt, "nothing else is left to be done").toBeGreaterThanOrEqual(
      forgetAt,
    );
  }

  /** D1 works again and the alarm has run: it must have all there is. */
  async expectDrained(): Promise<void> {
    const stored = await this.scene.stored();
    if (stored.job !== null) this.#expect(stored.flushedVersion).toBe(stored.job.version);
    this.#expectEqual(await this.scene.projection());
  }

  // --- which worlds are allowed

  #mustBeLost(rank: number, now: number): boolean {
    const slackMs = this.#forgotten.has(rank) ? FORGOTTEN_MS : 0;
    const heardAt = (this.#maybeHeardAt[rank] ?? now) + slackMs;
    return now - Math.max(heardAt, this.#hearingSince) >= LEASE_MS;
  }

  /** The worlds that the mere passing of time allows, the present one first. */
  #ticks(world: World, now: number): World[] {
    const sets = losable(world, this.#heardAt, LEASE_MS, now);
    return [world, ...sets.map((lost) => passTime(world, lost, LEASE_MS, now))];
  }

  async #settleAnswered(asked: Call, told: Told, text: string, now: number): Promise<void> {
    const turns = this.#ticks(this.world, now).map((world) => respond(world, asked, now));
    const explained = turns.filter((turn) => isTold(turn.told, told));
    if (explained.length === 0) this.#expect(told, text).toMatchObject(turns[0]?.told ?? {});
    this.#hear(asked, told, now);
    await this.#settleOn(
      explained.map(({ world }) => world),
      now,
    );
    if (asked.kind !== "result" || told.status !== 200) return;
    const slot = slotOf(asked.rank, asked.position);
    const first = this.#firstReplies.get(slot) ?? text;
    this.#firstReplies.set(slot, first);
    this.#expect(text, "a repeat reads the same").toBe(first);
  }

  /** Nobody knows whether it took effect; what is stored shows it. */
  async #settleUnanswered(asked: Call, now: number): Promise<void> {
    const allowed = this.#ticks(this.world, now).flatMap((world) => [
      world,
      respond(world, asked, now).world,
    ]);
    const node = heardIn(asked, this.world);
    if (node !== undefined) this.#maybeHeardAt[node.rank] = now;
    await this.#settleOn(allowed, now);
  }

  #hear(asked: Call, told: Told, now: number): void {
    const joined = asked.kind === "join" && typeof told.facts.rank === "number";
    const rank = joined ? Number(told.facts.rank) : heardIn(asked, this.world)?.rank;
    if (
      rank === undefined ||
      told.status === 400 ||
      told.status === 401 ||
      isSettled(this.world.job)
    )
      return;
    this.#heardAt[rank] = now;
    this.#maybeHeardAt[rank] = now;
    this.#forgotten.delete(rank);
  }

  /** Finds which of the allowed worlds it has become, and checks everything that must hold in it. */
  async #settleOn(allowed: World[], now: number): Promise<void> {
    const expect = this.#expect;
    const { struck } = this.#faults;
    await this.#faults.quiet();
    const seen = await this.scene.call({ kind: "detail" }, now);
    await this.#faults.quiet();
    await this.scene.stored();
    // An object that has woken up only now tells D1 first what its last instance could not.
    await this.#faults.quiet();
    const stored = await this.scene.stored();
    const known = await this.scene.projection();
    this.#isForgotten ||=
      stored.job === null && this.world.job.nodes.length > 0 && isSettled(this.world.job);
    if (this.#isForgotten) {
      this.#checkForgotten(known, now);
      return;
    }
    const courses = allowed.flatMap((world) => [
      world,
      respond(world, { kind: "detail" }, now).world,
    ]);
    const met = courses.find((world) => isStored(world, stored, known));
    if (met === undefined) {
      // Fails, and shows how the first of them differs.
      const [first] = courses;
      expect(stored.job ?? known.job).toEqual(first?.job);
      throw new Error("Stored in another order than it was told");
    }
    this.world = met;
    if (!(seen.told.status === 503 && this.#faults.struck > struck)) {
      expect(seen.told.status, seen.reply.text).toBe(met.deleted ? 404 : 200);
      expect(seen.told.facts).toEqual(met.deleted ? {} : seenOf(met.job));
    }
    this.#checkInvariants(stored, known, now);
  }

  // --- what holds in every world

  /** What is asked for after the end was read from D1, which must go on having all of it. */
  #checkForgotten(known: Projection, now: number): void {
    const { job } = this.world;
    this.#expect(now).toBeGreaterThanOrEqual(job.expiresAt + DAY_MS);
    this.world = { ...this.world, deleted: known.job.deleted_at !== null };
    const text = canonicalJson(job);
    this.#expect(text, "a settled job never changes").toBe(this.#settled);
    this.#expectEqual(known);
  }

  #checkInvariants(stored: Stored, known: Projection, now: number): void {
    const expect = this.#expect;
    const { job, results } = this.world;
    expect(job.nodes.length).toBeLessThanOrEqual(job.nodeCount);
    if (isSettled(job)) {
      const text = canonicalJson(job);
      this.#settled ??= text;
      expect(text, "a settled job never changes").toBe(this.#settled);
    }
    // Exactly one result per accepted slot, and none that was not accepted.
    expect(stored.slots).toEqual(Object.keys(results).sort());
    if (stored.job === null) {
      expect(stored.alarm).toBeNull();
      return;
    }
    expect(known.job.version).toBeLessThanOrEqual(stored.job.version);
    expect(stored.flushedVersion, "acknowledged").toBeLessThanOrEqual(known.job.version);
    const isBehind = stored.flushedVersion < stored.job.version;
    if (!isBehind) this.#expectEqual(known);
    this.#checkAlarm(stored, known, isBehind, now);
  }

  /** Whatever is still to be done, an alarm stands for it, and in time. */
  #checkAlarm({ alarm }: Stored, known: Projection, isBehind: boolean, now: number): void {
    const { job } = this.world;
    const due = [
      ...(isBehind ? [now + LONGEST_RETRY_MS] : []),
      ...(isSettled(job) ? [] : [job.expiresAt]),
      ...(isSettled(job) ? [] : job.nodes).filter(isActive).map(({ rank }) => {
        const slackMs = this.#forgotten.has(rank) ? FORGOTTEN_MS : 0;
        const heardAt = (this.#maybeHeardAt[rank] ?? now) + slackMs;
        return Math.max(heardAt, this.#hearingSince) + LEASE_MS;
      }),
      ...(isSettled(job)
        ? []
        : [giveUpWaitingAt(job, LEASE_MS, this.#hearingSince) ?? Number.POSITIVE_INFINITY]),
    ];
    if (alarm !== null) this.#lostAlarm = null;
    if (due.length === 0) return;
    if (this.#lostAlarm !== null) {
      const { dueAt, renewed } = this.#lostAlarm;
      // A call sees to it, which a job gets no more once D1 knows its end, and then nothing is at stake.
      const isCalled = now >= (dueAt ?? now) + 60_000 && known.job.ended_at === null;
      if (!renewed && !isCalled) return;
    }
    this.#expect(alarm, "an alarm is set").not.toBeNull();
    this.#expect(alarm).toBeLessThanOrEqual(Math.min(...due));
  }

  #expectEqual(known: Projection): void {
    const expect = this.#expect;
    const { job } = this.world;
    const { job: row } = known;
    if (!this.world.deleted) {
      expect(row.version).toBe(job.version);
      expect(row.current_nodes).toBe(job.nodes.length);
      expect(row.started_at).toBe(job.startedAt);
      expect(JSON.parse(String(row.events))).toEqual(job.events);
    }
    if (!this.world.deleted) {
      expect([row.state, row.ended_at]).toEqual([job.state, job.endedAt]);
    }
    expect(known.tasks).toEqual(
      job.nodes.map((node) =>
        expect.objectContaining({
          id: taskIdOf(this.scene.id, node.rank),
          rank: node.rank,
          machine_uuid: node.machine.machineUuid,
          machine_ip: node.machine.machineIp,
          state: node.state,
          failed_message: node.failedMessage,
          created_at: node.joinedAt,
          started_at: node.startedAt,
          ended_at: node.endedAt,
        }),
      ),
    );
    expect(known.tasks.map(({ steps }) => JSON.parse(String(steps)))).toEqual(
      job.nodes.map(({ steps }) => steps),
    );
    expect(
      known.results.map(({ results, ...slot }) => ({ ...slot, results: JSON.parse(results) })),
    ).toEqual(this.#expectedResults());
  }

  #expectedResults() {
    const { plan, results } = this.world;
    return Object.entries(results)
      .sort(([one], [other]) => one.localeCompare(other))
      .flatMap(([slot, choice]) => {
        const [rank = 0, position = 0] = slot.split(":").map(Number);
        const figures = figuresOf(plan, rank, position, choice);
        if (figures === null) return [];
        const task_id = taskIdOf(this.scene.id, rank);
        return [{ task_id, position, results: this.#expect.objectContaining(figures) }];
      });
  }
}

/** Whether what is on disk is this world. */
function isStored(world: World, stored: Stored, { job: row }: Projection): boolean {
  const slots = Object.keys(world.results).sort();
  if (canonicalJson(slots) !== canonicalJson(stored.slots)) return false;
  if (world.deleted !== (row.deleted_at !== null)) return false;
  const { job } = world;
  // Of a job that was deleted before anyone came, nothing is left to compare but its end.
  if (world.deleted && job.nodes.length === 0) {
    return stored.job === null || isSettled(stored.job);
  }
  if (stored.job !== null) return canonicalJson(stored.job) === canonicalJson(job);
  return row.version === job.version && row.state === job.state && row.ended_at === job.endedAt;
}
