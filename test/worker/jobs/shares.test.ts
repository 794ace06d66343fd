/** Links that show a job without an account: who makes them, what they show, and when they stop working. */

import { eq } from "drizzle-orm";
import { describe, onTestFinished, test, vi } from "vitest";
import { jobShares } from "../../../src/db/schema/shares.ts";
import {
  createShareRoute,
  getSharedJobRoute,
  getSharedResultsRoute,
  listSharesRoute,
} from "../../../src/jobs/shares/contract.ts";
import { redactAddresses, redactJson } from "../../../src/jobs/shares/redact.ts";
import { DAY_MS, systemClock } from "../../../src/lib/clock.ts";
import {
  call,
  expectContract,
  expectError,
  join,
  putResult,
  resultBody,
} from "../harness/client.ts";
import {
  createCustomer,
  createJob,
  createPerson,
  type Person,
  type TestJob,
} from "../harness/factories.ts";
import { costOf, flushed, rated } from "../harness/instruments.ts";
import { auditOf, db } from "../harness/rows.ts";

const DAY_SECONDS = 86_400;
const TOKEN = /^assay_share_[A-Za-z0-9]{30}$/;

const make = (
  { id }: { id: string },
  person: Person,
  body?: object,
  headers: Record<string, string> = {},
) => call("POST", `/jobs/${id}/shares`, { token: person.token, body, headers });
const list = ({ id }: { id: string }, person: Person) =>
  call("GET", `/jobs/${id}/shares`, { token: person.token });
const revoke = ({ id }: { id: string }, uuid: string, person: Person) =>
  call("DELETE", `/jobs/${id}/shares/${uuid}`, { token: person.token });
const shown = (token: string, headers: Record<string, string> = {}) =>
  call("GET", `/shared/${token}`, { headers });
const results = (token: string, query = "", headers: Record<string, string> = {}) =>
  call("GET", `/shared/${token}/results${query}`, { headers });
const tokenOf = (url: string) => url.split("#")[1] ?? "";

async function shared(job: TestJob): Promise<string> {
  return tokenOf((await make(job, job.owner)).body.url);
}

function at(ms: number) {
  const clock = vi.spyOn(systemClock, "now").mockReturnValue(ms);
  onTestFinished(() => void clock.mockRestore());
}

