/** One hop to an object: it reads what it holds, or writes one row, and answers. */
import { DurableObject } from "cloudflare:workers";
import type { BaselineEnv } from "./env.ts";

export class BareObject extends DurableObject<BaselineEnv> {
  constructor(ctx: DurableObjectState, env: BaselineEnv) {
    super(ctx, env);
    ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS results (id INTEGER PRIMARY KEY, body TEXT)");
  }

  read(): string {
    return this.env.PAYLOAD;
  }

  write(body: string): string {
    this.ctx.storage.sql.exec("INSERT INTO results (body) VALUES (?)", body);
    return this.env.PAYLOAD;
  }
}

export default {
  async fetch(request, env) {
    const stub = env.OBJECT.get(env.OBJECT.idFromName("one"));
    const text =
      request.method === "PUT" ? await stub.write(await request.text()) : await stub.read();
    return new Response(text, { headers: { "content-type": "application/json" } });
  },
} satisfies ExportedHandler<BaselineEnv>;
