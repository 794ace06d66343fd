/** Random jobs, verdicts and deletions: each scope's machines are those that its tasks say, whatever came in which order. */
import { test } from "vitest";
import { machineCounts, machines } from "../../../src/db/schema/machines.ts";
import { tasks } from "../../../src/db/schema.ts";
import { patient } from "../../patience.ts";
import { createRandom } from "../../world/random.ts";
import { call } from "../harness/client.ts";
import { createCustomer, createPerson, type Person } from "../harness/factories.ts";
import { db, insertJobRow, removeJob, setJob, setTask, taskValues } from "../harness/rows.ts";
import { nodeVerdict } from "../harness/verdicts.ts";

interface Known {
  id: number;
  owner: Person;
  machine: string;
  createdAt: number;
  hostName: string | null;
  status: "expected" | "underperforming" | null;
  findings: number | null;
  replayed: boolean;
  deleted: boolean;
}

const START = Date.UTC(2025, 5, 1);

test("machines, totals and pages follow every change", { timeout: patient(120_000) }, async ({
  expect,
}) => {
  const random = createRandom(23);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
  const customerId = await createCustomer();
  const owners = [
    await createPerson({ customerId }),
    await createPerson({ customerId }),
    await createPerson(),
  ];
  const viewers: [Person, (owner: Person) => boolean][] = [
    ...owners.map((one): [Person, (owner: Person) => boolean] => [one, (owner) => owner === one]),
    [
      await createPerson({ customerId, role: "customer_admin" }),
      (owner) => owner.customerId === customerId,
    ],
    [await createPerson({ role: "staff" }), () => true],
  ];
  const uuids = Array.from({ length: 5 }, () => crypto.randomUUID());
  let all: Known[] = [];
  const steps: (() => Promise<unknown>)[] = [
    async () => {
      const owner = pick(owners);
      const id = 512 * (10_000 + Math.floor(random() * 1e6));
      if (all.some((each) => each.id === id)) return;
      const machine = pick(uuids);
      // Joins are told late and out of order.
      const createdAt = START + Math.floor(random() * 1e9);
      const hostName = pick([null, "alpha", "beta"]);
      await insertJobRow(owner, { id });
      const of = { customerId: owner.customerId, userId: owner.id };
      const row = { id: id + 1, jobId: id, rank: 0, machineUuid: machine, createdAt, hostName };
      await db.insert(tasks).values(taskValues({ ...row, ...of }));
      const none = { status: null, findings: null, replayed: false, deleted: false };
      all.push({ id, owner, machine, createdAt, hostName, ...none });
    },
    async () => {
      const task = all.length > 0 ? pick(all) : undefined;
      if (task === undefined || task.deleted) return;
      task.status = pick(["expected", "underperforming"]);
      task.findings = pick([null, 1, 3]);
      task.replayed = pick([true, false]);
      await setTask(task.id + 1, {
        performanceStatus: task.status,
        findingCount: task.findings,
        verdict: nodeVerdict({ isReplayed: task.replayed }),
      });
    },
    async () => {
      const task = all.length > 0 ? pick(all) : undefined;
      if (task === undefined) return;
      task.deleted = !task.deleted;
      await setJob(task, { deletedAt: task.deleted ? 1 : null });
    },
    async () => {
      const task = random() < 0.3 && all.length > 0 ? pick(all) : undefined;
      if (task === undefined) return;
      await removeJob({ id: String(task.id) });
      all = all.filter((each) => each !== task);
    },
  ];

  /** What a person should see, newest first. */
  const expected = (sees: (owner: Person) => boolean) =>
    uuids
      .flatMap((machine) => {
        const own = all
          .filter((each) => each.machine === machine && !each.deleted && sees(each.owner))
          .sort((a, b) => b.createdAt - a.createdAt)
          .slice();
        const last = own.slice(0, 10);
        const [newest] = own;
        if (newest === undefined) return [];
        const rated = last.find(({ status }) => status !== null);
        const shown = {
          machine_uuid: machine,
          host_name: last.find(({ hostName }) => hostName !== null)?.hostName ?? null,
          jobs: own.length,
          last_job_id: String(newest.id),
          status: rated?.status ?? null,
          replayed: rated?.replayed ?? null,
          findings: rated === undefined ? null : (rated.findings ?? 0),
        };
        return [{ at: newest.createdAt, shown }];
      })
      .sort((a, b) => b.at - a.at)
      .map(({ shown }) => shown);

  for (let round = 0; round < 25; round++) {
    for (let step = 0; step < 6; step++) await (random() < 0.5 ? steps[0] : pick(steps))?.();
    const [person, sees] = pick(viewers);
    const model = expected(sees);
    const filters: [string, (each: (typeof model)[number]) => boolean][] = [
      ["", () => true],
      ["status=expected", ({ status }) => status === "expected"],
      ["has_findings=true", ({ findings }) => (findings ?? 0) > 0],
      ["name=ALPH", ({ host_name }) => host_name === "alpha"],
      [
        "name=bet&status=underperforming",
        (each) => each.host_name === "beta" && each.status === "underperforming",
      ],
    ];
    for (const [query, matches] of filters) {
      const { body } = await call("GET", `/machines?${query}`, person);
      const wanted = model.filter(matches);
      expect(body.results, `round ${round} ?${query}`).toMatchObject(wanted);
      expect(body.pagination.total, `round ${round} ?${query}`).toBe(wanted.length);
    }
  }
  // Once all jobs are gone nothing is left.
  for (const { id } of all) await removeJob({ id: String(id) });
  expect(await db.$count(machines)).toBe(0);
  expect(await db.$count(machineCounts)).toBe(0);
});
