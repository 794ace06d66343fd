/**
 * The list of jobs against a plain model in memory: random jobs, every combination of filters, all orders,
 * for each role, by page numbers, along the cursors, and back again.
 */
import { env } from "cloudflare:workers";
import { beforeAll, describe, test } from "vitest";
import { createApp } from "../../../src/app.ts";
import { jobs as jobsTable } from "../../../src/db/schema.ts";
import { DAY_MS } from "../../../src/lib/clock.ts";
import { JOB_STATES, PERFORMANCE_STATUSES } from "../../../src/lib/enums.ts";
import { jobCreatedAt } from "../../../src/lib/ids.ts";
import { createRandom } from "../../world/random.ts";
import { API, appDeps } from "../harness/client.ts";
import { createCustomer, createPerson, type Person } from "../harness/factories.ts";
import { insertRows, jobValues, setJob } from "../harness/rows.ts";

const TAGS = ["prod", "Prod", "größe", "provider: aws", "a+b", "a-b", "a.b", "_"];
const WORDS = [
  "GPU",
  "gpu",
  "Bench",
  "İstanbul",
  "straße",
  "日本語",
  "a%b_c",
  'say "hi"',
  "x",
  "'; --",
];

interface Job {
  id: number;
  customerId: number;
  userId: number;
  name: string;
  state: (typeof JOB_STATES)[number];
  nodeCount: number;
  currentNodes: number;
  tags: string[];
  benchmarks: string[];
  startedAt: number | null;
  endedAt: number | null;
  deleted: boolean;
  /** Its rating; null for a job that has none. */
  performance: (typeof PERFORMANCE_STATUSES)[number] | null;
}

interface Question {
  state?: string;
  name?: string;
  benchmark_id?: string;
  tags?: string[];
  created_after?: number;
  created_before?: number;
  node_count_min?: number;
  node_count_max?: number;
  has_performance_data?: boolean;
}

/** An app of the test's own: it asks far more often than any one caller may. */
const { config } = appDeps();
const app = await createApp(appDeps({ config: { ...config, rateLimitScale: 1_000_000 } }));

async function get(url: string, { token }: Person) {
  const response = await app.request(url, { headers: { authorization: `Bearer ${token}` } });
  const text = await response.text();
  return {
    status: response.status,
    headers: response.headers,
    text,
    body: JSON.parse(text),
  };
}

const SEED = env.FUZZ?.seed ?? 1;
const random = createRandom(SEED);
const below = (limit: number) => Math.floor(random() * limit);
const oneOf = <Item>(items: readonly Item[]): Item => items[below(items.length)] as Item;
const some = <Item>(items: readonly Item[], most: number) => [
  ...new Set(Array.from({ length: below(most + 1) }, () => oneOf(items))),
];

const JOBS = 90;
const START = Date.UTC(2026, 0, 1);
const LATEST = 60_000;
const jobs: Job[] = [];
const viewers: { role: string; person: Person; sees: (job: Job) => boolean }[] = [];

beforeAll(async () => {
  const customers = [await createCustomer(), await createCustomer()];
  const people: Person[] = [];
  for (const customerId of customers) {
    people.push(await createPerson({ customerId }), await createPerson({ customerId }));
  }
  const [user] = people as [Person];
  const admin = await createPerson({ customerId: user.customerId, role: "customer_admin" });
  viewers.push(
    { role: "user", person: user, sees: (job) => job.userId === user.id },
    { role: "customer_admin", person: admin, sees: (job) => job.customerId === user.customerId },
    { role: "staff", person: await createPerson({ role: "staff" }), sees: () => true },
  );
  // Several in one millisecond, as an isolate makes them.
  const slots = new Set(
    Array.from({ length: JOBS * 2 }, () => below(LATEST / 100) * 100 * 8 + below(8)),
  );
  for (const slot of [...slots].slice(0, JOBS)) {
    const person = random() < 0.6 ? user : oneOf(people);
    const time = () => (random() < 0.4 ? null : START + below(5) * 1_000);
    jobs.push({
      id: ((START - Date.UTC(2024, 0, 1)) * 8 + slot) * 512,
      customerId: person.customerId,
      userId: person.id,
      // Names are unique per customer; the number makes them so.
      name: `${oneOf(WORDS)} ${oneOf(WORDS)} ${slot}`,
      state: oneOf(JOB_STATES),
      nodeCount: 1 + below(4),
      currentNodes: below(4),
      tags: some(TAGS, 4),
      benchmarks: random() < 0.3 ? ["quick_mark", "cluster_network"] : ["quick_mark"],
      startedAt: time(),
      endedAt: time(),
      deleted: random() < 0.1,
      performance: random() < 0.5 ? null : oneOf(PERFORMANCE_STATUSES),
    });
  }
  const rows = jobs.map(({ id, userId, customerId, tags, benchmarks, performance, ...job }) =>
    jobValues(
      { id: userId, customerId },
      {
        id,
        name: job.name,
        nodeCount: job.nodeCount,
        sequence: benchmarks.map((benchmark_id) => ({ benchmark_id, config: null })),
        tags,
        createdAt: jobCreatedAt(id),
        expiresAt: jobCreatedAt(id) + DAY_MS,
        state: job.state,
        currentNodes: job.currentNodes,
        startedAt: job.startedAt,
        endedAt: job.endedAt,
        performanceStatus: performance,
      },
    ),
  );
  await insertRows(jobsTable, rows);
  for (const job of jobs) if (job.deleted) await setJob(job, { deletedAt: 1 });
});