describe("making a link", () => {
  test("for 7 days unless it says otherwise; the page's address has the token behind #", async ({
    expect,
  }) => {
    const job = await createJob();
    const reply = await make(job, job.owner);
    expectContract(expect, reply, createShareRoute, 201);
    const { url, created_at, expires_at, created_by, job_id } = reply.body;
    expect(new URL(url).pathname).toBe("/console/shared");
    expect(tokenOf(url)).toMatch(TOKEN);
    expect(Date.parse(expires_at) - Date.parse(created_at)).toBe(7 * DAY_MS);
    expect({ created_by, job_id }).toEqual({ created_by: job.owner.uuid, job_id: job.id });
    expect(reply.headers.get("cache-control")).toBe("no-store");
    const again = await make(job, job.owner, { ttl: null });
    expect(again.body.url).not.toBe(url);
  });

  test.for([
    [60, 201],
    [90 * DAY_SECONDS, 201],
    [59, 400],
    [90 * DAY_SECONDS + 1, 400],
    ["60", 400],
    [60.5, 400],
  ] as const)("a ttl of %s is %i", async ([ttl, status], { expect }) => {
    const job = await createJob();
    const reply = await make(job, job.owner, { ttl });
    expect(reply.status).toBe(status);
    if (status === 400) return;
    const { created_at, expires_at } = reply.body;
    expect(Date.parse(expires_at) - Date.parse(created_at)).toBe(Number(ttl) * 1_000);
  });

  test("the token is stored as its hash alone", async ({ expect }) => {
    const job = await createJob();
    const token = await shared(job);
    const rows = await db
      .select()
      .from(jobShares)
      .where(eq(jobShares.jobId, Number(job.id)));
    expect(rows).toHaveLength(1);
    expect(JSON.stringify(rows)).not.toContain(token.slice(-20));
    const { body } = await list(job, job.owner);
    expect(JSON.stringify(body)).not.toContain("assay_share_");
  });

  test("a repeat by its key is the same link, and cannot show it again", async ({ expect }) => {
    const job = await createJob();
    const key = { "idempotency-key": crypto.randomUUID() };
    const first = await make(job, job.owner, {}, key);
    const repeat = await make(job, job.owner, { ttl: null }, key);
    expectContract(expect, repeat, createShareRoute, 201);
    expect(repeat.body).toEqual({ ...first.body, url: null });
    expect(repeat.headers.get("idempotency-replayed")).toBe("true");
    expect((await list(job, job.owner)).body.shares).toHaveLength(1);
    const other = await make(job, job.owner, { ttl: 60 }, key);
    expectError(expect, other, 422, "IDEMPOTENCY_KEY_REUSED");
    const another = await createJob({}, job.owner);
    expectError(expect, await make(another, job.owner, {}, key), 422, "IDEMPOTENCY_KEY_REUSED");
  });

  test("a misspelt ttl is refused: the link would last 7 days", async ({ expect }) => {
    const job = await createJob();
    for (const sent of ["tll", "TTL", "ttls", "expires_in", "expiration"]) {
      const message = `unknown field '${sent}'; did you mean 'ttl'?`;
      const reply = await make(job, job.owner, { [sent]: 60 });
      expectError(expect, reply, 400, "PARAMETER_INCORRECT_VALUE", message);
    }
    expect((await make(job, job.owner, { title: "x", note: "y" })).status).toBe(201);
    expect((await list(job, job.owner)).body.shares).toHaveLength(1);
  });

  test("20 links at the most, also at once; a revoked one makes room", async ({ expect }) => {
    const job = await createJob();
    const replies = await Promise.all(Array.from({ length: 25 }, () => make(job, job.owner)));
    expect(replies.filter(({ status }) => status === 201)).toHaveLength(20);
    const refused = replies.find(({ status }) => status !== 201);
    if (refused !== undefined) expectError(expect, refused, 403, "PERMISSION_DENIED");
    expect(refused?.body.message).toBe("The job has 20 links already: revoke one first");
    const [first] = (await list(job, job.owner)).body.shares;
    expect((await revoke(job, first.uuid, job.owner)).status).toBe(204);
    expect((await make(job, job.owner)).status).toBe(201);
  });

  test("people of the job's customer alone, and only those who see the job", async ({ expect }) => {
    const customerId = await createCustomer();
    const owner = await createPerson({ customerId });
    const colleague = await createPerson({ customerId });
    const admin = await createPerson({ customerId, role: "customer_admin" });
    const staff = await createPerson({ role: "staff" });
    const stranger = await createPerson();
    const job = await createJob({}, owner);
    const mine = (await make(job, owner)).body.uuid;
    expect((await make(job, admin)).status).toBe(201);
    expectError(expect, await make(job, colleague), 404, "RESOURCE_NOT_FOUND");
    expectError(expect, await make(job, stranger), 404, "RESOURCE_NOT_FOUND");
    expectError(expect, await make(job, staff), 403, "PERMISSION_DENIED");
    expect((await list(job, staff)).body.shares).toHaveLength(2);
    expectError(expect, await list(job, colleague), 404, "RESOURCE_NOT_FOUND");
    expectError(expect, await revoke(job, mine, staff), 403, "PERMISSION_DENIED");
    expectError(expect, await revoke(job, mine, colleague), 404, "RESOURCE_NOT_FOUND");
    const foreign = await createJob({}, stranger);
    expectError(expect, await revoke(foreign, mine, stranger), 404, "RESOURCE_NOT_FOUND");
    expect((await revoke(job, mine, admin)).status).toBe(204);
    expectError(expect, await revoke(job, mine, admin), 404, "RESOURCE_NOT_FOUND");
  });

  test("the audit log has its making and its end", async ({ expect }) => {
    const job = await createJob();
    const { uuid, expires_at, url } = (await make(job, job.owner)).body;
    await revoke(job, uuid, job.owner);
    const entries = (await auditOf(uuid)).map((row) => ({
      ...row,
      details: JSON.parse(String(row.details)),
    }));
    expect(entries).toMatchObject([
      {
        action: "job_share_created",
        actor: job.owner.uuid,
        details: { job: job.id, expires: expires_at },
      },
      { action: "job_share_revoked", actor: job.owner.uuid, details: { job: job.id } },
    ]);
    expect(JSON.stringify(entries)).not.toContain(tokenOf(url));
  });
});

