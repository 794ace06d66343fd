/** The line with which a machine joins a job. */

/** Commands that the server has written in this visit, by job: it knows its own public address. */
const written = new Map<string, string>();

export function rememberJoin(jobId: string, command: string | null): void {
  if (command !== null) written.set(jobId, command);
}

/** The server's own, else one with the address at which this page was reached. */
export function joinCommand(jobId: string, token: string): string {
  const site = location.origin;
  return (
    written.get(jobId) ?? `curl -fsSL ${site}/agent | sh -s -- --host ${site} --token ${token}`
  );
}
