/**
 * A fleet by the clock: runners that claim as the Worker lets them, with its own choice (`schedule.ts`) and its own
 * life of a job (`coordinator/life`); D1's guarded updates are told again in a few lines. Replies get lost, and
 * two isolates remember what they have read for 3 s.
 */
import { decide, type Event } from "../../../src/coordinator/life/lifecycle.ts";
import {
  isSettled,
  type Job,
  leaveBarrierAt,
  newJob,
  nextDeadline,
  positionOf,
} from "../../../src/coordinator/life/model.ts";
import {
  chooseJob,
  type Facts,
  isMeeting,
  MEET_MS,
  type OpenJob,
} from "../../../src/runners/schedule.ts";

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const STEP = 5 * SECOND;
const LEASE = 150 * SECOND;
const BARRIER = 10 * MINUTE;
const ABANDONED = 5 * MINUTE;
const FLOOD = 99;

export interface FleetPlan {
  loyal: string[][];
  fickle: { specs: string[]; later: string[]; up: number; down: number; hangs: boolean }[];
  jobs: {
    customer: number;
    spec: string;
    nodes: number;
    isGang: boolean;
    createdAt: number;
    work: number;
  }[];
  flood: { spec: string; nodes: number; isGang: boolean }[];
  lossPercent: number;
  seed: number;
}

interface ModelJob extends OpenJob {
  nodes: number;
  work: number;
  gang: "waiting" | "met" | null;
  life: Job;
  contacts: number[];
  news: number[];
  /** Highest progress of the running step, by rank. */
  best: number[];
  /** Jobs that have started since its creation. */
  others: number;
  isRequired: boolean;
}

interface Runner {
  id: number;
  specs: string[];
  isUp: boolean;
  hangs: boolean;
  heardAt: number;
  nextAt: number;
  /** Its row in D1. */
  job: ModelJob | null;
  claimedAt: number;
  askedAt: number | null;
  /** What its agent works on, and since when it runs its step. */
  task: { job: ModelJob; rank: number; position: number; since: number } | null;
}

type Read = Facts & { reserved: Set<number>; readAt: number };

export class Fleet {
  readonly #plan: FleetPlan;
  readonly #runners: Runner[];
  readonly #jobs: ModelJob[] = [];
  readonly #cache = new Map<string, Read>();
  #planned: FleetPlan["jobs"];
  #random: number;
  #now = 0;
  started = 0;
  mostOthers = 0;
  barriersLeft = 0;

