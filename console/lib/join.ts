/** The line with which a machine joins a job, for a server that does not know its own public address. */
export function joinCommand(token: string): string {
  const site = location.origin;
  return `curl -fsSL ${site}/agent | sh -s -- --host ${site} --token ${token}`;
}
