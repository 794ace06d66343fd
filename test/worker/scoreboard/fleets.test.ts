/** Fleets as baselines: whose machines count, who sees and feels them, and what computing them costs. */
import { env } from "cloudflare:workers";
import { and, eq } from "drizzle-orm";
import fc from "fast-check";
import { describe, type ExpectStatic, test } from "vitest";
import { medianOf } from "../../../src/benchmarks/statistics.ts";
import { createMeter, openDatabase } from "../../../src/db/client.ts";
import { baselines, customerFleets } from "../../../src/db/schema/scoreboard.ts";
import { readConfig } from "../../../src/lib/config.ts";
import { rateSettledJob } from "../../../src/scoreboard/rating.ts";
import { recomputeBaselines, rerate } from "../../../src/scoreboard/upkeep.ts";
import { call, detail, expectError, machineUuid, V0 } from "../harness/client.ts";
import { createPerson, measureJob, type Person } from "../harness/factories.ts";
import { ownD1, planOf, reported } from "../harness/instruments.ts";
import { jobRow } from "../harness/rows.ts";

const meter = createMeter();
/** D1's work in batches, by statement. */
const work: { read: number; written: number }[] = [];
const d1 = ownD1();
const db = openDatabase(
  {
    prepare: (query) => d1.prepare(query),
    batch: async <Row>(statements: D1PreparedStatement[]) => {
      const results = await d1.batch<Row>(statements);
      for (const { meta } of results) {
        work.push({ read: meta.rows_read, written: meta.rows_written });
      }
      return results;
    },
  },
  meter,
);
const { rating } = readConfig(env);
const cron = async () => {
  const fleets = await recomputeBaselines(db, Date.now(), rating);
  return { fleets, jobs: await rerate(db, Date.now(), 100, rating) };
};

// The first run of a new server notes the rules.
await cron();

let serial = 0;
/** A GPU that no other test has. */
const newModel = () => `Fleet GPU ${++serial}X`;
const slugOf = (model: string) => model.toLowerCase().replaceAll(" ", "-").replace("gpu-", "");

const machine = (gpu_model: string, bf16_tflops: number, machine_uuid = machineUuid()) => ({
  gpu_model,
  gpu_count: 1,
  machine_uuid,
  results: { aggregate_results: { bf16_tflops, memory_bandwidth_gbs: 2_000 } },
});

/** A job of so many machines of a model, by a new customer unless one of its people is given. */
const fleet = (model: string, figures: readonly number[], owner?: Person) =>
  measureJob(
    figures.map((bf16) => machine(model, bf16)),
    owner,
  );

async function view(model: string) {
  const { token } = await createPerson();
  return call("GET", `/baselines/${encodeURIComponent(model)}/bf16_tflops`, { token });
}

const nodeOf = async (job: Parameters<typeof detail>[0]) =>
  (await detail(job)).body.scoreboard_summary.nodes[0];
const metricOf = async (job: Parameters<typeof detail>[0]) => (await nodeOf(job)).metrics[0];

/** Puts machines into D1 without a job, all with one memory bandwidth. */
async function insertMachines(
  model: string,
  customerId: number,
  values: readonly (number | null)[],
) {
  await env.DB.prepare(
    `INSERT INTO machine_figures (model, customer_id, machine_uuid, class, at, task_id, bf16_tflops, memory_bandwidth_gbs)
    SELECT ?, ?, 'm' || key, 'quickmark', key, key, value, 2000 FROM json_each(?)`,
  )
    .bind(model, customerId, JSON.stringify(values))
    .run();
}

describe("a job of 30 invented nodes at 5,000 TFLOPS", () => {
  async function attack(model: string, bf16: number) {
    const attacker = await createPerson();
    const job = await fleet(model, Array(30).fill(bf16), attacker);
    await cron();
    return job;
  }

  test.for([
    ["NVIDIA H100 NVL", 452.2, 3_254, "unrated"],
    ["NVIDIA H100 80GB HBM3", 700, 2_900, "expected"],
  ] as const)(
    "changes nothing for another customer's honest %s, before or after",
    async ([gpu_model, bf16_tflops, memory_bandwidth_gbs, status], { expect }) => {
      const honest = await createPerson();
      const results = { aggregate_results: { bf16_tflops, memory_bandwidth_gbs } };
      const run = () => measureJob([{ gpu_model, gpu_count: 1, results }], honest);
      const earlier = await run();
      await reported(earlier);
      const before = await jobRow(earlier);
      expect((await nodeOf(earlier)).status).toBe(status);
      const invented = await attack(gpu_model, 5_000);
      expect(await metricOf(invented)).toMatchObject({
        status: "unrated",
        value: null,
        reason: expect.stringMatching(/^no node is rated|^5000 TFLOPS for 1 GPU cannot be true/),
      });
      // The most that is plausible counts in the attacker's own fleet alone.
      await attack(gpu_model, 790);
      expect(await cron()).toEqual({ fleets: 0, jobs: 0 });
      expect(await jobRow(earlier), "verdict and report").toEqual(before);
      const later = await nodeOf(await run());
      expect(later).toMatchObject({ status });
      expect(later.metrics[0]).toMatchObject({
        source: "shipped",
        own_fleet_baseline: null,
        fleet_baseline: null,
      });
    },
  );

  test("a plausible one of a model without a data sheet neither", async ({ expect }) => {
    const model = newModel();
    const earlier = await fleet(model, [100]);
    await attack(model, 3_900);
    expect((await metricOf(earlier)).baseline).toBeNull();
    expect((await metricOf(await fleet(model, [100]))).baseline).toBeNull();
    expectError(expect, await view(model), 404, "RESOURCE_NOT_FOUND");
  });
});