describe("what a link shows", () => {
  const SECRET = ["10.1.2.3", "192.0.2.77", "fe80::1", "node-7.example.com", "PO-SECRET"];

  test("the detail without tokens, addresses, order and report, live and ended", async ({
    expect,
  }) => {
    const job = await createJob({ provider: "Example", region: "eu-1", order: "PO-SECRET" });
    const token = await shared(job);
    const machine = { machine_ip: "10.1.2.3", gpu_model: "NVIDIA H200", gpu_count: 1 };
    const taskId = (await join(job, machine)).body.id;
    const message = "waits for 192.0.2.77:4000";
    await call("PATCH", `/jobs/current/tasks/${taskId}`, { token: job.token, body: { message } });
    const check = async () => {
      const reply = await shown(token);
      expectContract(expect, reply, getSharedJobRoute, 200);
      for (const secret of [...SECRET, job.token, job.owner.uuid]) {
        expect(reply.text).not.toContain(secret);
      }
      for (const field of ['"token"', '"order"', '"machine_ip"', "pdf_report_url"]) {
        expect(reply.text).not.toContain(field);
      }
      return reply.body;
    };
    const live = await check();
    expect(live).toMatchObject({
      id: job.id,
      state: "running",
      provider: "Example",
      region: "eu-1",
      tasks: [{ rank: 0, message: "waits for [address]", gpu_model: "NVIDIA H200" }],
    });
    const figures = {
      aggregate_results: { bf16_tflops: 700, memory_bandwidth_gbs: 4_000 },
      note: "peer fe80::1 at node-7.example.com:4000 and 192.0.2.77",
      log: "refused\n10.1.2.3:4000: timed out\t192.0.2.77",
    };
    await putResult(job, taskId, 0, resultBody(figures));
    await rated(job);
    const ended = await check();
    expect(ended).toMatchObject({ state: "completed", shared_until: expect.any(String) });
    expect(ended.tasks[0].benchmark_results.quick_mark.results).toMatchObject({
      aggregate_results: { bf16_tflops: 700 },
      note: "peer [address] at [address] and [address]",
      log: "refused\n[address]: timed out\t[address]",
    });
    const own = await call("GET", `/jobs/${job.id}`, { token: job.owner.token });
    expect(ended.scoreboard_summary).toEqual(own.body.scoreboard_summary);
    expect(ended.events.length).toBe(own.body.events.length);
  });

  test("a failure's text without addresses", async ({ expect }) => {
    const job = await createJob();
    const token = await shared(job);
    const taskId = (await join(job)).body.id;
    const failed = { state: "failed", failed_message: "no answer from [2001:db8::7]:443" };
    await call("PATCH", `/jobs/current/tasks/${taskId}`, { token: job.token, body: failed });
    await flushed(job);
    const { body, text } = await shown(token);
    expect(body.tasks[0].failed_message).toBe("no answer from [address]");
    expect(text).not.toContain("2001:db8");
  });

  test("what its owner wrote without addresses, each text as long as its field allows", async ({
    expect,
  }) => {
    const many = "::1 ".repeat(15).trim();
    const job = await createJob({
      name: many,
      description: "rack 3, gateway 192.0.2.1\nthen 2001:db8::7",
      tags: ["rack-3", "gw:192.0.2.1"],
      provider: "Example at 192.0.2.1",
      region: "fe80::1",
    });
    const token = await shared(job);
    const taskId = (await join(job)).body.id;
    const message = "::1 ".repeat(50).trim();
    await call("PATCH", `/jobs/current/tasks/${taskId}`, { token: job.token, body: { message } });
    const reply = await shown(token);
    expectContract(expect, reply, getSharedJobRoute, 200);
    expect(reply.body).toMatchObject({
      name: "[address] ".repeat(6).trim(),
      description: "rack 3, gateway [address]\nthen [address]",
      tags: ["rack-3"],
      provider: "Example at [address]",
      region: "[address]",
      tasks: [{ message: "[address] ".repeat(20).trim() }],
    });
  });

  test("an unchanged job is 304; nothing of it may be stored", async ({ expect }) => {
    const job = await createJob();
    const token = await shared(job);
    const first = await shown(token);
    expect(first.headers.get("cache-control")).toBe("no-store");
    const etag = first.headers.get("etag") ?? "";
    expect((await shown(token, { "if-none-match": etag })).status).toBe(304);
    await join(job);
    expect((await shown(token, { "if-none-match": etag })).status).toBe(200);
  });

  test("strangers are limited by their address", async ({ expect }) => {
    const reply = await shown(`assay_share_${"0".repeat(30)}`);
    expect(reply.headers.get("ratelimit-policy")).toMatch(/^"address";/);
  });

  test("two round trips, and a hop while the job lives", async ({ expect }) => {
    const job = await createJob();
    const token = await shared(job);
    expect(await costOf(() => shown(token))).toMatchObject({ d1_round_trips: 2, object_hops: 0 });
    await join(job);
    expect(await costOf(() => shown(token))).toMatchObject({ d1_round_trips: 2, object_hops: 1 });
    const one = { d1_round_trips: 1, object_hops: 0 };
    expect(await costOf(() => make(job, job.owner))).toMatchObject({ status: 201, ...one });
    expect(await costOf(() => list(job, job.owner))).toMatchObject({ status: 200, ...one });
    const { uuid } = (await make(job, job.owner)).body;
    expect(await costOf(() => revoke(job, uuid, job.owner))).toMatchObject({ status: 204, ...one });
  });
});

