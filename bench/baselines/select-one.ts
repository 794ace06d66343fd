/** One round trip to D1 that reads nothing. */
import type { BaselineEnv } from "./env.ts";

export default {
  async fetch(_request, env) {
    await env.DB.prepare("SELECT 1").first();
    return new Response(env.PAYLOAD, { headers: { "content-type": "application/json" } });
  },
} satisfies ExportedHandler<BaselineEnv>;