describe("a customer's own fleet", () => {
  test("says how far its machines are apart, and how old that is", async ({ expect }) => {
    const model = newModel();
    const owner = await createPerson();
    const figures = Array.from({ length: 33 }, (_, number) => 100 + number);
    await fleet(model, figures, owner);
    const before = Date.now();
    await cron();
    const { verdict } = await jobRow(await fleet(model, [116], owner));
    const [bf16] = verdict?.metrics ?? [];
    expect(bf16).toMatchObject({
      source: "own_fleet",
      baseline: 116,
      spread: { low: 100, quartiles: [108, 124], high: 132, customers: null },
    });
    expect(bf16?.spread?.at).toBeGreaterThanOrEqual(before);
  });

  test("rates its later jobs from 30 machines on, and shows to nobody else", async ({ expect }) => {
    const model = newModel();
    const owner = await createPerson();
    await fleet(model, Array(29).fill(100), owner);
    await cron();
    expect(await metricOf(await fleet(model, [50], owner))).toMatchObject({ baseline: null });
    await cron();
    expect(await metricOf(await fleet(model, [80], owner))).toMatchObject({
      status: "underperforming",
      source: "own_fleet",
      baseline: 100,
      sample_size: 30,
      own_fleet_baseline: 100,
      fleet_baseline: null,
      reason: "80 % of the own fleet baseline: below 90 %",
    });
    const colleague = await createPerson({ customerId: owner.customerId });
    expect(await metricOf(await fleet(model, [80], colleague))).toMatchObject({ baseline: 100 });
    const stranger = await fleet(model, [80]);
    expect(await metricOf(stranger)).toMatchObject({ baseline: null, own_fleet_baseline: null });
    expectError(expect, await view(model), 404, "RESOURCE_NOT_FOUND");
    const { token } = owner;
    const csv = await call("GET", "/tasks", { token, headers: { accept: "text/csv" } });
    expect(csv.text).toContain(",80,100,own_fleet,0.8,");
  });

  test("counts a machine once, with its latest result, however often it measures", async ({
    expect,
  }) => {
    const model = newModel();
    const owner = await createPerson();
    await fleet(model, Array(29).fill(100), owner);
    const own = machineUuid();
    for (const bf16 of [500, 400, 300, 90]) await measureJob([machine(model, bf16, own)], owner);
    await cron();
    expect(await metricOf(await fleet(model, [100], owner))).toMatchObject({
      baseline: 100,
      sample_size: 30,
    });
  });

  test("a moved person's machines stay with the customer of their time", async ({ expect }) => {
    const model = newModel();
    const person = await createPerson();
    const own = machineUuid();
    await measureJob([machine(model, 200, own)], person);
    await fleet(model, Array(30).fill(100), person);
    await cron();
    const colleague = await createPerson({ customerId: person.customerId });
    const { token } = await createPerson({ role: "root_admin" });
    const { body } = await call("POST", `${V0}/customers`, { token, body: { name: model } });
    const path = `${V0}/users/${person.uuid}`;
    const change = await call("PATCH", path, { token, body: { customer: body.uuid } });
    expect(change.status, change.text).toBe(200);
    const moved = await nodeOf(await measureJob([machine(model, 95, own)], person));
    expect(moved, "nothing of the customer before").toMatchObject({ status: "unrated", drops: [] });
    expect(moved.metrics[0]).toMatchObject({ own_fleet_baseline: null });
    expect(await metricOf(await fleet(model, [95], colleague))).toMatchObject({ baseline: 100 });
  });
});