const FILTERS: Record<string, () => Question> = {
  state: () => ({ state: oneOf(JOB_STATES) }),
  name: () => ({
    name: oneOf([...WORDS, "gPu B", "ß", "e", "nothing like it"]).slice(0, 1 + below(8)),
  }),
  benchmark: () => ({ benchmark_id: oneOf(["quick_mark", "cluster_network", "unknown"]) }),
  tags: () => ({ tags: [oneOf(TAGS), ...some(TAGS, 1)] }),
  created: () => ({
    ...(random() < 0.7 ? { created_after: START + below(LATEST / 2) } : {}),
    ...(random() < 0.7 ? { created_before: START + below(LATEST) } : {}),
  }),
  nodes: () => ({
    ...(random() < 0.7 ? { node_count_min: 1 + below(4) } : {}),
    ...(random() < 0.7 ? { node_count_max: 1 + below(4) } : {}),
  }),
};

const SORTS: Record<string, (job: Job) => string | number> = {
  created_at: (job) => job.id,
  started_at: (job) => job.startedAt ?? 0,
  ended_at: (job) => job.endedAt ?? 0,
  expires_at: (job) => job.id,
  name: (job) => job.name,
  state: (job) => job.state,
  node_count: (job) => job.nodeCount,
  current_nodes: (job) => job.currentNodes,
};
const ORDERS = Object.keys(SORTS).flatMap((by) => [
  { by, order: "asc" },
  { by, order: "desc" },
]);

const asciiLower = (text: string) => text.replace(/[A-Z]/g, (letter) => letter.toLowerCase());

function fits(job: Job, question: Question): boolean {
  const { state, name, benchmark_id, tags, created_after, created_before } = question;
  const createdAt = jobCreatedAt(job.id);
  return [
    !job.deleted,
    state === undefined || job.state === state,
    name === undefined || name === "" || asciiLower(job.name).includes(asciiLower(name)),
    benchmark_id === undefined || job.benchmarks.includes(benchmark_id),
    (tags ?? []).every((tag) => job.tags.includes(tag)),
    created_after === undefined || createdAt > created_after,
    created_before === undefined || createdAt < created_before,
    job.nodeCount >= (question.node_count_min ?? 0),
    job.nodeCount <= (question.node_count_max ?? 256),
    // `false` is ignored.
    question.has_performance_data !== true || job.performance !== null,
  ].every(Boolean);
}