  constructor(plan: FleetPlan) {
    this.#plan = plan;
    this.#random = plan.seed >>> 0;
    this.#planned = plan.jobs.toSorted((a, b) => a.createdAt - b.createdAt);
    const all = [...plan.loyal, ...plan.fickle.map(({ specs }) => specs)];
    this.#runners = all.map((specs, id) => ({
      id,
      specs,
      isUp: true,
      hangs: false,
      heardAt: -Infinity,
      nextAt: this.#below(10) * SECOND,
      job: null,
      claimedAt: 0,
      askedAt: null,
      task: null,
    }));
  }

  /** Runs until all jobs that can count on enough runners have started; the time, ms. */
  run(until: number): number {
    while (this.#now < until && (this.#planned.length > 0 || this.waiting().length > 0)) {
      this.#arrive();
      this.#comeAndGo();
      for (const job of this.#jobs) this.#tick(job);
      for (const runner of this.#runners) {
        if (runner.isUp && this.#now >= runner.nextAt) this.#act(runner);
      }
      this.#check();
      this.#now += STEP;
    }
    return this.#now;
  }

  /** Required jobs that have not started. */
  waiting() {
    return this.#jobs
      .filter(({ isRequired, life }) => isRequired && life.startedAt === null)
      .map(({ id, spec, nodes, gang }) => ({ id, spec, nodes, gang }));
  }

  #below(limit: number): number {
    this.#random = (Math.imul(this.#random, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((this.#random / 2 ** 32) * limit);
  }

  #isLost(): boolean {
    return this.#below(100) < this.#plan.lossPercent;
  }

  // ── What happens to the fleet ──

  #create(customerId: number, spec: string, nodes: number, isGang: boolean, work: number): void {
    const plan = [
      { key: "quick_mark", cluster: false },
      { key: "cluster_network", cluster: true },
    ];
    const life = newJob({
      nodeCount: nodes,
      plan: plan.slice(0, isGang ? 2 : 1),
      expiresAt: Infinity,
      barrierLimitMs: BARRIER,
    });
    const loyal = this.#plan.loyal.filter((specs) => specs.includes(spec)).length;
    this.#jobs.push({
      id: this.#jobs.length,
      customerId,
      spec,
      nodes,
      work,
      createdAt: this.#now,
      wants: nodes,
      isGang,
      gang: isGang ? "waiting" : null,
      reservedAt: null,
      heldSince: null,
      life,
      contacts: [],
      news: [],
      best: [],
      others: 0,
      isRequired: customerId !== FLOOD && nodes <= loyal,
    });
  }

  #arrive(): void {
    while ((this.#planned[0]?.createdAt ?? Infinity) <= this.#now) {
      const { customer, spec, nodes, isGang, work } = this.#planned.shift() as FleetPlan["jobs"][0];
      this.#create(customer, spec, nodes, isGang && nodes > 1, work);
    }
    for (const { spec, nodes, isGang } of this.#plan.flood) {
      const isOpen = (job: ModelJob) =>
        job.customerId === FLOOD && job.spec === spec && job.nodes === nodes && isJoinable(job);
      if (this.#jobs.filter(isOpen).length < 2)
        this.#create(FLOOD, spec, nodes, isGang && nodes > 1, this.#below(8) * MINUTE);
    }
  }

  #comeAndGo(): void {
    for (const [at, { up, down, specs, later, hangs }] of this.#plan.fickle.entries()) {
      const runner = this.#runners[this.#plan.loyal.length + at] as Runner;
      const round = up + down + MINUTE;
      const isUp = this.#now % round < up;
      // An agent that starts anew has forgotten its task.
      if (isUp && !runner.isUp) runner.task = null;
      runner.isUp = isUp;
      runner.specs = Math.floor(this.#now / round) % 2 === 0 ? specs : later;
      runner.hangs = hangs && this.#now > up / 2;
    }
  }

  #apply(job: ModelJob, event: Event): boolean {
    const before = job.life;
    const { job: life, outcome } = decide(before, event, this.#now);
    job.life = life;
    job.wants = job.nodes - life.nodes.length;
    for (const { rank } of life.nodes.slice(before.nodes.length)) {
      job.contacts[rank] = this.#now;
      job.news[rank] = this.#now;
    }
    if (before.startedAt === null && life.startedAt !== null) {
      this.started++;
      for (const other of this.#jobs) if (other.life.startedAt === null) other.others++;
      if (job.isRequired) this.mostOthers = Math.max(this.mostOthers, job.others);
    }
    return outcome.ok;
  }

  #tick(job: ModelJob): void {
    if (isSettled(job.life) || job.life.nodes.length === 0) return;
    const { contacts: lastContacts, news: lastNews } = job;
    if (this.#now < (nextDeadline(job.life, lastContacts, LEASE, 0, lastNews) ?? Infinity)) return;
    const gone = (life: Job) => life.nodes.filter(({ gaveUp }) => gaveUp).length;
    const before = gone(job.life);
    this.#apply(job, { type: "tick", lastContacts, lastNews, leaseMs: LEASE });
    this.barriersLeft += gone(job.life) - before;
  }

  // ── What a runner does ──

  #act(runner: Runner): void {
    if (runner.task === null) this.#claim(runner);
    else this.#work(runner, runner.task);
  }

  #work(runner: Runner, known: NonNullable<Runner["task"]>): void {
    const { job, rank } = known;
    runner.nextAt = this.#now + STEP;
    const node = job.life.nodes[rank];
    if (node === undefined || isSettled(job.life) || node.endedAt !== null) {
      runner.task = null;
      return;
    }
    if (this.#isLost()) return;
    job.contacts[rank] = this.#now;
    this.#apply(job, { type: "contact", rank });
    const position = positionOf(job.life.nodes[rank] ?? node);
    const isNew = position !== known.position;
    const task = isNew ? { job, rank, position, since: Infinity } : known;
    runner.task = task;
    if (job.life.nodes[rank]?.steps[position]?.state !== "running") return;
    if (task.since === Infinity) task.since = this.#now;
    // A runner that hangs is in contact, and gets nowhere.
    if (runner.hangs) return;
    const length = position === 0 ? job.work : 20 * SECOND;
    const progress = (this.#now - task.since) / length;
    if (progress < 1) {
      if (progress < (job.best[rank] ?? 0) + 0.01) return;
      Object.assign(job.best, { [rank]: progress });
      job.news[rank] = this.#now;
      return;
    }
    job.news[rank] = this.#now;
    job.best[rank] = 0;
    const state = this.#below(10) === 0 ? "failed" : "completed";
    const times = { startedAt: 0, endedAt: 0, errorMessage: null };
    this.#apply(job, { type: "result", rank, position, state, ...times });
  }

  #claim(runner: Runner): void {
    runner.nextAt = this.#now + (1 + this.#below(2)) * STEP;
    if (this.#isLost()) return;
    runner.heardAt = this.#now;
    const tried = new Set<number>();
    for (let tries = 0; tries < 8; tries++) {
      if (runner.job !== null && this.#isOver(runner)) release(runner);
      if (runner.job === null && !this.#choose(runner, tried)) return;
      const { job } = runner as { job: ModelJob };
      if (job.gang === "waiting") {
        runner.askedAt = this.#now;
        const members = this.#membersOf(job).filter(
          ({ askedAt }) => (askedAt ?? 0) > this.#now - 30 * SECOND,
        );
        if (members.length < job.wants) {
          runner.nextAt = this.#now + STEP;
          return;
        }
        job.gang = "met";
      }
      if (this.#isLost()) return;
      const machine = { machineUuid: String(runner.id), machineIp: null, clusterAddresses: [] };
      const facts = {
        gpuModel: null,
        gpuCount: null,
        gpuModels: null,
        inventoryHash: null,
        bootId: null,
      };
      const isIn = this.#apply(job, { type: "join", machine: { ...machine, ...facts } });
      const node = job.life.nodes.find((each) => each.machine.machineUuid === String(runner.id));
      if (isIn && node !== undefined && node.endedAt === null) {
        job.contacts[node.rank] = this.#now;
        if (!this.#isLost()) runner.task = { job, rank: node.rank, position: -1, since: Infinity };
        return;
      }
      tried.add(job.id);
      release(runner);
    }
  }

  /** Reserves as the Worker does; false when the runner gets nothing. */
  #choose(runner: Runner, tried: Set<number>): boolean {
    const facts = this.#read(runner);
    const isOut = ({ id }: OpenJob) => tried.has(id) || this.#hasTask(runner, this.#jobs[id]);
    const choice = chooseJob(facts, this.#now, isOut);
    if (choice === null) return false;
    const job = this.#jobs[choice.job.id] as ModelJob;
    if (choice.kind === "hold") {
      const after = this.#now - 20 * MINUTE;
      const begun = this.#jobs
        .filter((each) => each.spec === job.spec && each.customerId === job.customerId)
        .map(({ heldSince }) => heldSince ?? -Infinity);
      const latest = Math.max(...begun);
      if ((job.heldSince ?? -Infinity) <= after)
        job.heldSince = latest > after ? latest : this.#now;
      choice.job.heldSince = job.heldSince;
      return false;
    }
    tried.add(job.id);
    const isOffered = runner.specs.includes(job.spec);
    if (choice.kind === "gather") {
      if (job.gang === "waiting") {
        for (const member of this.#membersOf(job)) if (this.#isOver(member)) release(member);
      }
      const members = this.#idle(job.spec);
      const isFree = job.gang === "waiting" && !isMeeting(job, this.#now);
      if (!isFree || !isOffered || members.length < job.wants || !isJoinable(job)) {
        return this.#choose(runner, tried);
      }
      const own = members.filter((each) => each === runner);
      const others = members
        .filter((each) => each !== runner)
        .toSorted((a, b) => b.heardAt - a.heardAt);
      for (const member of [...own, ...others].slice(0, job.wants)) {
        this.#give(member, job, member === runner ? this.#now : 0);
      }
      Object.assign(job, { reservedAt: this.#now, heldSince: null });
      return runner.job !== null;
    }
    const isFull = job.gang !== null && this.#membersOf(job).length >= job.wants;
    if (!isJoinable(job) || isFull || !isOffered) return this.#choose(runner, tried);
    this.#give(runner, job, job.gang === null ? null : this.#now);
    return true;
  }

  #give(runner: Runner, job: ModelJob, askedAt: number | null): void {
    Object.assign(runner, { job, askedAt, claimedAt: this.#now });
  }

  // ── What D1 knows ──

  #hasTask(runner: Runner, job: ModelJob | undefined): boolean {
    return (
      job?.life.nodes.some(({ machine }) => machine.machineUuid === String(runner.id)) === true
    );
  }

  #isOver(runner: Runner): boolean {
    const { job, claimedAt, askedAt } = runner;
    if (job === null || isSettled(job.life)) return true;
    const node = job.life.nodes.find(({ machine }) => machine.machineUuid === String(runner.id));
    if (node !== undefined) return node.endedAt !== null;
    if (claimedAt <= this.#now - 30 * SECOND && !runner.specs.includes(job.spec)) return true;
    const limit = askedAt !== null && job.gang === "waiting" ? MEET_MS : ABANDONED;
    return claimedAt <= this.#now - limit;
  }

  #membersOf(job: ModelJob): Runner[] {
    return this.#runners.filter(
      (each) =>
        each.job === job && !this.#hasTask(each, job) && each.claimedAt > this.#now - ABANDONED,
    );
  }

  #isSeen({ heardAt }: Runner): boolean {
    return heardAt > this.#now - LEASE;
  }

  #idle(spec: string): Runner[] {
    return this.#runners.filter(
      (each) => each.specs.includes(spec) && this.#isSeen(each) && this.#isOver(each),
    );
  }

  /** Has a live task, or ended one lately and will claim in a moment. */
  #isAtWork({ job, id }: Runner): boolean {
    const node = job?.life.nodes.find(({ machine }) => machine.machineUuid === String(id));
    if (node === undefined) return false;
    return node.endedAt === null ? node.state === "running" : node.endedAt > this.#now - LEASE;
  }

  /** Facts of one of two isolates, at most 3 s old; claims change them as those of an isolate do. */
  #read(runner: Runner): Facts {
    const key = `${this.#below(2)} ${runner.specs}`;
    const known = this.#cache.get(key);
    if (known !== undefined && known.readAt === this.#now) return known;
    const open = this.#jobs.filter((job) => runner.specs.includes(job.spec) && isJoinable(job));
    const held = new Map<number, number>();
    for (const each of this.#runners) {
      if (this.#isOver(each) || each.job === null) continue;
      if (!each.specs.some((spec) => runner.specs.includes(spec))) continue;
      held.set(each.job.customerId, (held.get(each.job.customerId) ?? 0) + 1);
    }
    const pools = runner.specs.map(
      (spec): [string, Facts["pools"] extends Map<string, infer P> ? P : never] => {
        const online = this.#runners.filter(
          (each) => each.specs.includes(spec) && (this.#isSeen(each) || this.#isAtWork(each)),
        );
        return [spec, { idle: this.#idle(spec).length, online: online.length }];
      },
    );
    const jobs = open.flatMap((job): OpenJob[] => {
      const wants = job.wants - (job.gang === "met" ? this.#membersOf(job).length : 0);
      return wants > 0 ? [{ ...job, wants, isGang: job.gang === "waiting" }] : [];
    });
    const facts = {
      jobs,
      // Also of jobs that have ended.
      tries: this.#jobs
        .filter((job) => runner.specs.includes(job.spec) && job.gang !== null)
        .map(({ customerId, heldSince, reservedAt, gang }) => ({
          customerId,
          heldSince,
          reservedAt: gang === "waiting" ? reservedAt : null,
        })),
      held,
      pools: new Map(pools),
      reserved: new Set<number>(),
      readAt: this.#now,
    };
    this.#cache.set(key, facts);
    return facts;
  }

  // ── What must hold ──

  #check(): void {
    const working = new Map<string, number>();
    for (const job of this.#jobs) {
      // A lost node that has come back: its object's alarm rings at once.
      this.#tick(job);
      const { life, nodes, gang } = job;
      const { length: joined } = life.nodes;
      if (joined > nodes) throw new Error(`job ${job.id} has too many nodes`);
      if (gang !== null && joined + this.#membersOf(job).length > nodes)
        throw new Error(`gang ${job.id} holds too many runners`);
      if (gang === "waiting" && joined > 0) throw new Error(`gang ${job.id} began without all`);
      if (isSettled(life)) continue;
      if (this.#now > (leaveBarrierAt(life, job.news) ?? Infinity))
        throw new Error(`nodes of job ${job.id} wait at a barrier for too long`);
      for (const { machine, endedAt, lostAt } of life.nodes) {
        if (endedAt !== null || lostAt !== null) continue;
        const of = working.get(machine.machineUuid);
        if (of !== undefined)
          throw new Error(`runner ${machine.machineUuid} has jobs ${of}, ${job.id}`);
        working.set(machine.machineUuid, job.id);
      }
    }
  }
}

function isJoinable({ life }: ModelJob): boolean {
  return life.state === "created" || life.state === "starting";
}

function release(runner: Runner): void {
  Object.assign(runner, { job: null, askedAt: null, claimedAt: 0 });
}
