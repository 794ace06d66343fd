/** Replies with holes that are filled from a stream: whatever the stream or the client does. */
import { Hono } from "hono";
import { describe, onTestFinished, test, vi } from "vitest";
import type { RequestEnv } from "../../../src/http/context.ts";
import { onError } from "../../../src/http/errors.ts";
import { areSmall, fillHoles, fillInMemory, readAll } from "../../../src/http/filled-stream.ts";
import { type Piece, piecesOf, rawJson, rawList } from "../../../src/http/raw-json.ts";
import { filledUnlessKnown } from "../../../src/http/replies.ts";

const MIB = 1_024 * 1_024;
const utf8 = (text: string) => new TextEncoder().encode(text);

interface Source {
  stream: ReadableStream<Uint8Array>;
  /** Bytes that were taken from it. */
  taken: number;
  cancelled: boolean;
}

/** Sends the chunks one by one; then it ends, fails, or stays silent. */
function sourceOf(chunks: Iterable<Uint8Array>, end: "close" | "fail" | "hang" = "close"): Source {
  const iterator = chunks[Symbol.iterator]();
  const source: Source = {
    taken: 0,
    cancelled: false,
    stream: new ReadableStream(
      {
        pull(controller) {
          const { done, value } = iterator.next();
          if (!done) {
            source.taken += value.length;
            return controller.enqueue(value.slice()); // the reader may give it back
          }
          if (end === "close") return controller.close();
          if (end === "fail") return controller.error(new Error("R2 is gone"));
          return new Promise<void>(() => {});
        },
        cancel() {
          source.cancelled = true;
        },
      },
      { highWaterMark: 0 },
    ),
  };
  return source;
}

const bytewise = (bytes: Uint8Array) => Array.from(bytes, (byte) => Uint8Array.of(byte));
const textOf = (stream: ReadableStream) => new Response(stream).text();

/** The log lines about replies that were cut, by cause. */
function cutReplies() {
  const warn = vi.spyOn(console, "warn").mockImplementation(() => {});
  onTestFinished(() => void warn.mockRestore());
  return () =>
    warn.mock.calls
      .map(([line]) => JSON.parse(String(line)))
      .filter(({ event }) => event === "reply_cut")
      .map(({ cause }) => cause);
}

const STORED = utf8('skip{"a":"Größe 測試 😀"}gap[1,2]rest');
const at = (text: string) => {
  const whole = new TextDecoder().decode(STORED);
  return { at: utf8(whole.slice(0, whole.indexOf(text))).length, bytes: utf8(text).length };
};
const PIECES: Piece[] = [
  '{"é":',
  at('{"a":"Größe 測試 😀"}'),
  ',"list":',
  { ...at("[1,2]"), show: (stored) => stored.replace("2", '"é"') },
  utf8(',"b":"測"'),
  "}",
];
const SHOWN = '{"é":{"a":"Größe 測試 😀"},"list":[1,"é"],"b":"測"}';

describe("what is read", () => {
  test("is the same however the source is split, down to single bytes", async ({ expect }) => {
    expect(await textOf(fillHoles(PIECES, sourceOf([STORED]).stream))).toBe(SHOWN);
    expect(await textOf(fillHoles(PIECES, sourceOf(bytewise(STORED)).stream))).toBe(SHOWN);
    for (let split = 0; split <= STORED.length; split++) {
      const { stream } = sourceOf([STORED.subarray(0, split), STORED.subarray(split)]);
      expect(await textOf(fillHoles(PIECES, stream)), `split at ${split}`).toBe(SHOWN);
    }
  });

  test("begins anywhere in the stored bytes", async ({ expect }) => {
    const { stream } = sourceOf([STORED.subarray(4)]);
    expect(await textOf(fillHoles(PIECES, stream, { from: 4 }))).toBe(SHOWN);
  });

  test("keeps characters whole across chunks, and chunks small", async ({ expect }) => {
    for (const character of ["é", "測", "😀"]) {
      for (let shift = 0; shift < 4; shift++) {
        const text = "x".repeat(shift) + character.repeat(100_000);
        const stored = utf8(text);
        const pieces = [text, { at: 0, bytes: stored.length }, text];
        const decoder = new TextDecoder();
        let read = "";
        for await (const chunk of fillHoles(pieces, sourceOf([stored]).stream)) {
          expect(chunk.length).toBeLessThanOrEqual(65_536);
          read += decoder.decode(chunk, { stream: true });
        }
        expect(read === text.repeat(3), `${character}, shifted by ${shift}`).toBe(true);
      }
    }
  });

  test("needs no source without holes; with one it does", async ({ expect }) => {
    const causes = cutReplies();
    expect(await textOf(fillHoles(["a", utf8("é")], null))).toBe("aé");
    await expect(textOf(fillHoles([{ at: 0, bytes: 1 }], null))).rejects.toThrow("needs a source");
    await expect(
      textOf(fillHoles([at("[1,2]"), at('{"a"')], sourceOf([STORED]).stream)),
    ).rejects.toThrow("rising order");
    expect(causes()).toHaveLength(2);
  });
});

