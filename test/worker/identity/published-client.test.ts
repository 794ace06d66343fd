/**
 * People, tokens and keys as the published command-line client (0.6.12) parses them with `--strict`: its public source has
 * the types. It sends a session's token, since these commands ask for one.
 */
import { describe, test } from "vitest";
import { call, type Reply } from "../harness/client.ts";
import { createPerson } from "../harness/factories.ts";
import { colleague } from "./team.ts";

const HOST = "https://assay.test/";
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

type Check = (value: unknown) => boolean;
const text: Check = (value) => typeof value === "string" && value !== "";
const uuid: Check = (value) => UUID.test(String(value));
const flag: Check = (value) => typeof value === "boolean";
const time: Check = (value) => typeof value === "string" && !Number.isNaN(Date.parse(value));
const maybe =
  (check: Check): Check =>
  (value) =>
    value === undefined || value === null || check(value);
/** Three parts of base64url without padding and without stray bits, as its type of a token decodes them. */
const jwt: Check = (value) => {
  const parts = String(value).split(".");
  return (
    parts.length === 3 &&
    parts.every((part) => {
      const bytes = Buffer.from(part, "base64url");
      return part !== "" && bytes.toString("base64url") === part;
    })
  );
};
const key: Check = (value) => /^bencher_user_[A-Za-z0-9]{30}$/.test(String(value));

const USER = {
  ...{ uuid, name: text, slug: text, email: text, admin: flag, locked: flag },
  created: maybe(time),
};
const TOKEN = {
  ...{ uuid, user: uuid, name: text, token: jwt, creation: time, expiration: time },
  revoked: maybe(time),
};
const USER_KEY = {
  ...{ uuid, user: uuid, name: text, creation: time, expiration: time },
  revoked: maybe(time),
};
const CREATED_KEY = { uuid, user: uuid, name: text, key, creation: time, expiration: time };

/** Fields that its type refuses; the client ends with an error at the first. */
function faultsOf(type: Record<string, Check>, value: Record<string, unknown>): string[] {
  return Object.entries(type).flatMap(([field, check]) => (check(value[field]) ? [] : [field]));
}

type Parsed = Reply<Record<string, unknown>>;

describe.for([
  ["token", "tokens", TOKEN, TOKEN],
  ["user key", "keys", CREATED_KEY, USER_KEY],
] as const)("bencher %s", ([, path, created, shown]) => {
  test("create, list, view, update, revoke", async ({ expect }) => {
    const { token, uuid: owner } = await colleague();
    const base = `${HOST}/v0/users/${owner}/${path}`;
    const send = (method: string, at: string, body?: unknown): Promise<Parsed> =>
      call(method, `${base}${at}`, { token, body });
    const made = await send("POST", "", { name: "ci" });
    expect([made.status, faultsOf(created, made.body)], made.text).toEqual([201, []]);
    const at = `/${made.body.uuid}`;
    expect(faultsOf(shown, (await send("GET", at)).body)).toEqual([]);
    const renamed = await send("PATCH", at, { name: "nightly" });
    expect([renamed.status, faultsOf(shown, renamed.body)]).toEqual([200, []]);
    const listed = await call("GET", `${base}?page=1&per_page=255&sort=name`, { token });
    expect(listed.body.map((each: Record<string, unknown>) => faultsOf(shown, each))).toEqual([[]]);
    expect([(await send("DELETE", at)).status, (await send("DELETE", at)).status]).toEqual([
      204, 404,
    ]);
    const revoked = await call("GET", `${base}?revoked=true`, { token });
    expect(revoked.body.map((each: Record<string, unknown>) => faultsOf(shown, each))).toEqual([
      [],
    ]);
    expect(time(revoked.body[0].revoked)).toBe(true);
  });
});

test("bencher user list, view, update", async ({ expect }) => {
  const admin = await createPerson({ role: "root_admin" });
  const { uuid: other } = await colleague();
  const send = (method: string, path: string, body?: unknown) =>
    call(method, `${HOST}/v0/users${path}`, { token: admin.token, body });
  const people = (await send("GET", "?per_page=255&direction=desc")).body;
  expect(people.flatMap((each: Record<string, unknown>) => faultsOf(USER, each))).toEqual([]);
  expect(faultsOf(USER, (await send("GET", `/${other}`)).body)).toEqual([]);
  const body = { name: "Eve", slug: "eve-by-the-client", email: "eve@example.org", admin: true };
  const updated = await send("PATCH", `/${other}`, { ...body, locked: false });
  expect(updated.body).toMatchObject({ ...body, locked: false });
  expect(faultsOf(USER, updated.body)).toEqual([]);
});