describe("the fleet of all customers", () => {
  const [few, many] = [5, 20].map((machines) => (value: number) => Array(machines).fill(value)) as [
    (value: number) => number[],
    (value: number) => number[],
  ];

  test("is the median of customers' medians, however many machines one of them has", async ({
    expect,
  }) => {
    const model = newModel();
    const first = await fleet(model, many(100));
    await fleet(model, few(110));
    await cron();
    expectError(expect, await view(model), 404, "RESOURCE_NOT_FOUND");
    await fleet(model, few(400));
    await cron();
    expect((await view(model)).body).toMatchObject({
      source: "fleet",
      value: 110,
      fleet: { median: 110, machines: 30 },
      fleet_to_shipped: null,
    });
    expect(await metricOf(first), "rated before").toMatchObject({ baseline: null });
    expect(await metricOf(await fleet(model, [50]))).toMatchObject({
      status: "underperforming",
      source: "fleet",
      sample_size: 30,
      fleet_baseline: 110,
    });
  });

  test.for([
    ["two customers", [many(1), many(1)]],
    ["three customers, one of them with 4 machines", [many(1), many(1), [1, 1, 1, 1]]],
    ["three customers with 29 machines in all", [few(1), few(1), many(1).slice(1)]],
  ] as const)("does not exist for %s", async ([, customers], { expect }) => {
    const model = newModel();
    for (const figures of customers) await fleet(model, figures);
    await cron();
    expectError(expect, await view(model), 404, "RESOURCE_NOT_FOUND");
    expect(await metricOf(await fleet(model, [1]))).toMatchObject({ fleet_baseline: null });
  });

  test("counts a machine once for each customer: its UUID is only what an agent says", async ({
    expect,
  }) => {
    const model = newModel();
    const uuids = Array.from({ length: 10 }, machineUuid);
    for (const value of [100, 200, 300]) {
      await measureJob(uuids.map((uuid) => machine(model, value, uuid)));
    }
    await cron();
    expect((await view(model)).body.fleet).toMatchObject({ median: 200, machines: 30 });
  });

  test("that is mostly bad is no yardstick, and the difference is shown", async ({ expect }) => {
    const model = "NVIDIA A100-SXM4-40GB";
    for (let customer = 0; customer < 3; customer++) await fleet(model, Array(10).fill(127.75));
    await cron();
    expect((await view(model)).body).toMatchObject({
      source: "shipped",
      value: 255.5,
      fleet_to_shipped: 0.5,
      fleet: { median: 127.75, machines: 30 },
    });
    expect(await metricOf(await fleet(model, [127.75]))).toMatchObject({
      status: "underperforming",
      fleet_baseline: 127.75,
      shipped_baseline: 255.5,
    });
  });

  test("never changes a verdict made before, not even when a value is pinned and unpinned", async ({
    expect,
  }) => {
    const model = newModel();
    for (const value of [100, 100, 100]) await fleet(model, Array(10).fill(value));
    await cron();
    const owner = await createPerson();
    const job = await fleet(model, [95], owner);
    const before = (await nodeOf(job)).metrics;
    expect(before[0]).toMatchObject({ status: "expected", baseline: 100 });
    for (const value of [300, 300, 300, 300]) await fleet(model, Array(10).fill(value));
    expect((await cron()).jobs).toBe(0);
    expect((await view(model)).body).toMatchObject({ value: 300 });
    const admin = await createPerson({ role: "root_admin" });
    const path = `/baselines/${slugOf(model)}/bf16_tflops`;
    await call("PUT", path, { token: admin.token, body: { value: 200 } });
    expect((await cron()).jobs).toBe(8);
    expect((await nodeOf(job)).metrics[0]).toMatchObject({
      status: "underperforming",
      source: "pinned",
      fleet_baseline: 100,
    });
    await call("DELETE", path, { token: admin.token });
    await cron();
    expect((await nodeOf(job)).metrics).toEqual(before);
    expect(await metricOf(await fleet(model, [95], owner))).toMatchObject({ baseline: 300 });
  });

  test("shows a changed median under a new ETag", async ({ expect }) => {
    const model = newModel();
    const customers = await Promise.all([1, 2, 3].map(() => createPerson()));
    for (const owner of customers) await fleet(model, Array(10).fill(100), owner);
    await cron();
    const first = await view(model);
    await fleet(model, Array(10).fill(100), customers[0]);
    await cron();
    const second = await view(model);
    expect(second.body.fleet).toMatchObject({ median: 100, machines: 40 });
    expect(second.body.version).toBeGreaterThan(first.body.version);
    expect(second.headers.get("etag")).not.toBe(first.headers.get("etag"));
  });
});