describe("the links between the nodes", () => {
  const link = (source: number, extra: object) => ({
    source_rank: source,
    target_rank: 1 - source,
    ...extra,
  });

  /** A job of two nodes, one of whose links has failed. */
  async function clusterJob() {
    const job = await createJob({ node_count: 2, benchmarks: ["cluster_network"] });
    const ids = [(await join(job)).body.id, (await join(job)).body.id];
    for (const id of ids) await putResult(job, id, 0);
    const good = { bandwidth_gbps: 92, latency_ms: 0.1, peer: "10.1.2.3:7117" };
    const bad = { bandwidth_gbps: "10.1.2.3", latency_ms: 0.1 };
    const failed = { error: "dial tcp 192.0.2.77:7117: refused" };
    return { job, ids, sent: [link(0, good), link(1, failed)], implausible: link(1, bad) };
  }

  test("are those of the job's results, without addresses, live and stored", async ({ expect }) => {
    const { job, ids, sent } = await clusterJob();
    const token = await shared(job);
    expect((await results(token)).body.cluster_network.results).toBeNull();
    await putResult(job, ids[0] ?? "", 1, resultBody({ measurements: [sent[0]] }));
    const live = await results(token);
    expectContract(expect, live, getSharedResultsRoute, 200);
    expect(live.text).not.toContain("10.1.2.3");
    await putResult(job, ids[1] ?? "", 1, resultBody({ measurements: [sent[1]] }));
    for (const wait of [() => flushed(job), () => rated(job)]) {
      await wait();
      const reply = await results(token);
      expectContract(expect, reply, getSharedResultsRoute, 200);
      expect(reply.text).not.toMatch(/10\.1\.2\.3|192\.0\.2\.77/);
      const own = await call("GET", `/jobs/${job.id}/results`, { token: job.owner.token });
      const text = own.text
        .replace("10.1.2.3:7117", "[address]")
        .replace("192.0.2.77:7117", "[address]");
      expect(reply.body).toEqual(JSON.parse(text));
      expect(reply.body.cluster_network.results.measurements).toHaveLength(2);
    }
    const named = await results(token, "?include_display_names=true");
    expectContract(expect, named, getSharedResultsRoute, 200);
    expect(named.body.cluster_network.display_names).toHaveProperty("avg_bandwidth_gbps");
    const job0 = await shown(token);
    expect(job0.body.benchmark_results.cluster_network.results.total_links_tested).toBe(2);
  });

  test("an implausible figure is quoted without its address, here and in the job", async ({
    expect,
  }) => {
    const { job, ids, sent, implausible } = await clusterJob();
    const token = await shared(job);
    await putResult(job, ids[0] ?? "", 1, resultBody({ measurements: [sent[0]] }));
    await putResult(job, ids[1] ?? "", 1, resultBody({ measurements: [implausible] }));
    await flushed(job);
    const reply = await results(token);
    const [fault] = reply.body.cluster_network.implausible;
    expect(fault.reason).toContain('"[address]" cannot be true');
    expect(reply.text).not.toContain("10.1.2.3");
    expect((await shown(token)).text).not.toContain("10.1.2.3");
  });

  test("unchanged ones are 304; nothing of them may be stored", async ({ expect }) => {
    const { job, ids, sent } = await clusterJob();
    const token = await shared(job);
    const first = await results(token);
    expect(first.headers.get("cache-control")).toBe("no-store");
    const known = { "if-none-match": first.headers.get("etag") ?? "" };
    expect((await results(token, "", known)).status).toBe(304);
    for (const [rank, id] of ids.entries()) {
      await putResult(job, id, 1, resultBody({ measurements: [sent[rank]] }));
    }
    expect((await results(token, "", known)).status).toBe(200);
  });

  test("two round trips, and a hop while the job lives; one read of R2 then", async ({
    expect,
  }) => {
    const { job, ids, sent } = await clusterJob();
    const token = await shared(job);
    const two = { status: 200, d1_round_trips: 2 };
    expect(await costOf(() => results(token))).toMatchObject({
      ...two,
      object_hops: 1,
      r2_calls: 0,
    });
    for (const [rank, id] of ids.entries()) {
      await putResult(job, id, 1, resultBody({ measurements: [sent[rank]] }));
    }
    await rated(job);
    expect(await costOf(() => results(token))).toMatchObject({
      ...two,
      object_hops: 0,
      r2_calls: 1,
    });
  });

  test("end with the link, and with the job", async ({ expect }) => {
    const { job } = await clusterJob();
    const now = Date.now();
    at(now);
    const revoked = (await make(job, job.owner)).body;
    const expired = (await make(job, job.owner, { ttl: 60 })).body;
    const last = (await make(job, job.owner)).body;
    await revoke(job, revoked.uuid, job.owner);
    expectError(expect, await results(tokenOf(revoked.url)), 404, "RESOURCE_NOT_FOUND");
    at(now + 59_999);
    expect((await results(tokenOf(expired.url))).status).toBe(200);
    at(now + 60_000);
    expectError(expect, await results(tokenOf(expired.url)), 404, "RESOURCE_NOT_FOUND");
    expect((await results(tokenOf(last.url))).status).toBe(200);
    await call("POST", `/jobs/${job.id}/abort`, { token: job.owner.token });
    await call("DELETE", `/jobs/${job.id}`, { token: job.owner.token });
    expectError(expect, await results(tokenOf(last.url)), 404, "RESOURCE_NOT_FOUND");
    expectError(expect, await results("x"), 400, "PARAMETER_INCORRECT_VALUE");
  });

  test("strangers are limited by their address", async ({ expect }) => {
    const reply = await results(`assay_share_${"0".repeat(30)}`);
    expect(reply.headers.get("ratelimit-policy")).toMatch(/^"address";/);
  });
});

