import { causesOf } from "../db/errors.ts";
import { type Clock, DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS } from "../lib/clock.ts";
import { backoffMs, withTimeout } from "../lib/retry.ts";
import type { CoordinatorStorage, Live, PendingStage } from "./storage.ts";

/**
 * What is done with a job once it has settled and D1 knows everything of it. A stage may run again after
 * it has run, and must do no harm then.
 */
export interface Stage {
  run(context: StageContext): Promise<void>;
}

export interface StageContext {
  jobId: number;
  env: Env;
  now: number;
}

/**
 * The stages, in the order they run. Each loads when it first runs, so that no poll pays for it. Names
 * are in the storage of objects: never rename one.
 */
export const STAGES: Readonly<Record<string, () => Promise<{ stage: Stage }>>> = {
  rate: () => import("../scoreboard/rate-stage.ts"),
  report: () => import("../reports/report-stage.ts"),
};

/** A stage that takes longer is given up and run again. */
const TIMEOUT_MS = 30 * SECOND_MS;
const BACKOFF = { baseMs: 5 * SECOND_MS, capMs: HOUR_MS };
/** The alarm stands this far ahead while a stage runs for the first time. */
const SAFETY_MS = MINUTE_MS;
/** A stage that has failed for so long is left out, and the next one has its turn. */
const PATIENCE_MS = 2 * DAY_MS;

/**
 * Runs the stages after a job has settled: each is pending in the object's storage from the commit that
 * settles the job until it has succeeded, one at a time, in order. It never throws and holds nothing up:
 * what fails is left to the alarm, which stands at `retryAt`.
 */
export class Aftermath {
  readonly #env: Env;
  readonly #storage: CoordinatorStorage;
  readonly #clock: Clock;
  readonly #stages: typeof STAGES;
  /** Begun by an earlier instance, which may have died of it. */
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

  /** Part of the commit that settles the job; synchronous. */
  begin(): void {
    const now = this.#clock.now();
    this.#pending = Object.keys(this.#stages).map((name, seq) => ({
      ...{ seq, name, failures: 0 },
      ...{ since: now, dueAt: now + SAFETY_MS },
    }));
    for (const stage of this.#pending) this.#storage.saveStage(stage);
  }

  /** Whether something is still to be done: the object's storage must stay until it is not. */
  isPending(): boolean {
    return this.#pending.length > 0;
  }

  /** When to go on if what runs now does not succeed, ms; null when all is done. */
  retryAt(): number | null {
    return this.#pending[0]?.dueAt ?? null;
  }

  /**
   * Runs what is due. A first try is due at once; after that the alarm decides.
   *
   * @param live settled, and known to D1 in full
   */
  run(live: Live): Promise<void> {
    this.#running ??= this.#runDue(live.identity.jobId).finally(() => {
      this.#running = null;
    });
    return this.#running;
  }

  async #runDue(jobId: number): Promise<void> {
    for (let stage = this.#pending[0]; stage !== undefined; stage = this.#pending[0]) {
      const now = this.#clock.now();
      if (stage.failures > 0 && now < stage.dueAt) return;
      if (stage.failures > 0 && now - stage.since >= PATIENCE_MS) {
        console.error(JSON.stringify({ level: "error", job: jobId, given_up: stage.name }));
      } else if (!(await this.#try(jobId, stage, now))) {
        return;
      }
      this.#pending = this.#pending.filter((each) => each !== stage);
      this.#storage.removeStage(stage.seq);
    }
  }

  async #try(jobId: number, stage: PendingStage, now: number): Promise<boolean> {
    // What takes too much memory ends its object, and nobody is left to say so: counted before it begins.
    if (this.#isInherited) this.#countFailure(stage);
    try {
      const load = this.#stages[stage.name];
      // A release that has given a stage up has nothing to do for it.
      if (load === undefined) return true;
      const work = load().then((loaded) => loaded.stage.run({ jobId, env: this.#env, now }));
      await withTimeout(work, TIMEOUT_MS, `stage ${stage.name}`);
      return true;
    } catch (error) {
      if (!this.#isInherited) this.#countFailure(stage);
      const what = { job: jobId, stage: stage.name, failures: stage.failures };
      console.warn(JSON.stringify({ level: "warn", ...what, aftermath: causesOf(error) }));
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