/** Texts by bytes, which for well-formed ones is by code points. */
function compare(a: string | number, b: string | number): number {
  if (typeof a === "number" || typeof b === "number") return Number(a) - Number(b);
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

function expected(sees: (job: Job) => boolean, question: Question, by: string, order: string) {
  const key = SORTS[by] ?? (() => 0);
  const sign = order === "asc" ? 1 : -1;
  return jobs
    .filter((job) => sees(job) && fits(job, question))
    .sort((a, b) => sign * (compare(key(a), key(b)) || a.id - b.id))
    .map((job) => String(job.id));
}

async function check(
  viewer: (typeof viewers)[number],
  question: Question,
  by: string,
  order: string,
) {
  const { role, person, sees } = viewer;
  const asked = new URLSearchParams({ sort_by: by, sort_order: order });
  for (const [name, value] of Object.entries(question)) {
    const isTime = name.startsWith("created");
    for (const one of [value].flat()) {
      asked.append(name, isTime ? new Date(Number(one)).toISOString() : String(one));
    }
  }
  const want = expected(sees, question, by, order);
  const perPage = Math.ceil(want.length / 6) + 1 + below(Math.ceil(want.length / 3) + 1);
  asked.set("per_page", String(perPage));
  const label = `seed ${SEED}: ${role} ?${asked}`;
  const read = async (more: Record<string, string>) => {
    const query = new URLSearchParams(asked);
    for (const [name, value] of Object.entries(more)) query.set(name, value);
    const reply = await get(`${API}/jobs?${query}`, person);
    if (reply.status !== 200) throw new Error(`${label}: ${reply.status} ${reply.text}`);
    return reply;
  };
  const same = (got: unknown, wanted: unknown, what: string) => {
    if (JSON.stringify(got) === JSON.stringify(wanted)) return;
    throw new Error(
      `${label}: ${what}\n got  ${JSON.stringify(got)}\n want ${JSON.stringify(wanted)}`,
    );
  };
  const idsOf = (reply: { body: { results: { id: string }[] } }) =>
    reply.body.results.map((job) => job.id);
  const pages = Math.ceil(want.length / perPage);

  // By number: the first, a random one, the last and the one behind it.
  for (const page of new Set([1, 1 + below(pages + 1), Math.max(1, pages), pages + 1])) {
    const reply = await read({ page: String(page) });
    same(idsOf(reply), want.slice((page - 1) * perPage, page * perPage), `page ${page}`);
    const { next_cursor: _cursor, ...pagination } = reply.body.pagination;
    same(
      pagination,
      {
        total: want.length,
        page,
        per_page: perPage,
        total_pages: pages,
        has_next: page < pages,
        has_prev: page > 1,
      },
      `pagination of page ${page}`,
    );
  }

  // Along the cursors, and back along the links.
  const walked: string[] = [];
  let back: string | null = null;
  for (let cursor: string | null = "", page = 1; cursor !== null; page++) {
    const reply = await read(cursor === "" ? {} : { cursor, page: String(page) });
    walked.push(...idsOf(reply));
    cursor = reply.body.pagination.next_cursor;
    if (cursor === null) back = prevOf(reply.headers.get("link"));
    if (page > pages + 1) throw new Error(`${label}: the cursors do not end`);
  }
  same(walked, want, "along the cursors");
  if (back !== null) {
    const reply = await get(back, person);
    same(
      idsOf(reply),
      want.slice((pages - 2) * perPage, (pages - 1) * perPage),
      "back from the end",
    );
    const { has_next, next_cursor } = reply.body.pagination;
    same(has_next, true, "whether a page follows the one before the last");
    const again = await read({ cursor: next_cursor, page: String(pages) });
    same(idsOf(again), want.slice((pages - 1) * perPage), "forward to the end again");
  }
}

function prevOf(link: string | null): string | null {
  return /<([^>]+)>; rel="prev"/.exec(link ?? "")?.[1] ?? null;
}

const combinations = Array.from({ length: 2 ** Object.keys(FILTERS).length }, (_, bits) =>
  Object.keys(FILTERS).filter((_name, at) => (bits >> at) % 2 === 1),
);

const isOfCount = (name: string) => ["state", "name", "tags"].includes(name);

/** Values for these filters that find something, if a few tries come upon such. */
function ask(names: readonly string[], sees: (job: Job) => boolean): Question {
  // Among as many questions as there are, every combination is asked both ways.
  const rated = random() < 0.5 ? {} : { has_performance_data: random() < 0.8 };
  const draw = () =>
    Object.assign({ ...rated }, ...names.map((name) => FILTERS[name]?.())) as Question;
  let question = draw();
  for (let tries = 0; tries < 40; tries++) {
    if (jobs.some((job) => sees(job) && fits(job, question))) break;
    question = draw();
  }
  return question;
}

/** Every order meets every filter, though not every combination of them. */
const drawnOrders = () => Array.from({ length: 3 }, () => oneOf(ORDERS));

describe.each(["user", "customer_admin", "staff"])(
  "what a %s sees is what the model says",
  (role) => {
    const viewer = () => viewers.find((each) => each.role === role) as (typeof viewers)[number];

    test("with every combination of filters, in orders drawn for each; all by `npm run fuzz`", async () => {
      for (const names of combinations) {
        for (const { by, order } of env.FUZZ === undefined ? drawnOrders() : ORDERS) {
          await check(viewer(), ask(names, viewer().sees), by, order);
        }
      }
    });

    test("and so is the count of those that underperform", async ({ expect }) => {
      const { person, sees } = viewer();
      for (const names of combinations.filter((each) => each.every(isOfCount))) {
        for (let times = 0; times < 12; times++) {
          const { has_performance_data: _rated, ...question } = ask(names, sees);
          const asked = new URLSearchParams();
          for (const [name, value] of Object.entries(question)) {
            for (const one of [value].flat()) asked.append(name, String(one));
          }
          const counted = { state: "completed", ...question };
          const alerts = jobs.filter(
            (job) => sees(job) && fits(job, counted) && job.performance === "underperforming",
          );
          const { body } = await get(`${API}/jobs/stats?${asked}`, person);
          expect(body, `seed ${SEED}: ${role} ?${asked}`).toEqual({
            alert_job_count: alerts.length,
          });
        }
      }
    });
  },
);
