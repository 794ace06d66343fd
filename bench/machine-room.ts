/** Jobs with real machines' calls: what they send, and what their owner reads. */
import { randomUUID } from "node:crypto";
import { hashPassword } from "../src/identity/password-hash.ts";
import { addPerson } from "../test/world/people.ts";
import type { Stage } from "./stage.ts";

const API = "/api/silicon-mark/v1";
const PASSWORD = "a password of the bench";
const EMAIL = "bench@example.com";

export interface MachineRoom {
  /** A job that all its nodes have joined; they run its first step. */
  startJob(options: {
    nodes: number;
    benchmarks?: readonly object[];
    inventoryOf?: (rank: number) => Record<string, unknown>;
  }): Promise<{ id: string; nodes: RoomNode[] }>;
  put(node: RoomNode, position: number, body: object): Promise<void>;
  putText(node: RoomNode, position: number, body: string): Promise<void>;
  giveUp(node: RoomNode, message: string): Promise<void>;
  abort(jobId: string): Promise<void>;
  /** Token of the jobs' owner. */
  owner: string;
  /** Reads a page of the owner's to its end; answers its length in bytes. */
  read(path: string, accept?: string): Promise<number>;
  /** Gives a job's reports up before they begin: drawing them would count as the work that is measured. */
  withoutReports(jobId: string): Promise<void>;
  /** Waits until a job's results are in R2, and it is rated. */
  rated(jobId: string, patienceMs: number): Promise<void>;
  /** Waits until so many reports of a job are stored. */
  reported(jobId: string, count: number, patienceMs: number): Promise<void>;
}

export interface RoomNode {
  token: string;
  taskId: string;
}

export async function createMachineRoom({
  url,
  db,
}: Pick<Stage, "url" | "db">): Promise<MachineRoom> {
  const passwordHash = await hashPassword(PASSWORD);
  await addPerson(db, { email: EMAIL, role: "user", customer: "default", passwordHash });
  const send = async (
    method: string,
    path: string,
    token: string | null,
    body?: string,
    headers: Record<string, string> = {},
  ) => {
    const response = await fetch(new URL(path, url), {
      method,
      headers: {
        ...headers,
        ...(token === null ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body }),
    });
    if (!response.ok) throw new Error(`${method} ${path}: ${await response.text()}`);
    return response;
  };
  const form = new URLSearchParams({ grant_type: "password", username: EMAIL, password: PASSWORD });
  const signedIn = await fetch(new URL("/token", url), { method: "POST", body: form });
  // The reply of signing in.
  const { access_token: owner } = (await signedIn.json()) as { access_token: string };

  const putText = async ({ token, taskId }: RoomNode, position: number, body: string) => {
    const path = `${API}/jobs/current/tasks/${taskId}/results/${position}`;
    await (await send("PUT", path, token, body)).arrayBuffer();
  };

  const counted = async (
    query: string,
    { jobId, count, patienceMs }: { jobId: string; count: number; patienceMs: number },
  ) => {
    const rows = db.prepare(query).bind(Number(jobId));
    const until = performance.now() + patienceMs;
    for (let made = 0; made < count; ) {
      if (performance.now() > until)
        throw new Error(`${made} of ${count} after ${patienceMs} ms: ${query}`);
      await new Promise((done) => setTimeout(done, 200));
      const { results } = await rows.all<{ made: number }>();
      made = results[0]?.made ?? 0;
    }
  };

  return {
    async startJob({ nodes: size, benchmarks = [], inventoryOf = () => ({}) }) {
      const order = JSON.stringify({ node_count: size, benchmarks });
      // The reply of a creation.
      const job = (await (await send("POST", `${API}/jobs`, owner, order)).json()) as {
        id: string;
        token: string;
      };
      const nodes: RoomNode[] = [];
      for (let rank = 0; rank < size; rank++) {
        const machine = {
          machine_uuid: randomUUID(),
          gpu_model: "NVIDIA H100 80GB HBM3",
          gpu_count: 8,
          inventory: inventoryOf(rank),
        };
        const path = `${API}/jobs/current/tasks`;
        const joined = await send("POST", path, job.token, JSON.stringify(machine));
        // The reply to joining.
        const { id: taskId } = (await joined.json()) as { id: string };
        nodes.push({ token: job.token, taskId });
      }
      return { id: job.id, nodes };
    },
    put: (node, position, body) => putText(node, position, JSON.stringify(body)),
    putText,
    async abort(jobId) {
      await (await send("POST", `${API}/jobs/${jobId}/abort`, owner)).arrayBuffer();
    },
    owner,
    async giveUp({ token, taskId }, message) {
      const path = `${API}/jobs/current/tasks/${taskId}`;
      const body = JSON.stringify({ state: "failed", failed_message: message });
      await (await send("PATCH", path, token, body)).arrayBuffer();
    },
    async read(path, accept = "application/json") {
      const { body } = await send("GET", `${API}${path}`, owner, undefined, { accept });
      let bytes = 0;
      for await (const part of body ?? []) bytes += part.length;
      return bytes;
    },
    async withoutReports(jobId) {
      const giveUp = "UPDATE jobs SET report_attempts = 3 WHERE id = ?1";
      await db.prepare(giveUp).bind(Number(jobId)).all();
    },
    rated: (jobId, patienceMs) =>
      counted("SELECT count(*) AS made FROM jobs WHERE id = ?1 AND rated_at > 0", {
        jobId,
        count: 1,
        patienceMs,
      }),
    reported: (jobId, count, patienceMs) =>
      counted("SELECT count(*) AS made FROM reports WHERE job_id = ?1", {
        jobId,
        count,
        patienceMs,
      }),
  };
}
