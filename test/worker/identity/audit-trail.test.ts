/** The audit log: what is in it, who reads what, and that nobody changes it. */
import { env } from "cloudflare:workers";
import { eq } from "drizzle-orm";
import { describe, test } from "vitest";
import { auditEvents } from "../../../src/db/schema.ts";
import { listAuditEventsRoute } from "../../../src/identity/audit-trail/contract.ts";
import { call, expectContract, expectError, V0 } from "../harness/client.ts";
import { createCustomer, createPerson, createSpec, type Person } from "../harness/factories.ts";
import { costOf, rowsReadBy } from "../harness/instruments.ts";
import { auditOf, countOf, customerUuid, insertRows, times } from "../harness/rows.ts";

const root = await createPerson({ role: "root_admin" });
const customerId = await createCustomer();
const admin = await createPerson({ role: "customer_admin", customerId });
const read = (who: Person, query = "") => call("GET", `${V0}/audit${query}`, { token: who.token });
const idsOf = (body: { id: string }[]) => body.map(({ id }) => Number(id));

/** So many changes of people of the customer. */
async function act(times: number, who = admin): Promise<string> {
  const { uuid } = await createPerson({ customerId: who.customerId });
  for (let n = 0; n < times; n++) {
    const change = { token: who.token, body: { name: `Name ${n}` } };
    await call("PATCH", `${V0}/users/${uuid}`, change);
  }
  return uuid;
}

describe("GET /v0/audit", () => {
  test("what was done, by whom, to whom, in which request, from where", async ({ expect }) => {
    const { uuid } = await createPerson({ customerId });
    const changed = await call("PATCH", `${V0}/users/${uuid}`, {
      token: admin.token,
      body: { name: "Secret name" },
      headers: { "x-request-id": "my-request", "cf-connecting-ip": "2001:db8:1:2:3:4:5:6" },
    });
    expect(changed.status).toBe(200);
    const reply = await read(root, `?subject=${uuid}`);
    expectContract(expect, reply, listAuditEventsRoute, 200);
    expect(reply.body).toEqual([
      {
        id: expect.stringMatching(/^\d+$/),
        at: changed.body.modified,
        action: "user_updated",
        actor: { kind: "user", id: admin.uuid },
        subject: { kind: "user", id: uuid },
        customer: await customerUuid(customerId),
        request_id: "my-request",
        address: "2001:db8:1:2",
        details: { fields: ["name"] },
      },
    ]);
    expect(reply.headers.get("x-total-count")).toBe("1");
  });

  test("newest first, along the links and back; totals are right", async ({ expect }) => {
    await act(5);
    const seen: number[] = [];
    let link = `${V0}/audit?per_page=3`;
    let total = "";
    const linkOf = (header: string | null, relation: string) =>
      new RegExp(`<([^>]*)>; rel="${relation}"`).exec(header ?? "")?.[1] ?? "";
    let last = "";
    while (link !== "") {
      last = link;
      const reply = await call("GET", link, { token: root.token });
      seen.push(...idsOf(reply.body));
      total = reply.headers.get("x-total-count") ?? "";
      link = linkOf(reply.headers.get("link"), "next");
    }
    expect(seen).toEqual([...seen].sort((a, b) => b - a));
    const events = await countOf(auditEvents);
    expect(seen).toHaveLength(events);
    expect(total).toBe(String(events));
    const end = await call("GET", last, { token: root.token });
    const back = await call("GET", linkOf(end.headers.get("link"), "prev"), { token: root.token });
    const from = seen.length - end.body.length - 3;
    expect(idsOf(back.body)).toEqual(seen.slice(from, from + 3));
  });

  test("an administrator of a customer reads what concerns it alone", async ({ expect }) => {
    const other = await createPerson({ role: "customer_admin" });
    const theirs = await act(2, other);
    const own = await read(admin, "?per_page=255");
    const events = await countOf(auditEvents, eq(auditEvents.customerId, customerId));
    expect(own.headers.get("x-total-count")).toBe(String(events));
    expect(own.body).toHaveLength(events);
    expect(own.text).not.toContain(theirs);
    expect((await read(admin, `?subject=${theirs}`)).body).toEqual([]);
    expect((await read(other)).body).toHaveLength(2);
  });

  test("filters combine", async ({ expect }) => {
    const uuid = await act(3);
    for (const [query, count] of [
      [`?subject=${uuid}`, 3],
      [`?subject=${uuid}&action=user_updated&actor=${admin.uuid}`, 3],
      [`?subject=${uuid}&action=user_deleted`, 0],
      [`?subject=${uuid}&actor=${root.uuid}`, 0],
      [`?subject=${uuid}&per_page=1&page=3`, 3],
    ] as const) {
      const reply = await read(root, query);
      expect(reply.headers.get("x-total-count"), query).toBe(String(count));
    }
    for (const query of ["?action=anything", "?actor=a&actor=b", "?per_page=256", "?cursor=x"]) {
      expectError(expect, await read(root, query), 400, "PARAMETER_INCORRECT_VALUE");
    }
  });

  test("no token 401, user and staff 403", async ({ expect }) => {
    expectError(expect, await call("GET", `${V0}/audit`), 401, "CLIENT_TOKEN_INVALID");
    for (const role of ["user", "staff"] as const) {
      const reply = await read(await createPerson({ role, customerId }));
      expectError(expect, reply, 403, "PERMISSION_DENIED", "Only administrators can do this");
    }
  });

  test("one D1 round trip; a page of a long trail reads no more than a page", async ({
    expect,
  }) => {
    const signIns = times(20_000, (at) => ({
      at,
      action: "signed_in" as const,
      actorKind: "user" as const,
      customerId,
      requestId: "bulk",
    }));
    await insertRows(auditEvents, signIns);
    for (const who of [root, admin]) {
      await read(who);
      const { read: counts, reply: cost } = await rowsReadBy(() => costOf(() => read(who)));
      expect(cost).toMatchObject({ status: 200, d1_round_trips: 1, object_hops: 0 });
      const rows = counts.reduce((sum, count) => sum + count, 0);
      // Each entry with its customer.
      expect(rows).toBeGreaterThan(8);
      expect(rows).toBeLessThanOrEqual(2 * 8 + 10);
    }
  });
});

test("what is written is never changed or removed", async ({ expect }) => {
  await act(1);
  for (const statement of ["UPDATE audit_events SET actor = 'x'", "DELETE FROM audit_events"]) {
    await expect(env.DB.prepare(statement).run()).rejects.toThrow("audit events are never");
  }
});

test("acts on specs, and none that was refused", async ({ expect }) => {
  const { token } = root;
  const { uuid, slug } = await createSpec({}, root);
  const path = `${V0}/specs/${slug}`;
  await call("PATCH", path, { token, body: { archived: true } });
  await call("PATCH", path, { token, body: {}, headers: { "if-match": '"stale"' } });
  await call("DELETE", path, { token, headers: { "if-match": '"stale"' } });
  await call("DELETE", path, { token });
  const events = await auditOf(uuid);
  expect(events.map(({ action, details }) => [action, JSON.parse(details)])).toEqual([
    ["spec_created", {}],
    ["spec_updated", { fields: ["archived"], archived: true }],
    ["spec_deleted", {}],
  ]);
});
