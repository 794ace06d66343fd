/** What trying passwords costs: waits by network, a pace for all networks, and addresses that both leave alone. */
import { eq, like } from "drizzle-orm";
import { describe, onTestFinished, test, vi } from "vitest";
import { createApp } from "../../../src/app.ts";
import { createMeter, openDatabase } from "../../../src/db/client.ts";
import { auditEvents, knownAddresses, signInFailures, users } from "../../../src/db/schema.ts";
import { hashPassword } from "../../../src/identity/password-hash.ts";
import { beginAttempt } from "../../../src/identity/sign-in/attempts.ts";
import { DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, systemClock } from "../../../src/lib/clock.ts";
import { appDeps, call, expectError, V0 } from "../harness/client.ts";
import { createPerson, signedIn } from "../harness/factories.ts";
import { costOf, ownD1 } from "../harness/instruments.ts";
import { countOf, db, insertRows, times } from "../harness/rows.ts";
import { countWithoutEnd } from "../harness/time.ts";
import { root, setPassword } from "./team.ts";

const PASSWORD = "correct horse battery staple";
const passwordHash = hashPassword(PASSWORD);
const MESSAGE = "Too many password attempts on this account; try again in 5 s";

/** A network of documentation addresses, or of as many others as a test needs. */
const HOME = "192.0.2.10";
const SAME_NETWORK = "192.0.2.66";
const AWAY = "203.0.113.7";
let serial = 0;
const fresh = () => `10.${(serial++ >> 8) & 255}.${serial & 255}.1`;

async function person() {
  const email = `${crypto.randomUUID()}@example.com`;
  return { email, ...(await createPerson({ email, passwordHash: await passwordHash })) };
}

function signIn(email: string, password: string, address: string) {
  return call("POST", "https://assay.test/token", {
    headers: {
      "content-type": "application/x-www-form-urlencoded",
      "cf-connecting-ip": address,
    },
    body: new URLSearchParams({ grant_type: "password", username: email, password }).toString(),
  });
}

/** A person who has signed in from home, a while ago; the platform's own counters never refuse. */
async function atHome(clock: { now: number }) {
  const known = await person();
  if ((await signIn(known.email, PASSWORD, HOME)).status !== 200) throw new Error("no sign-in");
  clock.now += MINUTE_MS;
  return known;
}

/** Time that the test moves, and counters of the platform that never refuse. */
function movableClock() {
  const clock = { now: systemClock.now() };
  vi.spyOn(systemClock, "now").mockImplementation(() => clock.now);
  onTestFinished(() => void vi.restoreAllMocks());
  return clock;
}

const counters = appDeps().rateLimitCounters;
function countNothing() {
  for (const name of ["sign-in-address", "sign-in-account"] as const) {
    vi.spyOn(counters[name], "limit").mockResolvedValue({ success: true });
  }
}

const waitOf = async (reply: ReturnType<typeof signIn>) => {
  const { status, headers } = await reply;
  return status === 429 ? Number(headers.get("retry-after")) : 0;
};

