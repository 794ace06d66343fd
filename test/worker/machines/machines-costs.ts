/** Costs of lists of machines, of histories and of comparisons: rows read, round trips and query plans. */
import { beforeAll, describe, test } from "vitest";
import { taskFigures } from "../../../src/db/schema/scoreboard.ts";
import { jobs as jobsTable, tasks as tasksTable } from "../../../src/db/schema.ts";
import { originColumns } from "../../../src/jobs/origins.ts";
import { firstJobIdAt } from "../../../src/lib/ids.ts";
import { patient } from "../../patience.ts";
import { call, type Reply } from "../harness/client.ts";
import { createCustomer, createPerson, type Person } from "../harness/factories.ts";
import { costOf, plansOf, rowsReadBy } from "../harness/instruments.ts";
import { insertRows, jobValues, taskValues, times } from "../harness/rows.ts";

const PER_PAGE = 20;
const START = Date.UTC(2025, 0, 1);
const MINUTE_MS = 60_000;

const customerId = await createCustomer();
const owner = await createPerson({ customerId });
const colleague = await createPerson({ customerId });
export const VIEWERS: Record<string, Person> = {
  user: owner,
  customer_admin: await createPerson({ customerId, role: "customer_admin" }),
  staff: await createPerson({ role: "staff" }),
};
const stranger = await createPerson();

/** A machine that has had many jobs. */
const VETERAN = "00000000-0000-4000-8000-00000000beef";
const VETERANS_JOBS = 300;

const uuidOf = (number: number) => `00000000-0000-4000-8000-${String(number).padStart(12, "0")}`;

let seeded = 0;

/** Fills up to so many machines, one a minute: half of them of the owner's jobs. */
async function seed(machines: number): Promise<void> {
  const numbers = times(machines - seeded, (number) => seeded + number);
  for (let from = 0; from < numbers.length; from += 5_000) {
    const some = numbers.slice(from, from + 5_000);
    await insertRows(jobsTable, some.map(seededJob));
    await insertRows(tasksTable, some.map(seededTask));
    await insertRows(taskFigures, some.map(seededFigures));
  }
  if (seeded === 0) await seedVeteran();
  seeded = machines;
}

const personOf = (number: number) => [owner, colleague, owner, stranger][number % 4] ?? owner;
const jobIdOf = (number: number) => firstJobIdAt(START) + number * MINUTE_MS * 8 * 512;

function seededJob(number: number) {
  const provider = number % 2 === 0 ? "Common Cloud" : "Rare Cloud";
  const places = originColumns({ provider, region: `region-${number % 5}` });
  const row = { id: jobIdOf(number), name: `job ${number}`, ...places };
  return jobValues(personOf(number), { ...row, createdAt: START + number * MINUTE_MS });
}

function seededTask(number: number) {
  const { id: userId, customerId: customer } = personOf(number);
  const jobId = jobIdOf(number);
  return taskValues({
    ...{ id: jobId + 1, jobId, rank: 0, userId, customerId: customer },
    machineUuid: uuidOf(number),
    createdAt: START + number * MINUTE_MS,
    hostName: number % 50 === 0 ? `odd-${number}` : `gpu-node-${number}`,
    gpuModel: number % 3 === 0 ? "NVIDIA L4" : "NVIDIA H100 NVL",
    gpuCount: 8,
    models: number % 3 === 0 ? ["l4"] : ["h100-nvl"],
    performanceStatus: (["underperforming", "expected"] as const)[number % 4 === 0 ? 0 : 1],
    findingCount: number % 7 === 0 ? 2 : null,
    specCheck: { status: number % 6 === 0 ? "differs" : "matches", fields: [] },
  });
}

function seededFigures(number: number): typeof taskFigures.$inferInsert {
  const { id: userId, customerId: customer } = personOf(number);
  return {
    taskId: jobIdOf(number) + 1,
    userId,
    customerId: customer,
    machineUuid: uuidOf(number),
    model: number % 3 === 0 ? "l4" : "h100-nvl",
    at: START + number * MINUTE_MS,
    bf16Tflops: 400 + (number % 10),
    memoryBandwidthGbs: 3_000,
    fleets: {
      bf16_tflops: { own: null, all: null },
      memory_bandwidth_gbs: { own: null, all: null },
    },
    ratedVersion: 0,
  };
}

