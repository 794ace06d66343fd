export type Log = (message: string) => void;

/**
 * One line per message: UTC time, then the text. Control characters are flattened, since texts from
 * the server or a peer end up here, and `secrets` are masked wherever they might appear.
 */
export function createLog(
  write: (line: string) => void,
  now: () => number,
  secrets: readonly string[],
): Log {
  return (message) => {
    const masked = secrets.reduce((text, secret) => text.replaceAll(secret, "[token]"), message);
    const oneLine = masked.replace(/\p{Cc}+/gu, " ");
    write(`${new Date(now()).toISOString()} ${oneLine}\n`);
  };
}

/** `text` cut to `limit` Unicode code points, which is how the server counts. */
export function clip(text: string, limit: number): string {
  const points = [...text];
  return points.length <= limit ? text : `${points.slice(0, limit - 1).join("")}…`;
}