describe("failures in a row", () => {
  test.for([
    [1, 0],
    [4, 0],
    [5, 1],
    [6, 2],
    [7, 4],
    [14, 512],
    [15, 900],
    [1_000, 900],
  ])(
    "after number %i a known address waits %i s, another network 5 s at least",
    async ([number = 0, seconds = 0], { expect }) => {
      const clock = movableClock();
      countNothing();
      const known = await atHome(clock);
      const { email } = await person();
      for (const [account, address, wait] of [
        [known.email, HOME, seconds],
        [email, AWAY, Math.max(5, seconds)],
      ] as const) {
        clock.now += MINUTE_MS;
        await signIn(account, "wrong", address);
        await db
          .update(signInFailures)
          .set({ failures: number - 1 })
          .where(eq(signInFailures.retryAt, clock.now));
        clock.now += 5 * SECOND_MS;
        expect((await signIn(account, "wrong", address)).status).toBe(400);
        expect(await waitOf(signIn(account, "wrong", address))).toBe(wait);
      }
    },
  );

  test("count per network: the /24, and the /48 of IPv6; success forgets them", async ({
    expect,
  }) => {
    const clock = movableClock();
    countNothing();
    for (const [one, other, another] of [
      [SAME_NETWORK, "192.0.2.200", "192.0.3.66"],
      ["2001:db8:1:2::3", "2001:db8:1:ffff::1", "2001:db8:2:2::3"],
    ] as const) {
      const { email } = await person();
      for (let n = 0; n < 8; n++) {
        expect((await signIn(email, "wrong", one)).status).toBe(400);
        clock.now += 8 * SECOND_MS;
      }
      expect((await signIn(email, "wrong", other)).status).toBe(400);
      clock.now += 5 * SECOND_MS;
      expect(await waitOf(signIn(email, PASSWORD, one))).toBe(11);
      expect((await signIn(email, PASSWORD, another)).status).toBe(200);
      clock.now += 11 * SECOND_MS;
      expect((await signIn(email, PASSWORD, one)).status).toBe(200);
      for (let n = 0; n < 4; n++) expect((await signIn(email, "wrong", one)).status).toBe(400);
      expect((await signIn(email, PASSWORD, one)).status).toBe(200);
    }
  });

  test("those of a day ago are cleared away, a hundred at a time", async ({ expect }) => {
    const old = times(250, (at) => ({
      account: `old ${at}`,
      network: "n",
      failures: 1,
      retryAt: at + 1,
    }));
    await insertRows(signInFailures, old);
    const left = () => countOf(signInFailures, like(signInFailures.account, "old %"));
    const lefts: unknown[] = [];
    for (let n = 0; n < 3; n++) {
      await signIn(`${crypto.randomUUID()}@example.com`, "wrong", fresh());
      lefts.push(await left());
    }
    expect(lefts).toEqual([150, 50, 0]);
  });
});

describe("all networks together", () => {
  test("one try in 5 s, also from two isolates at the same time, right or wrong", async ({
    expect,
  }) => {
    const clock = movableClock();
    countNothing();
    const apps = [await createApp(appDeps()), await createApp(appDeps())];
    for (const password of ["wrong", PASSWORD]) {
      const { email } = await person();
      for (let round = 0; round < 3; round++) {
        const replies = await Promise.all(
          times(8, (at) =>
            apps[at % 2]?.request("https://assay.test/api/user/login", {
              method: "POST",
              headers: { "content-type": "application/json", "cf-connecting-ip": fresh() },
              body: JSON.stringify({ email, password }),
            }),
          ),
        );
        const refused = replies.filter((reply) => reply?.status === 429);
        expect(refused).toHaveLength(7);
        expect(refused[0]?.headers.get("retry-after")).toBe("5");
        clock.now += 5 * SECOND_MS;
      }
    }
  });

  test("spare the addresses of the last 30 days: others' failures never keep them out", async ({
    expect,
  }) => {
    const clock = movableClock();
    countNothing();
    const { email } = await atHome(clock);
    for (let n = 0; n < 40; n++) {
      await signIn(email, "wrong", n % 2 === 0 ? SAME_NETWORK : fresh());
      expect((await signIn(email, PASSWORD, HOME)).status, `try ${n}`).toBe(200);
      if (n % 3 === 0) clock.now += MINUTE_MS;
    }
    // The first try after a pause is anybody's; the second one is not.
    clock.now += HOUR_MS;
    expect((await signIn(email, "wrong", fresh())).status).toBe(400);
    expectError(expect, await signIn(email, PASSWORD, AWAY), 429, "TOO_MANY_REQUESTS", MESSAGE);
    clock.now += 5 * SECOND_MS;
    expect((await signIn(email, PASSWORD, AWAY)).status).toBe(200);
    expect((await signIn(email, "wrong", AWAY)).status, "known from now on").toBe(400);
    clock.now += 30 * DAY_MS;
    expect((await signIn(email, "wrong", fresh())).status).toBe(400);
    expect(await waitOf(signIn(email, PASSWORD, AWAY))).toBe(5);
  });

  test("the platform's counter is of account and network, and spares known addresses", async ({
    expect,
  }) => {
    const clock = movableClock();
    const { email } = await atHome(clock);
    countWithoutEnd();
    for (let n = 0; n < 10; n++) await signIn(email.toUpperCase(), "wrong", SAME_NETWORK);
    clock.now += HOUR_MS;
    const refused = await signIn(email, PASSWORD, SAME_NETWORK);
    expectError(expect, refused, 429, "TOO_MANY_REQUESTS");
    expect(refused.headers.get("retry-after")).toBe("60");
    expect(refused.headers.get("ratelimit-policy")).toBe('"sign-in-account";q=10;w=60');
    expect((await signIn(email, PASSWORD, HOME)).status).toBe(200);
    expect((await signIn(email, PASSWORD, AWAY)).status).toBe(200);
  });

  test("a person has the 20 newest addresses, and none once deleted", async ({ expect }) => {
    const clock = movableClock();
    const { id, email, uuid } = await person();
    const addresses = times(22, fresh);
    for (const address of addresses) {
      expect((await signIn(email, PASSWORD, address)).status).toBe(200);
      clock.now += 5 * SECOND_MS;
    }
    const stored = await db
      .select({ address: knownAddresses.address })
      .from(knownAddresses)
      .where(eq(knownAddresses.userId, id))
      .orderBy(knownAddresses.signedInAt);
    expect(stored.map(({ address }) => address)).toEqual(addresses.slice(2));
    const token = await signedIn(root);
    expect((await call("DELETE", `${V0}/users/${uuid}`, { token })).status).toBe(204);
    expect(await countOf(knownAddresses, eq(knownAddresses.userId, id))).toBe(0);
  });

  test("a link to set a password makes its address known: the way in while an attack goes on", async ({
    expect,
  }) => {
    const clock = movableClock();
    countNothing();
    const { email, uuid } = await person();
    const token = await signedIn(root);
    const made = await call("POST", `${V0}/users/${uuid}/password-link`, { token });
    await signIn(email, "wrong", fresh());
    expect(await waitOf(signIn(email, PASSWORD, AWAY))).toBe(5);
    const reply = await call("POST", "https://assay.test/password", {
      headers: { "cf-connecting-ip": AWAY },
      body: { token: made.body.url.split("#")[1], password: "another password" },
    });
    expect(reply.status, reply.text).toBe(204);
    expect((await signIn(email, "another password", AWAY)).status).toBe(200);
    clock.now += SECOND_MS;
    expect((await setPassword(made.body.url.split("#")[1], PASSWORD)).status).toBe(400);
  });
});

