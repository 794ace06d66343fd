/**
 * Follows one job through calls, time and faults, and asserts all invariants after each step. Some outcomes
 * are free, such as the time at which a silent node counts as lost or the effect of an unanswered call. The
 * observer accepts every allowed outcome, and then holds the server to the one that it stored.
 */
import type { ExpectStatic } from "vitest";
import {
  giveUpWaitingAt,
  isActive,
  isSettled,
  nextDeadline,
} from "../../../src/coordinator/life/model.ts";
import { events, steps } from "../../../src/db/packed.ts";
import { DAY_MS } from "../../../src/lib/clock.ts";
import { taskIdOf } from "../../../src/lib/ids.ts";
import { canonicalJson } from "../../../src/lib/json.ts";
import type { Faults } from "./faults.ts";
import { figuresOf } from "./machines.ts";
import {
  type Answer,
  type Call,
  contactIn,
  type JobModel,
  losable,
  matchesAnswer,
  newJobModel,
  ownerView,
  passTime,
  respond,
  slotOf,
} from "./reference.ts";
import type { Projection, Scene, Stored } from "./scene.ts";

export const LEASE_MS = 150_000;
/** A restarted object may remember a node's last contact as up to this much earlier than it was. */
const FORGOTTEN_MS = LEASE_MS / 2;
/** An object that wakes up this late counts as having been unable to wake. */
const OUTAGE_MS = 30_000;
/** Maximum delay before a failed flush is retried. */
const LONGEST_RETRY_MS = 5 * 60_000 + 2_000;

export class Observer {
  readonly #expect: ExpectStatic;
  readonly #faults: Faults;
  readonly scene: Scene;
  world: JobModel;
  /** Time of each node's last contact, by rank: the certain one here, the latest possible one below. */
  #heardAt: number[] = [];
  #maybeHeardAt: number[] = [];
  /** Ranks whose last contact the object may remember as earlier than it was. */
  #forgotten = new Set<number>();
  /** Start of the current leases: an object that woke up late could not hear any node before. */
  #hearingSince = 0;
  /** True once the object has deleted its storage, a day after the job's expiry; D1 has all of it. */
  #isForgotten = false;
  /** A removed alarm and its due time; null once an alarm is set again. */
  #lostAlarm: { dueAt: number | null; renewed: boolean } | null = null;
  /** First replies of accepted results, by slot. */
  #firstReplies = new Map<string, string>();
  #settled: string | null = null;

  constructor(expect: ExpectStatic, faults: Faults, scene: Scene, expiresAt: number) {
    this.#expect = expect;
    this.#faults = faults;
    this.scene = scene;
    this.world = newJobModel(scene.plan, expiresAt);
  }

  /** Makes a call and checks its reply. A 503 is allowed only if the call needed D1 and D1 failed. */
  async call(request: Call, now: number): Promise<void> {
    const brokenBefore = this.#faults.brokenBatches;
    const { reply, answer } = await this.scene.call(request, now);
    const mayRefuse = this.#faults.brokenBatches > brokenBefore && answer.status === 503;
    if (answer.status === 503) this.#expect(mayRefuse, `${request.kind}: ${reply.text}`).toBe(true);
    if (mayRefuse) {
      this.#expect(Number(reply.headers.get("retry-after"))).toBeGreaterThan(0);
      await this.#settleUnanswered(request, now);
      return;
    }
    await this.#settleAnswered(request, answer, reply.text, now);
  }

  /** Makes a call during which every object crashes. The call may be unanswered and still take effect. */
  async callIntoCrash(request: Call, now: number, crash: () => Promise<void>): Promise<void> {
    const pending = this.scene.call(request, now);
    await crash();
    const { reply, answer } = await pending;
    this.lostMemory(now);
    if (answer.status === 503) await this.#settleUnanswered(request, now);
    else await this.#settleAnswered(request, answer, reply.text, now);
  }

  /** Checks the job after an event that is not a call, such as an alarm. */
  async look(now: number, { alarmRan = false } = {}): Promise<void> {
    const before = this.world;
    const allowed = this.#ticks(before, now);
    const due = before.job.nodes.filter(
      (node) => isActive(node) && this.#mustBeLost(node.rank, now),
    );
    await this.#settleOn(allowed, now);
    if (!alarmRan) return;
    // Each due node is lost now, or the job has ended.
    for (const { rank } of due) {
      const node = this.world.job.nodes[rank];
      this.#expect(node !== undefined && isActive(node), `node ${rank} is lost`).toBe(false);
    }
    if (now >= before.job.expiresAt) this.#expect(isSettled(this.world.job)).toBe(true);
  }

