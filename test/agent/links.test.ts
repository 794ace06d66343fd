/** Of two nodes that dial each other, both keep the same connection, whatever happens in whichever order. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Channel } from "../../agent/src/cluster-network/channel.ts";
import { createLinks, type Links } from "../../agent/src/cluster-network/links.ts";

type Message = "hello" | "challenge" | "proof" | "last proof" | "closed";

/** One end of a connection, as far as `Links` uses it. */
function end(other: () => Message[]): Channel & { inbox: Message[] } {
  let isOpen = true;
  // `as`: nothing else of a channel is used here.
  return {
    inbox: [],
    isOpen: () => isOpen,
    close: () => {
      if (isOpen) other().push("closed");
      isOpen = false;
    },
  } as unknown as Channel & { inbox: Message[] };
}

/** The greeting of one connection between two nodes, message by message, as handshake.ts and dial.ts do it. */
function connection(rank: number, dialler: Links, other: number, dialled: Links) {
  const near = end(() => far.inbox);
  const far = end(() => near.inbox);
  let state: "greeting" | "committed" | "over" = "greeting";
  const finish = (): void => {
    if (state === "committed") dialler.release(other);
    state = "over";
  };
  far.inbox.push("hello");
  return {
    near,
    far,
    isOver: () => state === "over",
    /** The dialler's time for this address is over. */
    expire() {
      if (state === "over") return;
      near.close("late");
      finish();
    },
    toDialler() {
      const message = near.inbox.shift();
      if (message === "closed") near.close("closed");
      if (state === "over" || !near.isOpen()) return finish();
      if (message === "challenge") {
        if (!dialler.commit(other)) {
          near.close("superseded");
          return finish();
        }
        state = "committed";
        far.inbox.push("proof");
      } else if (message === "last proof") {
        dialler.arrive(other, near);
        finish();
      }
    },
    toDialled() {
      const message = far.inbox.shift();
      if (message === "closed") far.close("closed");
      if (!far.isOpen()) return;
      if (message === "hello") near.inbox.push("challenge");
      if (message !== "proof") return;
      if (dialled.admit(rank, far)) near.inbox.push("last proof");
      else far.close("superseded");
    },
  };
}
type Connection = ReturnType<typeof connection>;

test("two nodes that dial at once agree on one connection", () => {
  const event = fc.constantFrom("low dials", "high dials", "low expires", "high expires", "on");
  const steps = fc.array(fc.tuple(event, fc.nat(1_000)), { maxLength: 80 });
  let met = 0;
  fc.assert(
    fc.property(steps, (events) => {
      const [low, high] = [createLinks(0), createLinks(1)];
      const made: { of: "low" | "high"; it: Connection }[] = [];
      const latest = (of: string) => made.findLast((each) => each.of === of)?.it;
      /** Delivers one message of those under way; each connection keeps its order, they have none among each other. */
      const deliver = (choice: number): boolean => {
        const ways = made.flatMap(({ it }) => [
          ...(it.near.inbox.length > 0 ? [it.toDialler] : []),
          ...(it.far.inbox.length > 0 ? [it.toDialled] : []),
        ]);
        ways[choice % ways.length]?.();
        return ways.length > 0;
      };
      const dial = (of: "low" | "high"): void => {
        const [own, other] = of === "low" ? [low, high] : [high, low];
        // One address after the other, and none once there is a connection.
        if (own.isMet(of === "low" ? 1 : 0) || latest(of)?.isOver() === false) return;
        const it = of === "low" ? connection(0, own, 1, other) : connection(1, own, 0, other);
        made.push({ of, it });
      };
      for (const [what, choice] of events) {
        if (what === "on") deliver(choice);
        else if (what === "low dials") dial("low");
        else if (what === "high dials") dial("high");
        else latest(what === "low expires" ? "low" : "high")?.expire();
      }
      for (let i = 0; deliver(i * 7); i++);
      const openAt = (links: Links) => {
        const open: Channel[] = [];
        links.each((channel) => open.push(channel));
        return made.findIndex(({ it }) => open.includes(it.near) || open.includes(it.far));
      };
      expect(openAt(low)).toBe(openAt(high));
      // The connection is all that is left open.
      const left = made.filter(({ it }) => it.near.isOpen() && it.far.isOpen());
      expect(left.length).toBeLessThanOrEqual(1);
      if (left.length === 1) met += 1;
      const isInTime = !events.some(([what]) => what.endsWith("expires"));
      if (isInTime && made.length > 0) expect(left.length).toBe(1);
      // Nobody is left proving itself: after the last try both can begin anew.
      if (left.length === 0) expect([low.commit(1), high.commit(0)]).toEqual([true, true]);
    }),
    { numRuns: 3_000 },
  );
  expect(met).toBeGreaterThan(300);
});

describe("a link", () => {
  const open = () => end(() => []);

  test("is given to whoever waits, also one that the other node has dialled", async () => {
    const links = createLinks(0);
    const waiting = links.linkTo(1);
    const channel = open();
    expect(links.admit(1, channel)).toBe(true);
    expect(await waiting).toEqual({ ok: true, channel });
  });

  test("of the lower rank's own stands against one that comes later, an admitted one does not", () => {
    const [own, older, newer] = [open(), open(), open()];
    const links = createLinks(0);
    links.arrive(1, own);
    expect(links.admit(1, open())).toBe(false);
    expect(own.isOpen()).toBe(true);
    // The other node was started again.
    links.admit(2, older);
    expect(links.admit(2, newer)).toBe(true);
    expect([older.isOpen(), newer.isOpen()]).toEqual([false, true]);
  });

  test("that had its turn is not dialled again", async () => {
    const links = createLinks(0);
    const channel = open();
    links.arrive(1, channel);
    await links.linkTo(1);
    channel.close("its turn is over");
    expect([links.isMet(1), links.commit(1)]).toEqual([true, false]);
  });

  test("after the end nothing is given or admitted, and everything is closed", async () => {
    const links = createLinks(0);
    const channel = open();
    const waiting = links.linkTo(2);
    links.arrive(1, channel);
    links.close();
    expect(channel.isOpen()).toBe(false);
    expect(await waiting).toEqual({ ok: false, message: "the step is over" });
    expect(links.admit(1, open())).toBe(false);
    expect(links.commit(2)).toBe(false);
    const late = open();
    links.arrive(2, late);
    expect(late.isOpen()).toBe(false);
    expect(await links.linkTo(2)).toMatchObject({ ok: false });
  });
});
