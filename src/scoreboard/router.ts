import { readIfMatch, versionTag } from "../http/entity-tag.ts";
import { changed, empty, single } from "../http/replies.ts";
import { serve } from "../http/serve.ts";
import { originOf } from "../identity/origin.ts";
import type { Clock } from "../lib/clock.ts";
import type { RatingThresholds } from "../lib/config.ts";
import {
  getBaselineRoute,
  listBaselinesRoute,
  pinBaselineRoute,
  unpinBaselineRoute,
} from "./contract.ts";
import { allBaselines, pin, unpin, viewBaseline } from "./service.ts";

interface BaselinesDeps {
  clock: Clock;
  thresholds: RatingThresholds;
}

export const baselinesRoutes = ({ clock, thresholds }: BaselinesDeps) => [
  serve(listBaselinesRoute, async (c) =>
    single(c, await allBaselines(c.get("databases").session, thresholds)),
  ),

  serve(getBaselineRoute, async (c) => {
    const key = { ...c.req.valid("param"), ...c.req.valid("query") };
    const { session } = c.get("databases");
    const { baseline, ...version } = await viewBaseline(session, key, thresholds);
    return single(c, baseline, versionTag(version));
  }),

  serve(pinBaselineRoute, async (c) => {
    const key = { ...c.req.valid("param"), ...c.req.valid("query") };
    const { value } = c.req.valid("json");
    const { session } = c.get("databases");
    const audit = { origin: originOf(c), now: clock.now() };
    const pinned = await pin(session, key, value, readIfMatch(c), audit, thresholds);
    return changed(c, pinned.baseline, versionTag(pinned));
  }),

  serve(unpinBaselineRoute, async (c) => {
    const key = { ...c.req.valid("param"), ...c.req.valid("query") };
    const audit = { origin: originOf(c), now: clock.now() };
    await unpin(c.get("databases").session, key, readIfMatch(c), audit);
    return empty(c);
  }),
];
