/** The counted Worker, and a timeline: calls, alarms and cron happen in the order of the server's moved clock. */

import { hashPassword } from "../src/identity/password-hash.ts";
import { HOUR_MS, MINUTE_MS } from "../src/lib/clock.ts";
import { addPerson } from "../test/world/people.ts";
import { buildBaseline, openStage, type Stage } from "./stage.ts";

/** What follows a step is over when nothing was counted for this long. */
const QUIET_MS = 500;
const LOOK_MS = 50;
const EMAIL = "bench@example.com";
const PASSWORD = "a password of the bench";

const KINDS = [
  ...(["requests", "objectRequests", "alarms", "messages", "objectRows"] as const),
  ...(["d1Reads", "d1Rows", "logLines", "r2Writes", "r2Reads"] as const),
] as const;

/** As `counts` of the counted Worker. */
export type Counts = Record<(typeof KINDS)[number], number>;

/** Outside of objects. */
const ELSEWHERE: ReadonlySet<keyof Counts> = new Set(["d1Reads", "d1Rows", "r2Writes", "r2Reads"]);

/** What a count is for: `contact` of agents; the `job`, which is the same for all transports; and `cron`. */
export type Purpose = "contact" | "job" | "cron";

type Act = () => Promise<unknown>;

export class CostStage {
  readonly url: URL;
  readonly db: Stage["db"];
  readonly counted = new Map<Purpose, Counts>();
  readonly #stop: () => Promise<void>;
  readonly #queue: { at: number; purpose: Purpose; act: Act }[] = [];
  #last: Counts | undefined;
  /** The server's time, ms. */
  now = Date.now();

  private constructor({ url, db, stop }: Stage) {
    this.url = url;
    this.db = db;
    this.#stop = stop;
  }

  static async open(folder: string): Promise<CostStage> {
    const path = await buildBaseline(folder, "counted-worker");
    const bundle = { folder, main: path.slice(folder.length + 1), metafile: "" };
    const vars = { NODE_TIMEOUT_SECONDS: "150" };
    const stage = new CostStage(await openStage(folder, bundle, [], { vars }));
    const passwordHash = await hashPassword(PASSWORD);
    const person = { email: EMAIL, role: "root_admin", customer: "default", passwordHash } as const;
    await addPerson(stage.db, person);
    await stage.#move(stage.now);
    return stage;
  }

  stop(): Promise<void> {
    return this.#stop();
  }

  /** Plans an act for a time, not before now. */
  at(at: number, purpose: Purpose, act: Act): void {
    this.#queue.push({ at: Math.max(at, this.now), purpose, act });
    this.#queue.sort((a, b) => a.at - b.at);
  }

  /** Lets time pass to `until`: what was planned, the alarms of objects, and cron if it is wanted. */
  async run(until: number, options: { cron?: boolean } = {}): Promise<void> {
    const { cron = false } = options;
    let tick = cron ? this.now + MINUTE_MS : Infinity;
    this.#last = await this.#counts();
    while (true) {
      const alarm = (await this.#control<number | null>("next")) ?? Infinity;
      const next = this.#queue[0];
      const at = Math.min(alarm, next?.at ?? Infinity, tick);
      if (at > until) break;
      await this.#move(Math.max(at, this.now));
      if (alarm === at) await this.#fire(cron);
      else if (next !== undefined && next.at === at) {
        this.#queue.shift();
        await this.#note(next.purpose, next.act, next.purpose !== "contact");
      } else {
        await this.#note("cron", () => this.#control("cron"), false);
        tick += MINUTE_MS;
      }
    }
    await this.#move(until);
    await this.#note("job", async () => {}, true);
  }

  async #note(purpose: Purpose, act: Act, isFollowed: boolean): Promise<void> {
    await act();
    const counts = isFollowed ? await this.quiet() : await this.#counts();
    const before = this.#last ?? counts;
    for (const kind of kindsOf(counts)) this.#add(purpose, kind, counts[kind] - before[kind]);
    this.#last = counts;
  }

  #add(purpose: Purpose, kind: keyof Counts, count: number): void {
    const sum = this.counted.get(purpose) ?? zero();
    sum[kind] += count;
    this.counted.set(purpose, sum);
  }

  /** Alarms are for contact; what a job's object then writes elsewhere is its results, rating or report. */
  async #fire(isOfJobs: boolean): Promise<void> {
    const before = this.#last ?? (await this.#counts());
    await this.#control("fire");
    const counts = isOfJobs ? await this.quiet(0) : await this.#counts();
    for (const kind of kindsOf(counts)) {
      const purpose = isOfJobs && ELSEWHERE.has(kind) ? "job" : "contact";
      this.#add(purpose, kind, counts[kind] - before[kind]);
    }
    this.#last = counts;
  }

  /** Waits for the end of what the last step has left running. */
  async quiet(ms = QUIET_MS): Promise<Counts> {
    let counts = await this.#counts();
    let isUnderway = (await this.#control<number>("underway")) > 0;
    for (let since = performance.now(); isUnderway || performance.now() - since < ms; ) {
      await new Promise((done) => setTimeout(done, LOOK_MS));
      const now = await this.#counts();
      isUnderway = (await this.#control<number>("underway")) > 0;
      const isSame = JSON.stringify(now) === JSON.stringify(counts);
      if (isUnderway || !isSame) since = performance.now();
      counts = now;
    }
    return counts;
  }

  async #move(to: number): Promise<void> {
    this.now = to;
    await this.#control(`move?to=${to}`);
  }

  #counts(): Promise<Counts> {
    return this.#control("counts");
  }

  async #control<T>(path: string): Promise<T> {
    const response = await fetch(new URL(`/bench/${path}`, this.url));
    if (!response.ok) throw new Error(`${path}: ${await response.text()}`);
    return (await response.json()) as T; // the counted Worker's own replies
  }

  /** Calls the API. Fails on anything but success. */
  async call(method: string, path: string, token: string, more: Sent = {}): Promise<Answer> {
    const { body, headers = {} } = more;
    const isForm = body instanceof URLSearchParams;
    const response = await fetch(new URL(path, this.url), {
      method,
      headers: {
        ...(token === "" ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined || isForm ? {} : { "content-type": "application/json" }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: isForm ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    const { status } = response;
    if (status !== 304 && !response.ok) throw new Error(`${method} ${path}: ${status} ${text}`);
    return { status, headers: response.headers, body: text === "" ? null : JSON.parse(text) };
  }

  /** Token of an administrator, valid for some minutes of the server's time. */
  async signIn(): Promise<string> {
    const body = new URLSearchParams({
      grant_type: "password",
      username: EMAIL,
      password: PASSWORD,
    });
    return (await this.call("POST", "/token", "", { body })).body.access_token;
  }
}

interface Sent {
  body?: object;
  headers?: Record<string, string>;
}

interface Answer {
  status: number;
  headers: Headers;
  // The replies of many routes: whoever calls one knows its contract.
  // biome-ignore lint/suspicious/noExplicitAny: see above
  body: any;
}

export function kindsOf(counts: Counts): (keyof Counts)[] {
  return Object.keys(counts) as (keyof Counts)[]; // plain data of this shape
}

function zero(): Counts {
  return Object.fromEntries(KINDS.map((kind) => [kind, 0])) as Counts; // all keys
}

export const hours = (count: number): number => count * HOUR_MS;
