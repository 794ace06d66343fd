/** Times of refusals, which must not reveal what exists: medians of interleaved calls for existing and missing things. */

import type { Scene } from "./hot/scene.ts";
import { HttpPool, requestBytes } from "./http-pool.ts";
import { median } from "./rounds.ts";
import type { Stage } from "./stage.ts";

const API = "/api/silicon-mark/v1";
const CALLS = 200;
/** The medians may differ by this much; more would be news to whoever asks. */
export const TOLERANCE = 0.15;

interface Pair {
  name: string;
  existing: Buffer;
  missing: Buffer;
}

export interface Refusal {
  name: string;
  /** ms, medians. */
  existing: number;
  missing: number;
  /** By how much they differ, as a share of the smaller one. */
  difference: number;
}

/** Times what is refused to a stranger, and sign-in to an account there is and one there is not. */
export async function timeRefusals(stage: Stage, { world }: Scene): Promise<Refusal[]> {
  const token = world.strangerToken;
  const get = (target: string) => requestBytes("GET", target, { token });
  const signIn = (username: string) =>
    requestBytes("POST", "/token", {
      type: "application/x-www-form-urlencoded",
      body: new URLSearchParams({ grant_type: "password", username, password: "wrong" }).toString(),
    });
  const pairs: Pair[] = [
    {
      name: "a job of someone else",
      existing: get(`${API}/jobs/${world.jobs.completed.id}`),
      missing: get(`${API}/jobs/512`),
    },
    {
      name: "results of someone else's job",
      existing: get(`${API}/jobs/${world.jobs.completed.id}/results`),
      missing: get(`${API}/jobs/512/results`),
    },
    {
      name: "a spec, for a plain user",
      existing: get(`/v0/specs/${world.specs.used.slug}`),
      missing: get("/v0/specs/no-such-spec"),
    },
    {
      name: "sign-in with a wrong password",
      existing: signIn(world.credentials.username),
      missing: signIn("nobody@example.com"),
    },
  ];
  const refusals: Refusal[] = [];
  for (const pair of pairs) refusals.push(await time(stage, pair));
  return refusals;
}

async function time(stage: Stage, { name, existing, missing }: Pair): Promise<Refusal> {
  const pool = await HttpPool.open(stage.url, 1, 4);
  const once = async (request: Buffer) => {
    const start = performance.now();
    await pool.run([request]);
    return performance.now() - start;
  };
  try {
    const times = { existing: [] as number[], missing: [] as number[] };
    for (let call = -20; call < CALLS; call++) {
      // In turns, and each of them first half of the time.
      const [a, b] = call % 2 === 0 ? [existing, missing] : [missing, existing];
      const [ofA, ofB] = [await once(a), await once(b)];
      if (call < 0) continue;
      times.existing.push(call % 2 === 0 ? ofA : ofB);
      times.missing.push(call % 2 === 0 ? ofB : ofA);
    }
    const [one, other] = [median(times.existing), median(times.missing)];
    return {
      name,
      existing: one,
      missing: other,
      difference: Math.abs(one - other) / Math.min(one, other),
    };
  } finally {
    pool.close();
  }
}
