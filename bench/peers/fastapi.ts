/** The FastAPI peer as a process of its own, where Python has what it needs. */
import { spawn, spawnSync } from "node:child_process";
import { join } from "node:path";
import { ROOT } from "../../scripts/lib/project.ts";
import { findFreePort } from "../../scripts/lib/server.ts";

/** Another Python, such as that of a virtual environment, is named by PYTHON. */
const python = () => process.env.PYTHON ?? "python3";
const PATIENCE_MS = 30_000;

/** The reason for which the peer cannot run here; null if it can. */
export function missingForFastApi(): string | null {
  const { status } = spawnSync(python(), ["-c", "import fastapi, uvicorn"], { stdio: "ignore" });
  if (status === 0) return null;
  return `FastAPI is not compared: ${python()} with the packages fastapi and uvicorn is not installed here (PYTHON names another one).`;
}

/** @param database file of SQLite with the textbook's tables */
export async function startFastApi(database: string): Promise<{ url: URL; stop(): Promise<void> }> {
  const port = await findFreePort();
  const args = ["-m", "uvicorn", "jobs_api:app", "--host", "127.0.0.1", "--port", String(port)];
  const child = spawn(python(), [...args, "--no-access-log", "--log-level", "error"], {
    cwd: join(ROOT, "bench/peers"),
    env: { ...process.env, ASSAY_PEER_DATABASE: database, PYTHONDONTWRITEBYTECODE: "1" },
    stdio: ["ignore", "ignore", "inherit"],
  });
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const url = new URL(`http://127.0.0.1:${port}`);
  const stop = async () => {
    child.kill();
    await ended;
  };
  const until = performance.now() + PATIENCE_MS;
  while (performance.now() < until && child.exitCode === null) {
    const reply = await fetch(new URL("/jobs", url)).catch(() => null);
    await reply?.arrayBuffer();
    if (reply?.ok) return { url, stop };
    await new Promise((done) => setTimeout(done, 100));
  }
  await stop();
  throw new Error("the FastAPI peer did not start");
}