  /** Records that the object restarted. */
  lostMemory(now: number): void {
    const { job } = this.world;
    // The certain contacts give the earliest due time from which the object may count an outage.
    const dueAt = nextDeadline(job, this.#heardAt, LEASE_MS);
    if (dueAt !== null && now - dueAt >= OUTAGE_MS) this.#hearingSince = now;
    for (const rank of this.world.job.nodes.keys()) this.#forgotten.add(rank);
    if (this.#lostAlarm !== null) this.#lostAlarm.renewed = true;
  }

  lostAlarm(dueAt: number | null): void {
    if (dueAt !== null) this.#lostAlarm ??= { dueAt, renewed: false };
  }

  /** True if no work is left: the job has settled, D1 has its last version, and the followups have run. */
  async isDone(): Promise<boolean> {
    const { job, flushedVersion, hasFollowups } = await this.scene.stored();
    return job !== null && isSettled(job) && flushedVersion === job.version && !hasFollowups;
  }

  async expectNoAlarm(): Promise<void> {
    const { alarm } = await this.scene.stored();
    const forgetAt = this.world.job.expiresAt + DAY_MS;
    this.#expect(alarm ?? forgetAt, "nothing else is left to be done").toBeGreaterThanOrEqual(
      forgetAt,
    );
  }

  /** Asserts that D1 has the whole job, once D1 works again and the alarm has run. */
  async expectDrained(): Promise<void> {
    const stored = await this.scene.stored();
    if (stored.job !== null) this.#expect(stored.flushedVersion).toBe(stored.job.version);
    this.#expectEqual(await this.scene.projection());
  }

  // --- allowed worlds

  #mustBeLost(rank: number, now: number): boolean {
    const slackMs = this.#forgotten.has(rank) ? FORGOTTEN_MS : 0;
    const heardAt = (this.#maybeHeardAt[rank] ?? now) + slackMs;
    return now - Math.max(heardAt, this.#hearingSince) >= LEASE_MS;
  }

  /** The worlds that passing time alone allows, the present one first. */
  #ticks(world: JobModel, now: number): JobModel[] {
    const sets = losable(world, this.#heardAt, LEASE_MS, now);
    return [world, ...sets.map((lost) => passTime(world, lost, LEASE_MS, now))];
  }

  async #settleAnswered(request: Call, answer: Answer, text: string, now: number): Promise<void> {
    const turns = this.#ticks(this.world, now).map((world) => respond(world, request, now));
    const explained = turns.filter((turn) => matchesAnswer(turn.answer, answer));
    if (explained.length === 0) this.#expect(answer, text).toMatchObject(turns[0]?.answer ?? {});
    this.#hear(request, answer, now);
    await this.#settleOn(
      explained.map(({ world }) => world),
      now,
    );
    if (request.kind !== "result" || answer.status !== 200) return;
    const slot = slotOf(request.rank, request.position);
    const first = this.#firstReplies.get(slot) ?? text;
    this.#firstReplies.set(slot, first);
    this.#expect(text, "a repeat reads the same").toBe(first);
  }