describe("a reply is cut, so that the client sees that it is incomplete", () => {
  test.for<["close" | "fail" | "hang", string]>([
    ["close", "ended"],
    ["fail", "R2 is gone"],
    ["hang", "took over 20 ms"],
  ])("when the source does not go on: %s", async ([end, cause], { expect }) => {
    const causes = cutReplies();
    for (const length of [0, 10, STORED.length - 8]) {
      const source = sourceOf([STORED.subarray(0, length)], end);
      const reply = fillHoles(PIECES, source.stream, { stalledMs: 20 });
      await expect(textOf(reply), `after ${length} bytes`).rejects.toThrow(cause);
      expect(source.cancelled).toBe(end === "hang");
    }
    expect(causes()).toHaveLength(3);
  });

  test("when the client reads nothing for a while: the source is let go", async ({ expect }) => {
    const causes = cutReplies();
    const source = sourceOf([STORED, new Uint8Array(MIB)]);
    const pieces = [...PIECES, { at: STORED.length, bytes: MIB }];
    const reader = fillHoles(pieces, source.stream, { stalledMs: 20 }).getReader();
    await reader.read();
    await vi.waitFor(() => expect(source.cancelled).toBe(true));
    await expect(reader.read()).rejects.toThrow("stopped reading");
    expect(causes()).toEqual(["The client stopped reading"]);
  });

  test("a source that cannot be cancelled holds up nobody", async ({ expect }) => {
    cutReplies();
    const stream = new ReadableStream<Uint8Array>({
      pull: () => new Promise<void>(() => {}),
      cancel: () => new Promise<void>(() => {}),
    });
    await expect(textOf(fillHoles(PIECES, stream, { stalledMs: 20 }))).rejects.toThrow("20 ms");
  });
});

test("a client that stops reading costs no more than what it has asked for", async ({ expect }) => {
  const causes = cutReplies();
  const chunks = Array.from({ length: 64 }, () => new Uint8Array(256 * 1_024));
  const source = sourceOf(chunks);
  const reply = fillHoles([{ at: 0, bytes: 16 * MIB }], source.stream, { stalledMs: 60_000 });
  expect(source.taken, "nothing is read ahead").toBe(0);
  const reader = reply.getReader();
  await reader.read();
  await scheduler.wait(50);
  expect(source.taken).toBeLessThanOrEqual(4 * MIB);
  await reader.cancel();
  expect(source.cancelled).toBe(true);
  await scheduler.wait(50);
  expect(causes(), "a client may leave").toEqual([]);
});

test("a client that leaves while the source is silent: it is let go, and nothing is logged", async ({
  expect,
}) => {
  const causes = cutReplies();
  const source = sourceOf([], "hang");
  const reader = fillHoles(PIECES, source.stream, { stalledMs: 20 }).getReader();
  await reader.read().catch(() => {}); // the text before the first hole, or the time-out
  const left = sourceOf([], "hang");
  const other = fillHoles(PIECES, left.stream, { stalledMs: 200 });
  const reading = other.getReader();
  const read = reading.read();
  await reading.cancel();
  await read;
  await scheduler.wait(50);
  expect(left.cancelled).toBe(true);
  expect(causes()).toHaveLength(1);
});

test("a stream of known length is read into memory as a whole, or fails", async ({ expect }) => {
  expect(await readAll(sourceOf(bytewise(STORED)).stream, STORED.length)).toEqual(STORED);
  expect(await readAll(null, 0)).toEqual(new Uint8Array(0));
  await expect(readAll(sourceOf([STORED]).stream, STORED.length + 1)).rejects.toThrow("1 bytes");
  const silent = sourceOf([STORED], "hang");
  await expect(readAll(silent.stream, STORED.length + 1, 20)).rejects.toThrow("20 ms");
  expect(silent.cancelled).toBe(true);
});