describe("medians in D1", () => {
  const figure = fc.option(fc.double({ min: 0.001, max: 4_000, noNaN: true }));

  test("are those of the machines, and of the customers, whatever the figures", async ({
    expect,
  }) => {
    const fleets = fc.array(fc.array(figure, { minLength: 3, maxLength: 12 }), {
      minLength: 1,
      maxLength: 6,
    });
    await fc.assert(
      fc.asyncProperty(fleets, async (customers) => {
        const model = `random-${++serial}`;
        for (const [at, values] of customers.entries()) {
          await insertMachines(model, 1_000 + at, values);
        }
        while ((await recomputeBaselines(db, Date.now(), rating)) > 0);
        const known = customers.map((values) => values.filter((value) => value !== null));
        const rows = await db.select().from(customerFleets).where(eq(customerFleets.model, model));
        expectMedians(
          expect,
          rows.map(({ bf16Median, bf16Machines }) => [bf16Median, bf16Machines]),
          known.map((values) => [medianOf(values), values.length]),
        );
        const counted = known.filter((values) => values.length >= 5);
        const medians = counted.map((values) => medianOf(values) ?? 0);
        const [all] = await db
          .select()
          .from(baselines)
          .where(and(eq(baselines.model, model), eq(baselines.metric, "bf16_tflops")));
        const { fleetMedian = null, fleetMachines = null } = all ?? {};
        expectMedians(
          expect,
          [[fleetMedian, fleetMachines]],
          [counted.length < 3 ? [null, null] : [medianOf(medians), counted.flat().length]],
        );
      }),
      { numRuns: 25 },
    );
  });

  function expectMedians(
    expect: ExpectStatic,
    found: readonly (readonly (number | null)[])[],
    expected: readonly (readonly (number | null)[])[],
  ) {
    const rounded = (rows: typeof found) =>
      rows.map((row) =>
        row.map((value) => (value === null ? null : Number(value.toPrecision(12)))),
      );
    expect(rounded(found)).toEqual(rounded(expected));
  }
});

describe("costs", () => {
  const cost = async (run: () => Promise<unknown>) => {
    const before = meter.d1RoundTrips;
    work.length = 0;
    await run();
    const sum = (key: "read" | "written") => work.reduce((all, each) => all + each[key], 0);
    return { trips: meter.d1RoundTrips - before, read: sum("read"), written: sum("written") };
  };
  const compute = () => recomputeBaselines(db, Date.now(), rating);

  test("without news cron asks twice, and reads no fleet", async ({ expect }) => {
    while ((await compute()) > 0);
    expect((await cost(compute)).trips).toBe(2);
    const { meta } = await env.DB.prepare(
      "select model, customer_id, class, changes from customer_fleets where changes <> computed_changes and machines >= 3 order by computed_at limit 10",
    ).all();
    expect(meta.rows_read, "the end of the index").toBe(1);
  });

  test("a fleet costs two round trips, and reads its latest 5,000 machines alone", async ({
    expect,
  }) => {
    while ((await compute()) > 0);
    await insertMachines("large", 1, Array(12_000).fill(1));
    expect(await cost(compute)).toEqual({ trips: 4, read: 22, written: 2 });
    const query =
      "select bf16_tflops, memory_bandwidth_gbs from machine_figures where model = 'large' and customer_id = 1 and class = 'quickmark' order by at desc limit 5000";
    expect((await env.DB.prepare(query).all()).meta.rows_read).toBe(5_000);
    expect(await planOf(query)).toContain("USING COVERING INDEX machine_figures_by_time");
  });

  test("one run computes 10 fleets at most, the others in later runs", async ({ expect }) => {
    while ((await compute()) > 0);
    for (let customer = 1; customer <= 25; customer++) {
      await insertMachines("crowded", customer, [1, 2, 3, 4, 5]);
    }
    const first = await cost(compute);
    expect(first.trips).toBe(22);
    expect(first.read, "of all customers of the model").toBeLessThan(10 * 25 * 12);
    expect([await compute(), await compute(), await compute()]).toEqual([10, 5, 0]);
    expect((await view("crowded")).body.fleet).toMatchObject({ median: 3, machines: 125 });
  });

  test("a rating reads the fleets of its models alone, in three round trips", async ({
    expect,
  }) => {
    const owner = await createPerson();
    const model = newModel();
    await insertMachines(slugOf(model), owner.customerId, Array(40).fill(100));
    while ((await compute()) > 0);
    const job = await fleet(model, [95], owner);
    expect(await metricOf(job)).toMatchObject({ source: "own_fleet", sample_size: 40 });
    const run = () => rateSettledJob(db, Number(job.id), Date.now(), rating);
    expect(await cost(run)).toEqual({ trips: 3, read: 28, written: 8 });
  });
});