describe("when a link stops working", () => {
  test("at its end, to the millisecond; then it is not listed, and makes room", async ({
    expect,
  }) => {
    const now = Date.now();
    at(now);
    const job = await createJob();
    const { url, uuid } = (await make(job, job.owner, { ttl: 60 })).body;
    at(now + 59_999);
    expect((await shown(tokenOf(url))).status).toBe(200);
    const reply = await list(job, job.owner);
    expectContract(expect, reply, listSharesRoute, 200);
    expect(reply.body.shares).toMatchObject([{ uuid }]);
    at(now + 60_000);
    expectError(expect, await shown(tokenOf(url)), 404, "RESOURCE_NOT_FOUND");
    expect((await list(job, job.owner)).body.shares).toEqual([]);
    expectError(expect, await revoke(job, uuid, job.owner), 404, "RESOURCE_NOT_FOUND");
    await make(job, job.owner);
    const rows = await db
      .select()
      .from(jobShares)
      .where(eq(jobShares.jobId, Number(job.id)));
    expect(rows, "the expired one is gone").toHaveLength(1);
  });

  test("when it is revoked, at once; others still work", async ({ expect }) => {
    const job = await createJob();
    const [one, other] = [await make(job, job.owner), await make(job, job.owner)];
    const reply = await revoke(job, one.body.uuid.toUpperCase(), job.owner);
    expect(reply.status).toBe(204);
    expectError(expect, await shown(tokenOf(one.body.url)), 404, "RESOURCE_NOT_FOUND");
    expect((await shown(tokenOf(other.body.url))).status).toBe(200);
  });

  test("with its job, for ever", async ({ expect }) => {
    const job = await createJob();
    const token = await shared(job);
    await call("DELETE", `/jobs/${job.id}`, { token: job.owner.token });
    const reply = await shown(token);
    expectError(expect, reply, 404, "RESOURCE_NOT_FOUND");
    expect(reply.text).not.toContain(token);
    expect(
      await db
        .select()
        .from(jobShares)
        .where(eq(jobShares.jobId, Number(job.id))),
    ).toEqual([]);
    expectError(expect, await make(job, job.owner), 404, "RESOURCE_NOT_FOUND");
  });

  test("what is no token of a link is 400, and unknown ones are 404", async ({ expect }) => {
    for (const token of ["x", "assay_share_", `assay_share_${"0".repeat(31)}`, "%00"]) {
      expectError(expect, await shown(token), 400, "PARAMETER_INCORRECT_VALUE");
    }
    const unknown = await shown(`assay_share_${"0".repeat(30)}`);
    expectError(expect, unknown, 404, "RESOURCE_NOT_FOUND");
    expect(unknown.body.message).toBe("No shared job has this token");
  });
});

