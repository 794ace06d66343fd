/**
 * The least that workerd can do for a hot route: no framework, no token, no header but the type; the round trip that the
 * answer needs, and the product's own reply, prepared.
 */
import { DurableObject } from "cloudflare:workers";
import type { BaselineEnv } from "./env.ts";

export class BareObject extends DurableObject<BaselineEnv> {
  constructor(ctx: DurableObjectState, env: BaselineEnv) {
    super(ctx, env);
    ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS results (id INTEGER PRIMARY KEY, body TEXT)");
  }

  poll(isKnown: boolean): string | null {
    return isKnown ? null : (this.env.REPLIES.poll ?? "");
  }

  write(body: string): string {
    this.ctx.storage.sql.exec("INSERT INTO results (body) VALUES (?)", body);
    return this.env.REPLIES.result ?? "";
  }
}

const JOBS = "/api/silicon-mark/v1/jobs";
const TYPE = { "content-type": "application/json" };

const prepared = new Map<string, Uint8Array<ArrayBuffer>>();

function reply({ REPLIES }: BaselineEnv, name: string, status = 200): Response {
  let bytes = prepared.get(name);
  if (bytes === undefined) {
    bytes = new Uint8Array(Buffer.from(REPLIES[name] ?? ""));
    prepared.set(name, bytes);
  }
  return new Response(bytes, { status, headers: TYPE });
}

export default {
  async fetch(request, env) {
    const { pathname } = new URL(request.url);
    if (pathname === `${JOBS}/current` || request.method === "PUT") {
      const stub = env.OBJECT.get(env.OBJECT.idFromName("one"));
      const text =
        request.method === "PUT"
          ? await stub.write(await request.text())
          : await stub.poll(request.headers.has("if-none-match"));
      return text === null
        ? new Response(null, { status: 304 })
        : new Response(text, { headers: TYPE });
    }
    if (pathname === JOBS && request.method === "GET") {
      await env.DB.prepare("SELECT 1").first();
      return reply(env, "list");
    }
    if (pathname === JOBS) {
      const row = env.DB.prepare("INSERT INTO bare_jobs (body) VALUES (?)");
      await row.bind(await request.text()).run();
      return reply(env, "create", 201);
    }
    if (pathname.startsWith(`${JOBS}/`)) {
      await env.DB.prepare("SELECT 1").first();
      const stored = await env.BUCKET.get(`results/${pathname.slice(JOBS.length + 1)}`);
      await stored?.arrayBuffer();
      return reply(env, "detail");
    }
    if (request.method === "POST") {
      await request.text();
      return reply(env, "claim");
    }
    return reply(env, "catalogue");
  },
} satisfies ExportedHandler<BaselineEnv>;
