import type { Meter } from "../db/client.ts";
import { unavailable } from "../http/errors.ts";
import { platformFailure } from "../lib/platform-failure.ts";
import { retryPlatformCall, withTimeout } from "../lib/retry.ts";
import type { JobCoordinator } from "./job-coordinator.ts";
import type { Coordinator } from "./wire/protocol.ts";

/** No request waits longer than this for an object. */
const CALL_TIMEOUT_MS = 15_000;
const ATTEMPTS = 3;
/** For `watch`, which waits by itself: its caller comes back. */
export const WATCHING = { attempts: 1, timeoutMs: 35_000 };

/** The caller's place, as the platform reports it; the place of the first caller decides where the object lives. */
export interface CallerPlace {
  continent?: string | undefined;
  longitude?: string | undefined;
}

/** Calls one job's object: counted, bounded in time, and retried if the platform marks the failure as retryable. */
export type CallCoordinator = <T>(
  target: { jobId: number; meter: Meter; place?: CallerPlace | undefined },
  call: (coordinator: Coordinator) => Promise<T>,
) => Promise<T>;

export function createCoordinatorClient(
  namespace: DurableObjectNamespace<JobCoordinator>,
  { attempts, timeoutMs } = { attempts: ATTEMPTS, timeoutMs: CALL_TIMEOUT_MS },
): CallCoordinator {
  return async ({ jobId, meter, place }, call) => {
    const id = namespace.idFromName(String(jobId));
    const locationHint = place === undefined ? undefined : locationHintFor(place);
    const attempt = () => {
      meter.objectHops++;
      // Arguments and replies are plain data, which RPC does not change. The platform's stub type splits
      // unions into parts that no longer fit together.
      const coordinator = namespace.get(
        id,
        locationHint === undefined ? {} : { locationHint },
      ) as unknown as Coordinator;
      return withTimeout(call(coordinator), timeoutMs, "coordinator call");
    };
    try {
      return await retryPlatformCall(attempt, { attempts });
    } catch (error) {
      // Every call of `Coordinator` is safe to repeat, so the client may try again.
      throw unavailable(platformFailure(error)?.retryAfterSeconds ?? 2, error);
    }
  };
}

/** The platform's region nearest to a caller. East and west are split at about the middle of each continent. */
export function locationHintFor(place: CallerPlace): DurableObjectLocationHint | undefined {
  const longitude = Number(place.longitude ?? Number.NaN);
  switch (place.continent) {
    case "NA":
      return longitude < -100 ? "wnam" : "enam";
    case "SA":
      return "sam";
    case "EU":
      return longitude > 15 ? "eeur" : "weur";
    case "AF":
      return "afr";
    case "OC":
      return "oc";
    case "AS":
      return longitude < 60 ? "me" : "apac";
    default:
      return undefined;
  }
}