  /** Accepts both outcomes of an unanswered call; the stored state shows which of them happened. */
  async #settleUnanswered(request: Call, now: number): Promise<void> {
    const allowed = this.#ticks(this.world, now).flatMap((world) => [
      world,
      respond(world, request, now).world,
    ]);
    const node = contactIn(request, this.world);
    if (node !== undefined) this.#maybeHeardAt[node.rank] = now;
    await this.#settleOn(allowed, now);
  }

  #hear(request: Call, answer: Answer, now: number): void {
    const joined = request.kind === "join" && typeof answer.facts.rank === "number";
    const rank = joined ? Number(answer.facts.rank) : contactIn(request, this.world)?.rank;
    if (
      rank === undefined ||
      answer.status === 400 ||
      answer.status === 401 ||
      isSettled(this.world.job)
    )
      return;
    this.#heardAt[rank] = now;
    this.#maybeHeardAt[rank] = now;
    this.#forgotten.delete(rank);
  }

  /** Picks the allowed world that matches the stored state, and checks all its invariants. */
  async #settleOn(allowed: JobModel[], now: number): Promise<void> {
    const expect = this.#expect;
    const brokenBefore = this.#faults.brokenBatches;
    await this.#faults.quiet();
    const detail = await this.scene.call({ kind: "detail" }, now);
    await this.#faults.quiet();
    await this.scene.stored();
    // An object that has just woken up first flushes the changes of its last instance to D1.
    await this.#faults.quiet();
    const stored = await this.scene.stored();
    const projection = await this.scene.projection();
    this.#isForgotten ||=
      stored.job === null && this.world.job.nodes.length > 0 && isSettled(this.world.job);
    if (this.#isForgotten) {
      this.#checkForgotten(projection, now);
      return;
    }
    const candidates = allowed.flatMap((world) => [
      world,
      respond(world, { kind: "detail" }, now).world,
    ]);
    const current = candidates.find((world) => isStored(world, stored, projection));
    if (current === undefined) {
      // This assertion fails and shows how the first candidate differs.
      const [first] = candidates;
      expect(stored.job ?? projection.job).toEqual(first?.job);
      throw new Error("Stored in another order than it was answered");
    }
    this.world = current;
    if (!(detail.answer.status === 503 && this.#faults.brokenBatches > brokenBefore)) {
      expect(detail.answer.status, detail.reply.text).toBe(current.deleted ? 404 : 200);
      expect(detail.answer.facts).toEqual(current.deleted ? {} : ownerView(current.job));
    }
    this.#checkInvariants(stored, projection, now);
  }

  // --- invariants of every world

  /** Once the object has deleted its storage, reads come from D1, which must keep the whole job. */
  #checkForgotten(projection: Projection, now: number): void {
    const { job } = this.world;
    this.#expect(now).toBeGreaterThanOrEqual(job.expiresAt + DAY_MS);
    this.world = { ...this.world, deleted: projection.job.deleted_at !== null };
    const text = canonicalJson(job);
    this.#expect(text, "a settled job never changes").toBe(this.#settled);
    this.#expectEqual(projection);
  }

  #checkInvariants(stored: Stored, projection: Projection, now: number): void {
    const expect = this.#expect;
    const { job, results } = this.world;
    expect(job.nodes.length).toBeLessThanOrEqual(job.nodeCount);
    if (isSettled(job)) {
      const text = canonicalJson(job);
      this.#settled ??= text;
      expect(text, "a settled job never changes").toBe(this.#settled);
    }
    // Each accepted slot has exactly one result, and no other slot has any.
    expect(stored.slots).toEqual(Object.keys(results).sort());
    if (stored.job === null) {
      expect(stored.alarm).toBeNull();
      return;
    }
    expect(projection.job.version).toBeLessThanOrEqual(stored.job.version);
    expect(stored.flushedVersion, "acknowledged").toBeLessThanOrEqual(projection.job.version);
    const isBehind = stored.flushedVersion < stored.job.version;
    if (!isBehind) this.#expectEqual(projection);
    this.#checkAlarm(stored, projection, isBehind, now);
  }

  /** Asserts that an alarm is set, in time for all remaining work. */
  #checkAlarm({ alarm }: Stored, projection: Projection, isBehind: boolean, now: number): void {
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
      // Calls reset a lost alarm. Once D1 has the job's end, calls stop coming, and the alarm is not needed.
      const isCalled = now >= (dueAt ?? now) + 60_000 && projection.job.ended_at === null;
      if (!renewed && !isCalled) return;
    }
    this.#expect(alarm, "an alarm is set").not.toBeNull();
    this.#expect(alarm).toBeLessThanOrEqual(Math.min(...due));
  }

  #expectEqual(projection: Projection): void {
    const expect = this.#expect;
    const { job } = this.world;
    const { job: row } = projection;
    if (!this.world.deleted) {
      expect(row.version).toBe(job.version);
      expect(row.current_nodes).toBe(job.nodes.length);
      expect(row.started_at).toBe(job.startedAt);
      expect(events.unpack(JSON.parse(String(row.events)))).toEqual(job.events);
    }
    if (!this.world.deleted) {
      expect([row.state, row.ended_at]).toEqual([job.state, job.endedAt]);
    }
    expect(projection.tasks).toEqual(
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
    expect(projection.tasks.map((task) => steps.unpack(JSON.parse(String(task.steps))))).toEqual(
      job.nodes.map((node) => node.steps),
    );
    const sent = projection.tasks.flatMap(({ id, bodies }) => {
      const sizes: [position: number, bytes: number][] = JSON.parse(String(bodies));
      return sizes.map(([position]) => ({ task_id: id, position }));
    });
    expect(sent).toEqual(this.#expectedResults());
  }

  /** The results with figures. No machine of the model sends an inventory. */
  #expectedResults() {
    const { plan, results } = this.world;
    return Object.entries(results)
      .sort(([one], [other]) => one.localeCompare(other))
      .flatMap(([slot, choice]) => {
        const [rank = 0, position = 0] = slot.split(":").map(Number);
        const figures = figuresOf(plan, rank, position, choice);
        if (figures === null) return [];
        return [{ task_id: taskIdOf(this.scene.id, rank), position }];
      });
  }
}

/** True if the stored state matches this world. */
function isStored(world: JobModel, stored: Stored, { job: row }: Projection): boolean {
  const slots = Object.keys(world.results).sort();
  if (canonicalJson(slots) !== canonicalJson(stored.slots)) return false;
  if (world.deleted !== (row.deleted_at !== null)) return false;
  const { job } = world;
  // A job deleted before any node joined leaves only its end to compare.
  if (world.deleted && job.nodes.length === 0) {
    return stored.job === null || isSettled(stored.job);
  }
  if (stored.job !== null) return canonicalJson(stored.job) === canonicalJson(job);
  return row.version === job.version && row.state === job.state && row.ended_at === job.endedAt;
}