async function seedVeteran(): Promise<void> {
  const numbers = times(VETERANS_JOBS, (number) => number);
  const first = jobIdOf(0) - 512 * 1_000_000;
  const idOf = (number: number) => first + number * 512;
  const at = (number: number) => START - (VETERANS_JOBS - number) * MINUTE_MS;
  await insertRows(
    jobsTable,
    numbers.map((number) => jobValues(owner, { id: idOf(number), createdAt: at(number) })),
  );
  const { id: userId } = owner;
  await insertRows(
    tasksTable,
    numbers.map((number) => {
      const row = { id: idOf(number) + 1, jobId: idOf(number), rank: 0, userId, customerId };
      return taskValues({ ...row, machineUuid: VETERAN, createdAt: at(number) });
    }),
  );
}

/** One filter or none, whether counter rows know the total, and whether the owner sees a page of it among 1,000. */
const FLAT: [query: string, counted: boolean][] = [
  ["", true],
  ["gpu_model=NVIDIA+H100+NVL", true],
  ["gpu_model=l4", true],
  ["gpu_model=a100", true],
  ["provider=common+cloud", true],
  ["provider=rare+cloud", true],
  ["region=region-3", true],
  ["status=expected", true],
  ["status=underperforming", true],
  ["spec_check=differs", true],
  ["has_findings=true", true],
  ["name=gpu-node", false],
  ["name=ODD", false],
  ["name=node-7", false],
];

/** Several filters, whose totals are counted. */
const SEVERAL = [
  "gpu_model=l4&status=expected",
  "provider=common+cloud&region=region-2&has_findings=true",
  "name=gpu&spec_check=matches",
];

interface Found {
  results: { machine_uuid: string }[];
  pagination: { next_cursor: string | null; total: number };
}

function list(person: Person, query: string) {
  return call("GET", `/machines?per_page=${PER_PAGE}&${query}`, { token: person.token });
}

/** Reads of pages 1 to 3 along the cursors and of page 2 again from page 3; per statement. */
async function readsOf(person: Person, query: string) {
  const read: number[][] = [];
  const visit = async (more: string) => {
    const traffic = await rowsReadBy<Reply<Found>>(
      () => list(person, `${query}&${more}`) as unknown as Promise<Reply<Found>>,
    );
    if (traffic.reply.status !== 200) throw new Error(traffic.reply.text);
    read.push(traffic.read);
    return traffic.reply;
  };
  const first = await visit("");
  if (first.body.pagination.next_cursor === null) return read;
  const second = await visit(`cursor=${first.body.pagination.next_cursor}`);
  if (second.body.pagination.next_cursor !== null) {
    const third = await visit(`cursor=${second.body.pagination.next_cursor}&page=3`);
    const back = /cursor=([\w-]+)[^,]*>; rel="prev"/.exec(third.headers.get("link") ?? "")?.[1];
    await visit(`cursor=${back}`);
  }
  return read;
}

