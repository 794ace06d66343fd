/**
 * (c) 1,000 to 1,000,000 jobs in the database, filled cumulatively: what the list, the detail, the creation, the counts and
 * the tags cost, and a tick of cron. Rows are exact, and decide; times are medians of requests one after the other. Nodes get no
 * rows: a request of this part reads those of one job at most, and filling them in takes an hour.
 */
import { randomUUID } from "node:crypto";
import type { Bundle } from "../../scripts/lib/bundle.ts";
import type { Database } from "../../scripts/lib/local-worker.ts";
import { hashPassword } from "../../src/identity/password-hash.ts";
import { addPerson } from "../../test/world/people.ts";
import { median } from "../rounds.ts";
import { seedDatabase } from "../seed-database.ts";
import { type Counted, untilQuiet } from "./meters.ts";
import type { Series } from "./report.ts";
import { openTwinStage, type TwinStage } from "./twin-stage.ts";

const API = "/api/silicon-mark/v1";
const SIZES = [1_000, 10_000, 100_000, 1_000_000];
const TIMES = 25;
const EMAIL = "scale@example.com";
const PASSWORD = "a password of the bench";
const MAX_TICKS = 30;

interface Request {
  method: "GET" | "POST";
  path: string;
  body?: () => object;
}

/** @param maxJobs the largest database */
export async function measureManyJobs(
  folder: string,
  bundle: Bundle,
  maxJobs: number,
): Promise<Series[]> {
  const stage = await openTwinStage(folder, bundle);
  try {
    const token = await signInAsStaff(stage);
    const found = new Map<string, Series>();
    const note = (name: string, unit: string, n: number, cost: number) => {
      const isExact = unit !== "ms";
      const made: Series = { name, unit, work: "constant", isExact, points: [] };
      const series = found.get(name) ?? made;
      series.points.push({ n, cost });
      found.set(name, series);
    };
    let filled = 0;
    for (const size of SIZES.filter((each) => each <= maxJobs)) {
      const start = performance.now();
      await fill(stage.db, filled, size);
      filled = size;
      const seconds = ((performance.now() - start) / 1_000).toFixed(0);
      console.log(`  ${size.toLocaleString("en-US")} jobs, filled in ${seconds} s`);
      await untilCronIsIdle(stage);
      for (const [name, request] of await requestsOf(stage, token)) {
        const counted = await countRequest(stage, request, token);
        note(`${name}: rows read`, "", size, counted.d1Reads);
        if (counted.d1Rows > 0) note(`${name}: rows written`, "", size, counted.d1Rows);
        note(`${name}: time`, "ms", size, await timeRequest(stage.url, request, token));
      }
      const tick = await countTick(stage);
      note("tick of cron: D1 calls", "", size, tick.d1Calls);
      note("tick of cron: rows read", "", size, tick.d1Reads);
    }
    return [...found.values()];
  } finally {
    await stage.stop();
  }
}

/** Live jobs are invented, too: no object knows them, so cron must not look for theirs. */
async function fill(db: Database, from: number, to: number): Promise<void> {
  // Job ids of seeds that differ modulo 8 never meet.
  const seed = SIZES.indexOf(to) + 1;
  await seedDatabase(db, { jobs: to - from, seed, tasksPerJob: 0, isQuiet: true });
}

async function signInAsStaff({ url, db }: TwinStage): Promise<string> {
  const passwordHash = await hashPassword(PASSWORD);
  await addPerson(db, { email: EMAIL, role: "root_admin", customer: "default", passwordHash });
  const form = new URLSearchParams({ grant_type: "password", username: EMAIL, password: PASSWORD });
  const reply = await fetch(new URL("/token", url), { method: "POST", body: form });
  const { access_token: session } = await body<{ access_token: string }>(reply);
  // A key does not expire while a million jobs are filled in.
  const made = await fetch(new URL("/v0/users/me/keys", url), {
    method: "POST",
    headers: { authorization: `Bearer ${session}`, "content-type": "application/json" },
    body: JSON.stringify({ name: "scale" }),
  });
  return (await body<{ key: string }>(made)).key;
}

async function requestsOf({ db }: TwinStage, token: string): Promise<Map<string, Request>> {
  void token;
  const { results } = await db
    .prepare(
      "SELECT id FROM jobs WHERE state = 'completed' AND node_count = 1 AND body_bytes IS NOT NULL AND deleted_at IS NULL ORDER BY id LIMIT 1",
    )
    .all<{ id: number }>();
  const id = results[0]?.id;
  if (id === undefined) throw new Error("no job to look at");
  const get = (path: string): Request => ({ method: "GET", path: `${API}${path}` });
  const order = () => ({ name: `Scale ${randomUUID()}`, benchmarks: [], tags: ["production"] });
  return new Map([
    ["list", get("/jobs")],
    ["list, one state", get("/jobs?state=completed")],
    ["detail", get(`/jobs/${id}`)],
    ["stats", get("/jobs/stats")],
    ["tags", get("/jobs/tags")],
    ["create", { method: "POST", path: `${API}/jobs`, body: order }],
  ]);
}

async function send(url: URL, { method, path, body: make }: Request, token: string) {
  const response = await fetch(new URL(path, url), {
    method,
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    ...(make === undefined ? {} : { body: JSON.stringify(make()) }),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
}

/** The second request's cost: the first one makes the isolate know its caller. */
async function countRequest(stage: TwinStage, request: Request, token: string): Promise<Counted> {
  await send(stage.countedUrl, request, token);
  const before = await untilQuiet(stage.countedUrl);
  await send(stage.countedUrl, request, token);
  return (await untilQuiet(stage.countedUrl)).since(before);
}

async function timeRequest(url: URL, request: Request, token: string): Promise<number> {
  const times: number[] = [];
  for (let time = -3; time < TIMES; time++) {
    const start = performance.now();
    await send(url, request, token);
    if (time >= 0) times.push(performance.now() - start);
  }
  return median(times);
}

async function countTick({ countedUrl }: TwinStage): Promise<Counted> {
  const before = await untilQuiet(countedUrl);
  const ticked = await fetch(new URL("/bench/cron", countedUrl));
  if (!ticked.ok) throw new Error(`a tick of cron: ${await ticked.text()}`);
  return (await untilQuiet(countedUrl)).since(before);
}

/** Ticks until two in a row cost the same: what seeding has left to do is done once, at any size. */
async function untilCronIsIdle(stage: TwinStage): Promise<void> {
  let last = "";
  for (let ticks = 0; ticks < MAX_TICKS; ticks++) {
    const { d1Calls, d1Reads, d1Rows, objectRequests } = await countTick(stage);
    const cost = [d1Calls, d1Reads, d1Rows, objectRequests].join();
    if (cost === last) return;
    last = cost;
  }
  throw new Error(`cron costs ${last} after ${MAX_TICKS} ticks, and not the same twice`);
}

async function body<Reply>(response: Response): Promise<Reply> {
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
  return (await response.json()) as Reply; // the API's own replies
}
