/** The least that Hono does: one route, one constant body. */
import { Hono } from "hono";
import type { BaselineEnv } from "./env.ts";

let body: unknown;

const app = new Hono<{ Bindings: BaselineEnv }>();
app.get("/", (c) => {
  body ??= JSON.parse(c.env.PAYLOAD);
  return c.json(body);
});

export default app;