describe("a small reply, which is made in memory", () => {
  test("is the same as the stream", async ({ expect }) => {
    const later = async function* () {
      yield ',"later":[';
      yield "1]";
    };
    const pieces = [...PIECES, { later, madeOf: [] }];
    const shown = `${SHOWN},"later":[1]`;
    expect(await fillInMemory(pieces, sourceOf([STORED]).stream)).toBe(shown);
    expect(await fillInMemory(pieces, sourceOf(bytewise(STORED)).stream)).toBe(shown);
    const rest = sourceOf([STORED.subarray(4)]);
    expect(await fillInMemory(PIECES, rest.stream, { from: 4 })).toBe(SHOWN);
    expect(await fillInMemory(["a", utf8("é")], null)).toBe("aé");
    await expect(fillInMemory(PIECES, null)).rejects.toThrow("needs a source");
  });

  test.for<["close" | "fail" | "hang", string]>([
    ["close", "ended"],
    ["fail", "R2 is gone"],
    ["hang", "took over 20 ms"],
  ])("fails with its source, and lets go of it: %s", async ([end, cause], { expect }) => {
    for (const length of [0, 10, STORED.length - 8]) {
      const source = sourceOf([STORED.subarray(0, length)], end);
      const reply = fillInMemory(PIECES, source.stream, { stalledMs: 20 });
      await expect(reply, `after ${length} bytes`).rejects.toThrow(cause);
      expect(source.cancelled).toBe(end === "hang");
    }
  });

  test("is one whose pieces are known to be small, the stored and the later ones, too", ({
    expect,
  }) => {
    const half = "x".repeat(32_768);
    const later = async function* () {};
    const halves: Piece[] = [half, utf8(half), { at: 0, bytes: 32_768 }, { later, madeOf: [half] }];
    for (const one of halves) {
      for (const other of halves) {
        expect(areSmall([one, other])).toBe(true);
        expect(areSmall([one, other, "x"])).toBe(false);
      }
    }
    expect(areSmall([{ later }])).toBe(false);
  });

  test("whose source fails is a 503 that says when to come back, and no cut reply", async ({
    expect,
  }) => {
    const app = new Hono<RequestEnv>();
    const discard = () => {};
    const source = (end: "close" | "fail") => ({
      ...{ from: 0, discard, open: async () => sourceOf([STORED.subarray(0, 10)], end).stream },
    });
    app.onError(onError);
    app.get("/:end", (c) =>
      filledUnlessKnown(c, PIECES, source(c.req.param("end") === "fail" ? "fail" : "close"), '"t"'),
    );
    const logged = vi.spyOn(console, "error").mockImplementation(() => {});
    const warned = vi.spyOn(console, "warn").mockImplementation(() => {});
    onTestFinished(() => {
      logged.mockRestore();
      warned.mockRestore();
    });
    for (const end of ["fail", "close"]) {
      const reply = await app.request(`/${end}`);
      expect([reply.status, reply.headers.get("retry-after")], end).toEqual([503, "2"]);
    }
  });
});

test("text that is made later and fails cuts the reply, so that a list never looks complete", async ({
  expect,
}) => {
  const causes = cutReplies();
  const later = async function* () {
    yield "[1";
    throw new Error("D1 is away");
  };
  const reply = fillHoles(['{"items":', { later }, "}"], null);
  await expect(textOf(reply)).rejects.toThrow("D1 is away");
  expect(causes()).toEqual(["D1 is away"]);
});

test("a list whose items are written one by one is the same JSON, with holes and long texts in them", async ({
  expect,
}) => {
  const long = `${"測😀\ud800".repeat(8_000)}"`;
  const body = at("[1,2]");
  const items = [{ long }, { short: "é", body: rawJson(body) }, {}];
  const pieces = piecesOf({ none: rawList([]), items: rawList<object>(items), z: 1 });
  const value = { none: [], items: [{ long }, { short: "é", body: [1, 2] }, {}], z: 1 };
  expect(await textOf(fillHoles(pieces, sourceOf([STORED]).stream))).toBe(JSON.stringify(value));
  const inMemory = pieces.filter((piece) => piece instanceof Uint8Array);
  expect(inMemory, "a long text is bytes").toHaveLength(1);
});