describe("every place where a password is tried", () => {
  test("shares the budget: /token, /api/user/login, and the change of one's own", async ({
    expect,
  }) => {
    const clock = movableClock();
    countNothing();
    const { email, token } = await person();
    const headers = { "cf-connecting-ip": AWAY };
    const change = (old_password: string, address = AWAY) =>
      call("POST", `${V0}/users/me/password`, {
        token,
        headers: { "cf-connecting-ip": address },
        body: { old_password, password: PASSWORD },
      });
    const login = (password: string) =>
      call("POST", "https://assay.test/api/user/login", { headers, body: { email, password } });
    const tries = [() => signIn(email, "wrong", AWAY), () => login("wrong"), () => change("wrong")];
    for (const [at, fail] of tries.entries()) {
      clock.now += 5 * SECOND_MS;
      expect((await fail()).status).toBe([400, 401, 403][at]);
      for (const again of tries)
        expectError(expect, await again(), 429, "TOO_MANY_REQUESTS", MESSAGE);
      expectError(expect, await change(PASSWORD, fresh()), 429, "TOO_MANY_REQUESTS", MESSAGE);
    }
    // Six in a row wait 2 s, seven 4 s and eight 8 s, wherever they failed.
    for (let n = 0; n < 5; n++) {
      clock.now += 5 * SECOND_MS;
      expect((await change("wrong")).status).toBe(403);
    }
    clock.now += 5 * SECOND_MS;
    expect(await waitOf(change(PASSWORD))).toBe(3);
    clock.now += 3 * SECOND_MS;
    expect((await change(PASSWORD)).status).toBe(204);
    clock.now += 5 * SECOND_MS;
    expect((await signIn(email, PASSWORD, AWAY)).status, "the change forgot them").toBe(200);
  });

  test("tells nobody who exists: same replies, statements and round trips", async ({ expect }) => {
    const clock = movableClock();
    countNothing();
    const told = async (email: string) => {
      const all = [];
      for (const [address, seconds] of [
        [AWAY, 0],
        [AWAY, 5],
        [SAME_NETWORK, 0],
        [SAME_NETWORK, 5],
        ...times(8, (at) => [AWAY, 5 * (at % 2)] as const),
        [AWAY, 700],
      ] as const) {
        clock.now += seconds * SECOND_MS;
        const sent = signIn(email, "wrong", address);
        const { d1_round_trips } = await costOf(() => sent);
        const { status, text, headers } = await sent;
        const wait = headers.get("retry-after");
        const shown = text.replace(/"request_id":"[^"]+"/, "");
        all.push({ status, shown, wait, names: [...headers.keys()].sort(), d1_round_trips });
      }
      return all;
    };
    const known = await told((await person()).email);
    expect(known.map(({ status }) => status)).toContain(429);
    expect(await told(`${crypto.randomUUID()}@example.com`)).toEqual(known);
  });
});

