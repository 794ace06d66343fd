import { causesOf } from "../db/errors.ts";
import { type Clock, DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS } from "../lib/clock.ts";
import { logEvent } from "../lib/log.ts";
import { backoffMs, withTimeout } from "../lib/retry.ts";
import type { Live } from "./life/model.ts";
import type { CoordinatorStorage, PendingStage } from "./storage/storage.ts";

/**
 * Work on a settled job, once D1 has all of it. A stage may run more than once, and must be safe to repeat.
 */
export interface Stage {
  /** Answers "later" if it could not begin, which is no failure: it runs again by the alarm. */
  run(context: StageContext): Promise<unknown>;
}

export interface StageContext {
  jobId: number;
  env: Env;
  now: number;
  live: Live;
  storage: CoordinatorStorage;
}

/**
 * The stages, in the order they run. A stage loads when it first runs, so that no poll pays for it. Objects
 * store the names: never rename a stage.
 */
export const STAGES: Readonly<Record<string, () => Promise<{ stage: Stage }>>> = {
  bodies: () => import("./projection/store-bodies.ts"),
  rate: () => import("../scoreboard/rating.ts"),
  report: () => import("../reports/attempt.ts"),
};

/** A stage that takes longer has failed and runs again. */
const TIMEOUT_MS = 30 * SECOND_MS;
/** Time after which a stage that could not begin tries again; up to twice as long, so that jobs take turns. */
const LATER_MS = 2 * SECOND_MS;
const BACKOFF = { baseMs: 5 * SECOND_MS, capMs: HOUR_MS };
/** Time until the alarm while a stage runs for the first time. */
const SAFETY_MS = MINUTE_MS;
/** A stage that has failed for this long is skipped, and the next one runs. */
const PATIENCE_MS = 2 * DAY_MS;
/** Stages that are never skipped: the object may not forget what they have still to hand over. */
const ESSENTIAL: readonly string[] = ["bodies"];

/**
 * Runs the stages after a job has settled, one at a time and in order. A stage is pending in the object's
 * storage from the commit that settles the job until the stage has succeeded. Nothing here throws or delays
 * a caller: a stage that fails runs again by the alarm, which is set for `retryAt`.
 */
export class Followups {
  readonly #env: Env;
  readonly #storage: CoordinatorStorage;
  readonly #clock: Clock;
  readonly #stages: typeof STAGES;
  /** An earlier instance of the object began the stages; a stage may have killed it. */
  readonly #isInherited: boolean;
  #pending: PendingStage[];
  #running: Promise<void> | null = null;

  constructor(options: {
    env: Env;
    storage: CoordinatorStorage;
    clock: Clock;
    stages?: typeof STAGES;
  }) {
    this.#env = options.env;
    this.#storage = options.storage;
    this.#clock = options.clock;
    this.#stages = options.stages ?? STAGES;
    this.#pending = this.#storage.pendingStages();
    this.#isInherited = this.#pending.length > 0;
  }

  /** Makes all stages pending. Synchronous: part of the commit that settles the job. */
  begin(): void {
    for (const name of Object.keys(this.#stages)) this.again(name);
  }

  /** Makes one stage pending, if it is not: what it wrote was lost, as D1 was restored from a backup. */
  again(name: string): void {
    const seq = Object.keys(this.#stages).indexOf(name);
    if (this.#pending.some((each) => each.seq === seq)) return;
    const now = this.#clock.now();
    const stage = { seq, name, failures: 0, since: now, dueAt: now + SAFETY_MS };
    this.#pending = [...this.#pending, stage].sort((a, b) => a.seq - b.seq);
    this.#storage.saveStage(stage);
  }

  /** True while a stage is pending; the object keeps its storage until then. */
  isPending(): boolean {
    return this.#pending.length > 0;
  }

  /** Time of the next try if the running stage fails, ms; null when all stages are done. */
  retryAt(): number | null {
    return this.#pending[0]?.dueAt ?? null;
  }

  /**
   * Runs the stages that are due. A first try is due at once; later ones wait for the alarm.
   *
   * @param live settled, with all of it in D1
   */
  run(live: Live): Promise<void> {
    this.#running ??= this.#runDue(live).finally(() => {
      this.#running = null;
    });
    return this.#running;
  }

  async #runDue(live: Live): Promise<void> {
    const { jobId } = live.identity;
    for (let stage = this.#pending[0]; stage !== undefined; stage = this.#pending[0]) {
      const now = this.#clock.now();
      if (stage.failures > 0 && now < stage.dueAt) return;
      const isSkipped = now - stage.since >= PATIENCE_MS && !ESSENTIAL.includes(stage.name);
      if (stage.failures > 0 && isSkipped) {
        logEvent("error", "followup_given_up", { job: jobId, stage: stage.name });
      } else if (!(await this.#try(live, stage, now))) {
        return;
      }
      this.#pending = this.#pending.filter((each) => each !== stage);
      this.#storage.removeStage(stage.seq);
    }
  }

  async #try(live: Live, stage: PendingStage, now: number): Promise<boolean> {
    const { jobId } = live.identity;
    const { failures } = stage;
    // A stage that takes too much memory kills its object: the failure is counted before the stage runs.
    if (this.#isInherited) this.#countFailure(stage);
    try {
      const load = this.#stages[stage.name];
      // This release no longer has the stage.
      if (load === undefined) return true;
      const context = { jobId, env: this.#env, now, live, storage: this.#storage };
      const work = load().then((loaded) => loaded.stage.run(context));
      const outcome = await withTimeout(work, TIMEOUT_MS, `stage ${stage.name}`);
      if (outcome !== "later") return true;
      stage.failures = failures;
      stage.dueAt = Math.ceil(this.#clock.now() + LATER_MS * (1 + Math.random()));
      this.#storage.saveStage(stage);
      return false;
    } catch (error) {
      if (!this.#isInherited) this.#countFailure(stage);
      logEvent("warn", "followup_failed", {
        job: jobId,
        stage: stage.name,
        failures: stage.failures,
        causes: causesOf(error),
      });
      return false;
    }
  }

  #countFailure(stage: PendingStage): void {
    stage.failures++;
    const wait = BACKOFF.baseMs + backoffMs(stage.failures, BACKOFF);
    stage.dueAt = Math.ceil(this.#clock.now() + wait);
    this.#storage.saveStage(stage);
  }
}
