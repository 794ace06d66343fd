/** Sockets of nodes that are opened within workerd, which take no file descriptors. */
import type { BaselineEnv } from "./env.ts";
import { type InsideOrder, OPEN } from "./inside-order.ts";

export default {
  async fetch(request, { PRODUCT }): Promise<Response> {
    const { url, nodes } = await request.json<InsideOrder>();
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
    const writer = writable.getWriter();
    const say = (line: string) => writer.write(new TextEncoder().encode(`${line}\n`));
    const hold = async () => {
      const sockets = [];
      for (const node of nodes) sockets.push(await openSocket(PRODUCT, url, node));
      await say(OPEN);
      await say(JSON.stringify(await Promise.all(sockets.map(({ told }) => told))));
      await writer.close();
    };
    void hold().catch((error: unknown) => writer.abort(error));
    return new Response(readable);
  },
} satisfies ExportedHandler<BaselineEnv>;

/** Answers when the server has answered its hello. */
async function openSocket(
  product: Fetcher,
  url: string,
  { token, taskId }: InsideOrder["nodes"][number],
): Promise<{ told: Promise<number> }> {
  const headers = { authorization: `Bearer ${token}`, upgrade: "websocket" };
  const { webSocket: socket, status } = await product.fetch(url, { headers });
  if (socket === null) throw new Error(`a socket is refused with ${status}`);
  socket.accept();
  const { promise: told, resolve, reject } = Promise.withResolvers<number>();
  const greeted = new Promise<void>((done) => {
    socket.addEventListener("message", ({ data }) => {
      if (String(data).includes('"directive":"stop"')) resolve(Date.now());
      done();
    });
  });
  socket.addEventListener("close", ({ code }) =>
    reject(new Error(`a socket was closed with ${code}`)),
  );
  socket.send(JSON.stringify({ type: "hello", task_id: taskId }));
  await greeted;
  return { told };
}
