import type { OpenAPIHono } from "@hono/zod-openapi";
import packageJson from "../package.json" with { type: "json" };
import type { RequestEnv } from "./http/context.ts";

/** The API document (OpenAPI 3.1), built from the route contracts on first use and kept as text. */
export function describeApi(app: OpenAPIHono<RequestEnv>): () => string {
  app.openAPIRegistry.registerComponent("securitySchemes", "OAuth2PasswordBearer", {
    type: "oauth2",
    description: "A person's token, from `POST /token`.",
    flows: { password: { tokenUrl: "/token", scopes: {} } },
  });
  app.openAPIRegistry.registerComponent("securitySchemes", "JobToken", {
    type: "http",
    scheme: "bearer",
    bearerFormat: "JWT",
    description: "The token of one job, from its creation or detail; agents use it.",
  });
  let text: string | undefined;
  return () => {
    text ??= JSON.stringify(
      app.getOpenAPI31Document({
        openapi: "3.1.0",
        info: {
          title: "Assay",
          version: packageJson.version,
          description:
            "An open control plane for hardware benchmarks. Create a job, start an agent on each machine with the job's token, read the results.",
          license: { name: "Apache-2.0", url: "https://www.apache.org/licenses/LICENSE-2.0" },
        },
        servers: [{ url: "/" }],
        tags: [
          { name: "Sign-in", description: "Tokens for people." },
          { name: "Jobs", description: "Benchmark jobs as their owners see them." },
          { name: "Benchmarks", description: "What a job can run." },
          { name: "Node protocol", description: "What the agent on each machine calls." },
        ],
      }),
    );
    return text;
  };
}