describe("guesses in a day (docs/security.md)", () => {
  /** Tries without end for a while from as many networks; counts those that were admitted. */
  async function guesses(networks: number, forMs: number): Promise<number> {
    const store = openDatabase(ownD1(), createMeter());
    const { uuid } = await person();
    const attempt = {
      target: eq(users.uuid, uuid),
      unknown: "nobody",
      isCrowded: false,
      scale: 1,
    };
    let admitted = 0;
    for (let now = 0; now < forMs; ) {
      const address = `10.${(admitted % networks) >> 8}.${(admitted % networks) & 255}.1`;
      try {
        await beginAttempt(store, { ...attempt, address }, now);
        admitted++;
      } catch (error) {
        const { headers } = error as { headers: Record<string, string> }; // an ApiError
        now += Number(headers["Retry-After"]) * SECOND_MS;
      }
    }
    return admitted;
  }

  test("one network: 109 on the first day, 96 on each further one", async ({ expect }) => {
    expect(await guesses(1, DAY_MS)).toBe(109);
    expect(await guesses(1, 2 * DAY_MS)).toBe(109 + 96);
  });

  test("10,000 networks: one in 5 s, 17,280 a day", async ({ expect }) => {
    expect(await guesses(10_000, 10 * MINUTE_MS)).toBe(17_280 / (24 * 6));
  });
});

describe("the audit log", () => {
  async function audited(actor: string) {
    const events = await db.select().from(auditEvents).where(eq(auditEvents.actor, actor));
    return events.filter(({ action }) => action === "sign_in_failed").sort((a, b) => a.id - b.id);
  }

  test("has failures at most once a minute for each account, from however many networks", async ({
    expect,
  }) => {
    const clock = movableClock();
    const { email, uuid } = await person();
    for (let n = 0; n < 3; n++) {
      expect((await signIn(email, "wrong", fresh())).status).toBe(400);
      clock.now += 5 * SECOND_MS;
    }
    expect(await audited(uuid)).toHaveLength(1);
    clock.now += MINUTE_MS;
    await signIn(email, "wrong", fresh());
    const events = await audited(uuid);
    expect(events).toHaveLength(2);
    expect(events[0]).toMatchObject({ actorKind: "account", subjectKind: "account" });
    expect(JSON.stringify(events)).not.toContain("wrong");
  });

  test("is not filled by made-up accounts: once a minute for each address", async ({ expect }) => {
    const clock = movableClock();
    const tryFrom = (address: string) =>
      signIn(`${crypto.randomUUID()}@example.com`, PASSWORD, address);
    for (let n = 0; n < 3; n++) await tryFrom("198.51.100.1");
    await tryFrom("198.51.100.2");
    const [event, ...more] = await audited("198.51.100.1");
    expect(event).toMatchObject({ actorKind: "anonymous", subjectKind: "account" });
    expect(more).toEqual([]);
    expect(await audited("198.51.100.2")).toHaveLength(1);
    clock.now += MINUTE_MS;
    await tryFrom("198.51.100.1");
    expect(await audited("198.51.100.1")).toHaveLength(2);
  });
});