describe("addresses", () => {
  test.for([
    ["connect to 10.0.0.1:5000", "connect to [address]"],
    ["10.0.0.0/8 and 10.0.0.1, 10.0.0.2.", "[address] and [address], [address]."],
    ["at 2001:db8:0:1:2:3:4:5", "at [address]"],
    ["at ::1, fe80::1%eth0, ::ffff:10.0.0.1", "at [address], [address], [address]"],
    ["[2001:db8::1]:443", "[address]"],
    ["card 0a:1b:2c:3d:4e:5f", "card [address]"],
    ["gpu-7.rack.internal:4000 refused", "[address] refused"],
    ["node3.example.com:4000", "[address]"],
    ["dial tcp 10.0.0.1:5000: connection refused", "dial tcp [address]: connection refused"],
    ["ssh: 10.0.0.1: no route", "ssh: [address]: no route"],
    ["NET/Socket : Using [0]eth0:10.0.0.5<0>", "NET/Socket : Using [0]eth0:[address]<0>"],
    ["[0]eth0:fe80::1%eth0.100<0>", "[0]eth0:[address]<0>"],
    ["fe80::1: refused", "[address]: refused"],
    ["connecting...10.0.0.1", "connecting...[address]"],
    ["\u001b[31m10.0.0.1\u001b[0m", "\u001b[31m[address]\u001b[0m"],
    ["peer-10.0.0.1 peer_10.0.0.2_a x10.0.0.3y", "peer-[address] peer_[address]_a x[address]y"],
    ["10.0.0.1:/export 10.0.0.1:123456", "[address]:/export [address]:123456"],
    ["lookup gpu-7.rack.internal:4000: no such host", "lookup [address]: no such host"],
    ["tcp:gpu-7.rack.internal:4000", "tcp:[address]"],
    ["10.0.0.1.example.com:4000", "[address]"],
    [`hca ${Array(20).fill("8a").join(":")}`, "hca [address]"],
  ] as const)("%s", ([text, redacted], { expect }) => {
    expect(redactAddresses(text)).toBe(redacted);
  });

  test.for([
    "CUDA 12.8, driver 570.124.06",
    "1.2.3.4.5",
    "256.1.1.1",
    "2024-03-15T10:30:00.000Z",
    "0000:3b:00.0",
    "c10::Error in at::native",
    "4 of 4 nodes: 1.5:2",
    "1.256.1.1.1, 1.2.3.4.5.6",
    "libcublas.so.12.8.4.1",
    "std::de::ad at agent.ts:12:5",
    "550e8400-e29b-41d4-a716-446655440000",
    'no such file: "a.b"',
    "exit code 14; 3:2",
  ])("%s stays", (text, { expect }) => {
    expect(redactAddresses(text)).toBe(text);
  });

  test.for([
    ['{"library":"cuBLASLt 12.8.4.1","driver" : "570.1.2.3"}', undefined],
    [String.raw`{"a":"caf\u00e9 \ud800","n":10.001e1}`, undefined],
    [
      String.raw`{"a":"x\n10.0.0.1\t\"10.0.0.2\""}`,
      String.raw`{"a":"x\n[address]\t\"[address]\""}`,
    ],
    [
      String.raw`["\u003110.0.0.1","\u002710\u002e0.0.1\\"]`,
      String.raw`["[address]","'[address]\\"]`,
    ],
    ['{"10.0.0.1":{"driver":["10.0.0.2"]}}', '{"[address]":{"driver":["[address]"]}}'],
    [
      '{"10.0.0.1":"10.0.0.2","10.0.0.2" :3,"b":{"10.0.0.2":1,"to 10.0.0.1":2}}',
      '{"[address]":"[address]","[address] 2" :3,"b":{"[address] 2":1,"to [address]":2}}',
    ],
  ] as const)("JSON: %s", ([json, redacted = json], { expect }) => {
    expect(redactJson(json)).toBe(redacted);
  });

  test("a long hostile text takes no longer than its length", ({ expect }) => {
    const texts = [
      "a".repeat(1e6),
      "1.".repeat(5e5),
      ":".repeat(1e6),
      "a:".repeat(5e5),
      "a.".repeat(5e5),
      "1:".repeat(5e5),
      "g:1:".repeat(2e5),
      "a.a:".repeat(2e5),
      "8a:".repeat(3e5),
      '\\"'.repeat(3e5),
      "[".repeat(1e6),
      '"library":'.repeat(1e5),
    ];
    for (const text of texts) {
      expect(redactAddresses(text).length).toBeGreaterThan(0);
      expect(redactJson(JSON.stringify([text])).length).toBeGreaterThan(0);
    }
    const keys = Array.from({ length: 50_000 }, (_, n) => [`10.0.${n >> 8}.${n & 255}`, n]);
    const redacted = JSON.parse(redactJson(JSON.stringify(Object.fromEntries(keys))));
    expect(Object.keys(redacted).length).toBe(50_000);
  });
});
