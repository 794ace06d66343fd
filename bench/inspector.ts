/** The inspector's protocol of the product's own isolate: profiles, and the heap. */

/** Longest wait for an answer: an isolate at work answers between its tasks. */
const CALL_TIMEOUT_MS = 30_000;
/** An idle isolate may leave a call lying until a request comes. */
const NUDGE_MS = 200;

export class SilentInspector extends Error {}

export interface Session {
  /** Fails if the isolate does not answer in time. */
  call<Result>(method: string, params?: object): Promise<Result>;
  close(): void;
}

/** @param nudge sends a request that needs next to nothing */
export async function openSession(
  inspector: URL,
  nudge: () => Promise<unknown> = async () => {},
): Promise<Session> {
  const socket = new WebSocket(await debuggerUrl(inspector));
  await new Promise((resolve, reject) => {
    socket.addEventListener("open", resolve);
    socket.addEventListener("error", reject);
  });
  const waiting = new Map<number, (result: unknown) => void>();
  socket.addEventListener("message", ({ data }) => {
    const { id, result } = JSON.parse(String(data));
    waiting.get(id)?.(result);
    waiting.delete(id);
  });
  let last = 0;
  return {
    call: <Result>(method: string, params: object = {}) => {
      const id = ++last;
      socket.send(JSON.stringify({ id, method, params }));
      return new Promise<Result>((resolve, reject) => {
        const late = () => {
          waiting.delete(id);
          clearInterval(nudging);
          reject(new SilentInspector(`${method} took over ${CALL_TIMEOUT_MS} ms`));
        };
        const timer = setTimeout(late, CALL_TIMEOUT_MS);
        const nudging = setInterval(() => nudge().catch(() => {}), NUDGE_MS);
        waiting.set(id, (result) => {
          clearTimeout(timer);
          clearInterval(nudging);
          resolve(result as Result); // the protocol defines what each method answers
        });
      });
    },
    close: () => socket.close(),
  };
}

async function debuggerUrl(inspector: URL): Promise<string> {
  const list = new URL("/json", inspector);
  list.protocol = "http:";
  const text = await (await fetch(list)).text();
  const sessions: { id: string; webSocketDebuggerUrl: string }[] = JSON.parse(text);
  const own = sessions.find(({ id }) => id === "assay" || id.endsWith(":assay"));
  if (own === undefined) throw new Error(`No session of the product: ${text}`);
  return own.webSocketDebuggerUrl;
}
