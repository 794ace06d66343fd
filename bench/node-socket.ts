/** A socket of the bench: Node's own, with the credential in a subprotocol. */

export interface NodeSocket {
  /** Waits for the next message that was not taken yet; null once the socket has closed. */
  next(): Promise<string | null>;
  send(text: string): void;
  close(): Promise<void>;
  readonly isOpen: boolean;
  /** Code and reason of its end. */
  readonly ending: string;
}

export async function openSocket(url: URL, path: string, token: string): Promise<NodeSocket> {
  const address = new URL(path, url);
  address.protocol = "ws:";
  const socket = new WebSocket(address, ["assay.v1", `bearer.${token}`]);
  const heard: string[] = [];
  const waiting: (() => void)[] = [];
  let isOpen = true;
  let ending = "";
  const tell = () => {
    for (const wake of waiting.splice(0)) wake();
  };
  socket.addEventListener("message", ({ data }) => {
    heard.push(String(data));
    tell();
  });
  const closed = new Promise<void>((resolve) => {
    socket.addEventListener("close", ({ code, reason }) => {
      isOpen = false;
      ending = `${code} ${reason}`;
      tell();
      resolve();
    });
  });
  await new Promise<void>((resolve, reject) => {
    socket.addEventListener("open", () => resolve());
    socket.addEventListener("error", () => reject(new Error(`no socket at ${path}`)));
  });
  return {
    async next() {
      while (heard.length === 0 && isOpen) await new Promise<void>((wake) => waiting.push(wake));
      return heard.shift() ?? null;
    },
    send: (text) => socket.send(text),
    async close() {
      socket.close(1000);
      await closed;
    },
    get isOpen() {
      return isOpen;
    },
    get ending() {
      return ending;
    },
  };
}
