import { locationHintFor } from "../coordinator/client.ts";
import { serve } from "../http/serve.ts";
import { requireUpgrade, upgraded } from "../http/upgrade.ts";
import { sentToken } from "../identity/guards.ts";
import type { LobbyNamespace } from "../lobbies/client.ts";
import { claimRoute, runnerChannelRoute } from "./claim-contract.ts";
import type { Claims } from "./claims.ts";
import type { RunnerAuth } from "./runner-auth.ts";

/** Pause of a runner without a job, s: with jitter, so that a fleet does not come as one wave. */
const IDLE_SECONDS = { min: 5, max: 10 };

/** Pause of a runner whose gang meets, s. */
const MEETING_SECONDS = 2;

interface ClaimDeps {
  claims: Claims;
  runnerAuth: RunnerAuth;
  lobbies: LobbyNamespace;
}

/** Calls of runners, with their keys. */
export const claimRoutes = ({ claims, runnerAuth, lobbies }: ClaimDeps) => [
  serve(runnerChannelRoute, async (c) => {
    requireUpgrade(c);
    const { waitForWork } = await import("./waiting.ts");
    const cf = c.req.raw.cf as { continent?: string; longitude?: string } | undefined;
    const socket = await waitForWork({
      runner: c.get("runner"),
      key: sentToken(c) ?? "",
      db: c.get("databases").primary,
      lobby: { namespace: lobbies, meter: c.get("meter") },
      hint: cf === undefined ? undefined : locationHintFor(cf),
      runnerAuth,
    });
    return upgraded(c, socket);
  }),

  serve(claimRoute, async (c) => {
    // The place where the request entered the network: present on the platform, absent in tests.
    const cf = c.req.raw.cf as { continent?: string; longitude?: string } | undefined;
    const call = {
      runner: c.get("runner"),
      db: c.get("databases").primary,
      meter: c.get("meter"),
      place: cf,
      later: (work: Promise<unknown>) => c.executionCtx.waitUntil(work),
    };
    const claimed = await claims.claim(call, c.req.valid("json"));
    if (claimed === null) c.set("isRoutine", true);
    if (claimed === null || claimed === "reserved") {
      c.header("Retry-After", String(claimed === null ? idleSeconds() : MEETING_SECONDS));
      return c.json(null, 200);
    }
    const { jobId, token, task, repeated } = claimed;
    if (repeated) c.header("Claim-Repeated", "true");
    return c.json({ job_id: String(jobId), token, task }, 200);
  }),
];

function idleSeconds(): number {
  const { min, max } = IDLE_SECONDS;
  return min + Math.floor(Math.random() * (max - min + 1));
}
