import { afterEach, describe, expect, test } from "vitest";
import { encodeFrame, FRAME, LinkError } from "../../agent/src/cluster-network/channel.ts";
import { patient } from "../patience.ts";
import { until } from "./helpers.ts";
import { channelPair } from "./peers.ts";

let close = (): void => {};
afterEach(() => close());

async function pair() {
  const made = await channelPair();
  close = made.close;
  return { ...made, raw: made.sockets[0] };
}

describe("channel", () => {
  test("puts frames together however TCP cuts them", async () => {
    const { acceptor, raw } = await pair();
    acceptor.trust();
    let dataBytes = 0;
    acceptor.onData = (bytes) => {
      dataBytes += bytes;
    };
    const bytes = Buffer.concat([
      encodeFrame(FRAME.hello, Buffer.from("ab")),
      encodeFrame(FRAME.data, Buffer.alloc(7)),
      encodeFrame(FRAME.here, Buffer.alloc(0)),
      encodeFrame(FRAME.end, Buffer.alloc(0)),
    ]);
    for (const byte of bytes) {
      raw.write(Buffer.of(byte));
      await new Promise(setImmediate);
    }
    expect(await acceptor.next(patient(5_000))).toEqual({
      type: FRAME.hello,
      payload: Buffer.from("ab"),
    });
    expect(await acceptor.next(patient(5_000))).toEqual({
      type: FRAME.end,
      payload: Buffer.alloc(0),
    });
    expect(dataBytes).toBe(7);
  });

  test("nothing in time is null, and the next frame is still received", async () => {
    const { acceptor, connector } = await pair();
    expect(await acceptor.next(5)).toBeNull();
    connector.send(FRAME.ping);
    expect(await acceptor.next(patient(5_000))).toMatchObject({ type: FRAME.ping });
  });

  test("whoever waits learns why it was closed", async () => {
    const { acceptor, connector } = await pair();
    const [here, there] = [acceptor.next(patient(5_000)), connector.next(patient(5_000))];
    acceptor.close("too slow");
    await expect(here).rejects.toThrow(new LinkError("too slow"));
    await expect(there).rejects.toThrow(/closed the connection/);
    await expect(acceptor.next(patient(5_000))).rejects.toThrow("too slow");
  });

  test.each([
    ["a control frame above 256 bytes", Buffer.from([0, 0, 1, 1, FRAME.ping])],
    ["a data frame above 256 KiB", Buffer.from([0, 4, 0, 1, FRAME.data])],
    ["more frames than anyone asked for", Buffer.alloc(45, Buffer.of(0, 0, 0, 0, FRAME.ping))],
  ])("%s closes it, even when trusted", async (_, bytes) => {
    const { acceptor, raw } = await pair();
    acceptor.trust();
    raw.write(bytes);
    await until(() => !acceptor.isOpen(), "the channel closes");
  });

  test("frames at those limits are taken", async () => {
    const { acceptor, raw } = await pair();
    acceptor.trust();
    raw.write(encodeFrame(FRAME.data, Buffer.alloc(256 * 1024)));
    for (let i = 0; i < 8; i++) raw.write(encodeFrame(FRAME.ping, Buffer.alloc(256)));
    for (let i = 0; i < 8; i++) expect(await acceptor.next(patient(5_000))).not.toBeNull();
    expect(acceptor.isOpen()).toBe(true);
  });
});