/** Tests the costs at each number of machines, in rising order; round trips and plans at the last. */
export function testMachineCosts(sizes: readonly number[]): void {
  describe.each(sizes)("%i machines", (machines) => {
    beforeAll(() => seed(machines), patient(300_000));

    for (const [role, person] of Object.entries(VIEWERS)) {
      test(`a page of a ${role} reads at most page + 10 rows, first or later, with its total`, async ({
        expect,
      }) => {
        for (const [query, counted] of FLAT) {
          for (const [page = 0, total = 0, ...more] of await readsOf(person, query)) {
            expect(more, query).toEqual([]);
            expect(page + (counted ? total : 0), `?${query}`).toBeLessThanOrEqual(PER_PAGE + 10);
          }
        }
      });

      test(`a page of a ${role} with several filters reads as few`, async ({ expect }) => {
        for (const query of SEVERAL) {
          for (const [page = 0] of await readsOf(person, query)) {
            expect(page, `?${query}`).toBeLessThanOrEqual(PER_PAGE + 10);
          }
        }
      });
    }

    test("exactly a page and one row more, and one row for the total", async ({ expect }) => {
      for (const [query, counted] of FLAT) {
        const { read, reply } = await rowsReadBy(() => list(owner, query));
        const { results, pagination } = reply.body as unknown as Found;
        const page = Math.min(PER_PAGE + 1, pagination.total);
        expect(results.length, query).toBe(Math.min(PER_PAGE, pagination.total));
        expect(read[0], query).toBeLessThanOrEqual(page + 5);
        if (counted) expect(read[1], query).toBeLessThanOrEqual(2);
        else expect(read[1], query).toBeLessThanOrEqual(pagination.total + 10);
      }
    });

    test("a name of one or two characters looks at the 1,000 machines seen last", async ({
      expect,
    }) => {
      for (const person of Object.values(VIEWERS)) {
        const { read } = await rowsReadBy(() => list(person, "name=zz"));
        for (const rows of read) expect(rows).toBeLessThanOrEqual(2 * 1_000 + 10);
      }
    });

    test("one machine reads its row, a history the last 100 jobs of it", async ({ expect }) => {
      for (const person of Object.values(VIEWERS)) {
        const one = await rowsReadBy(() => call("GET", `/machines/${VETERAN}`, person));
        expect(one.reply.status).toBe(200);
        expect(one.read).toHaveLength(1);
        expect(one.read[0]).toBeLessThanOrEqual(2);
        const past = await rowsReadBy(() => call("GET", `/machines/${VETERAN}/history`, person));
        expect(past.reply.status).toBe(200);
        expect(past.read).toHaveLength(1);
        expect(past.read[0]).toBeLessThanOrEqual(110);
      }
    });

    test("a comparison reads at most the newest 1,000 results of each key", async ({ expect }) => {
      for (const person of Object.values(VIEWERS)) {
        for (const keys of [
          "group_by=model&key=h100-nvl&key=l4",
          "group_by=provider&key=common+cloud&key=rare+cloud",
          "group_by=region&key=region-1&key=region-2&gpu_model=l4",
          `group_by=machine&key=${uuidOf(2)}&key=${VETERAN}`,
          `group_by=job&key=${jobIdOf(2)}&key=${jobIdOf(4)}`,
          "group_by=spec&key=nobodys&key=others",
        ]) {
          const { read, reply } = await rowsReadBy(() =>
            call("GET", `/comparison?${keys}`, person),
          );
          expect(reply.status, reply.text).toBe(200);
          const [names = 0, ...groups] = read;
          expect(names, keys).toBeLessThanOrEqual(10);
          expect(groups).toHaveLength(2);
          const shown = reply.body.groups as unknown as { n: number }[];
          for (const [at, rows] of groups.entries()) {
            expect(shown[at]?.n, keys).toBeLessThanOrEqual(1_000);
            expect(rows, keys).toBeLessThanOrEqual(1_000 + 10);
          }
        }
      }
    });
  });

  test("one round trip each", async ({ expect }) => {
    const paths = [
      ...FLAT.map(([query]) => `/machines?${query}`),
      ...SEVERAL.map((query) => `/machines?${query}`),
      "/machines?name=zz",
      "/machines?page=5",
      `/machines/${VETERAN}`,
      `/machines/${VETERAN}/history?metric=bf16_tflops`,
      "/comparison?group_by=spec&key=a&key=b",
    ];
    for (const path of paths) {
      const asked = () => call("GET", path, owner);
      await asked();
      expect(await costOf(asked), path).toMatchObject({ d1_round_trips: 1, object_hops: 0 });
    }
  });

  test("no plan scans a table or sorts the machines", async ({ expect }) => {
    for (const person of Object.values(VIEWERS)) {
      for (const query of [...FLAT.map(([flat]) => flat), ...SEVERAL, "name=zz", "page=4"]) {
        const traffic = await rowsReadBy(() => list(person, query));
        for (const plan of await plansOf(traffic)) {
          expect(plan, query).not.toContain("TEMP B-TREE");
          expect(plan, query).not.toMatch(/SCAN (?:machines|machine_counts|tasks)\b/);
        }
      }
      const past = await rowsReadBy(() => call("GET", `/machines/${VETERAN}/history`, person));
      for (const plan of await plansOf(past)) {
        expect(plan).toMatch(/SEARCH tasks USING INDEX tasks_by_(?:owner_|customer_)?machine /);
        expect(plan).not.toContain("TEMP B-TREE");
      }
    }
  });
}
