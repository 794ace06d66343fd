/** Parameters in brackets, misspelt ones and unknown ones, in every list of the API. */
import { z } from "@hono/zod-openapi";
import { describe, test } from "vitest";
import { describedRoutes } from "../../../src/app.ts";
import { appDeps, call, expectError, join, machineUuid } from "../harness/client.ts";
import { createJob, createPerson } from "../harness/factories.ts";

const ORIGIN = "https://assay.test";
const admin = await createPerson({ role: "root_admin" });
const { token } = admin;
const machine = machineUuid();
await join(await createJob(), { machine_uuid: machine });
const runner = await call("POST", `${ORIGIN}/v0/runners`, { token, body: { name: "Rack" } });
const routes = (await describedRoutes(appDeps())).map(({ route }) => route);
const withQuery = routes.flatMap(({ path, method, serving, request }) =>
  serving.query === null ? [] : [{ path, method, ...serving.query, query: request?.query }],
);
const lists = withQuery.filter(({ refusesNear, method }) => refusesNear && method === "get");
/** Each list is asked by a person of its own: one alone would reach the limit of requests. */
const admins = new Map<string, string>();
async function ask(path: string, query: string) {
  const asker = admins.get(path) ?? (await createPerson({ role: "root_admin" })).token;
  admins.set(path, asker);
  const target = path
    .replace("{user}", "me")
    .replace("{runner}", runner.body.uuid)
    .replace("{machine_uuid}", machine);
  const sent = new Set(query.split("&").map((pair) => pair.split(/[[=%]/)[0]));
  const needed = (REQUIRED[path] ?? []).filter((pair) => !sent.has(pair.split("=")[0]));
  return call("GET", `${ORIGIN}${target}?${[query, ...needed].join("&")}`, { token: asker });
}

/** Parameters without which there is no reply. */
const REQUIRED: Record<string, readonly string[]> = {
  "/api/silicon-mark/v1/comparison": ["group_by=provider", "key=a", "key=b"],
};

/** Every query parameter of the two published pages, with a value that its own list takes. */
const PUBLISHED = {
  "/api/silicon-mark/v1/jobs": [
    ...[
      "page=1",
      "per_page=20",
      "sort_by=created_at",
      "sort_order=desc",
      "state=completed",
      "name=x",
    ],
    ...[
      "benchmark_id=quick_mark",
      "tags=a",
      "tags=b",
      "created_after=2024-03-15",
      "created_before=2030-03-15",
    ],
    ...["node_count_min=1", "node_count_max=256", "include_results=true", "include=performance"],
    ...["include=performance_nodes", "has_performance_data=true"],
  ],
  "/api/silicon-mark/v1/jobs/stats": [
    ...[
      "benchmark_id=quick_mark",
      "name=x",
      "tags=a",
      "state=completed",
      "sort_by=created_at",
      "sort_order=asc",
    ],
  ],
  "/v0/specs": [
    ...[
      "direction=asc",
      "page=1",
      "per_page=8",
      "sort=name",
      "archived=true",
      "name=x",
      "search=x",
    ],
  ],
};

test("the lists are all lists of the API that take parameters", ({ expect }) => {
  expect(lists.map(({ path }) => path).sort()).toEqual([
    "/api/silicon-mark/v1/comparison",
    "/api/silicon-mark/v1/jobs",
    "/api/silicon-mark/v1/jobs/stats",
    "/api/silicon-mark/v1/machines",
    "/api/silicon-mark/v1/machines/{machine_uuid}/history",
    "/api/silicon-mark/v1/specs",
    "/api/silicon-mark/v1/tasks",
    "/v0/audit",
    "/v0/customers",
    "/v0/runners",
    "/v0/runners/{runner}/specs",
    "/v0/specs",
    "/v0/users",
    "/v0/users/{user}/keys",
    "/v0/users/{user}/tokens",
  ]);
  for (const { names } of withQuery) expect(names.length).toBeGreaterThan(0);
});

describe.each(lists)("$path", ({ path, names, query }) => {
  test("every parameter works in brackets, and names itself when it is misspelt", async ({
    expect,
  }) => {
    // `\u0001` is allowed in no value, so what is read is refused.
    for (const name of names) {
      for (const sent of [`${name}[]`, `${name}[0]`, `${name}%5B%5D`]) {
        const refused = await ask(path, `${sent}=%01`);
        expectError(expect, refused, 400, "PARAMETER_INCORRECT_VALUE");
        expect(refused.body.error.details[0].field.split(".")[0], sent).toBe(name);
      }
      for (const sent of [
        `${name}x`,
        `${name.toUpperCase()}`,
        `${name}[size]`,
        `${name}[][]`,
        `${name}s[]`,
      ]) {
        const meant = names.includes(sent.replace("[]", "")) ? null : sent;
        if (meant === null || (name.length < 4 && sent.endsWith("x"))) continue;
        const refused = await ask(path, `${sent}=x`);
        expectError(expect, refused, 400, "PARAMETER_INCORRECT_VALUE");
        const [detail] = refused.body.error.details;
        expect(detail.field).toBe(sent);
        expect(detail.message).toMatch(/^is not a parameter here; did you mean [a-z_]+\?$/);
        expect(refused.body.message).toBe(`${sent} ${detail.message}`);
      }
    }
  });

  test("a single parameter given twice is 400, in whichever form", async ({ expect }) => {
    expect(query).toBeInstanceOf(z.ZodType);
    if (!names.includes("page")) return;
    for (const twice of [
      "page=1&page=1",
      "page=1&page[]=1",
      "page[]=1&page[]=2",
      "page[0]=1&page[1]=2",
    ]) {
      const refused = await ask(path, twice);
      expectError(expect, refused, 400, "PARAMETER_INCORRECT_VALUE");
      expect(refused.body.error.details[0].field, twice).toBe("page");
    }
  });

  test("unknown ones are ignored: those of caches and trackers, and those of the published pages", async ({
    expect,
  }) => {
    const others = Object.values(PUBLISHED)
      .flat()
      .filter((pair) => !names.includes(pair.split("=")[0] ?? ""))
      // Machines have a status, which a state nearly is.
      .filter((pair) => !(names.includes("status") && pair.startsWith("state=")));
    const usual = [
      "_=1",
      "t=2",
      "ts=3",
      "v=4",
      "utm_source=x",
      "gclid=x",
      "date=x",
      "note=x",
      "limit=5",
      "offset=5",
    ];
    const sent = [
      ...new Set([
        ...others,
        ...usual,
        "filter[x]=1",
        "__proto__=1",
        "constructor=1",
        "=1",
        "[]=1",
      ]),
    ];
    const reply = await ask(path, sent.join("&"));
    expect(reply.status, reply.text).toBe(200);
  });
});

test.for(Object.entries(PUBLISHED))(
  "%s takes its published parameters",
  async ([path, pairs], { expect }) => {
    const reply = await ask(path, pairs.join("&"));
    expect(reply.status, reply.text).toBe(200);
    const bracketed = pairs.map((pair) => pair.replace("=", "[]="));
    const again = await ask(path, bracketed.join("&"));
    expect(again.text).toBe(reply.text);
  },
);

describe("jobs", () => {
  test("filters in brackets filter, beside their plain form, and stay in the links", async ({
    expect,
  }) => {
    const owner = await createPerson();
    const [both] = [
      await createJob({ tags: ["a", "b"] }, owner),
      await createJob({ tags: ["a"] }, owner),
    ];
    await createJob({ tags: ["a", "b"] }, owner);
    const list = (query: string) => call("GET", `/jobs?${query}`, { token: owner.token });
    for (const query of [
      "tags=a&tags[]=b",
      "tag[]=a&tags[1]=b",
      "tag[]=a&tag[]=b",
      "tags[]=a&tags[]=b&state[]=created",
    ]) {
      const page = await list(`${query}&per_page[]=1&x=1`);
      expect(page.headers.get("x-total-count"), query).toBe("2");
      const next = /<([^>]+)>; rel="next"/.exec(page.headers.get("link") ?? "")?.[1] ?? "";
      expect(next).not.toMatch(/%5B|\[|x=1/);
      const rest = await call("GET", next, { token: owner.token });
      expect(rest.body.results.map(({ id }: { id: string }) => id)).toEqual([both.id]);
    }
    expect((await list("state[]=completed")).headers.get("x-total-count")).toBe("0");
  });

  test.for([
    ["status=completed", "status is not a parameter here; did you mean state?"],
    ["benchmark=quick_mark", "benchmark is not a parameter here; did you mean benchmark_id?"],
    ["page[number]=2", "page[number] is not a parameter here; did you mean page?"],
  ] as const)("%s is refused with the name that is meant", async ([query, message], { expect }) => {
    expectError(
      expect,
      await call("GET", `/jobs?${query}`, { token }),
      400,
      "PARAMETER_INCORRECT_VALUE",
      message,
    );
    const anonymous = await call("GET", `/jobs?${query}`);
    expectError(expect, anonymous, 401, "CLIENT_TOKEN_INVALID");
  });

  test("a change is not made when a parameter is misspelt", async ({ expect }) => {
    const changes = withQuery.filter(({ method }) => method !== "get");
    expect(changes.map(({ method, path }) => `${method} ${path}`).sort()).toEqual([
      "delete /api/silicon-mark/v1/baselines/{model}/{metric}",
      "post /api/silicon-mark/v1/jobs/{job_id}/report",
      "put /api/silicon-mark/v1/baselines/{model}/{metric}",
    ]);
    const path = "/baselines/h100-nvl/bf16_tflops";
    const body = { value: 800 };
    for (const [query, meant] of [
      ["Class=torch-gemm", "class"],
      ["clas=torch-gemm", "class"],
    ]) {
      const reply = await call("PUT", `${path}?${query}`, { token, body });
      const sent = query?.split("=")[0];
      const message = `${sent} is not a parameter here; did you mean ${meant}?`;
      expectError(expect, reply, 400, "PARAMETER_INCORRECT_VALUE", message);
    }
    const pinned = await call("PUT", `${path}?class=torch-gemm&x=1`, { token, body });
    expect(pinned.status, pinned.text).toBe(200);
    const job = await createJob();
    const report = await call("POST", `/jobs/${job.id}/report?papers=a4`, {
      token: job.owner.token,
    });
    const message = "papers is not a parameter here; did you mean paper?";
    expectError(expect, report, 400, "PARAMETER_INCORRECT_VALUE", message);
  });

  test("one resource ignores what it does not know", async ({ expect }) => {
    const job = await createJob();
    const read = (query: string) =>
      call("GET", `/jobs/${job.id}/results?${query}`, { token: job.owner.token });
    expect((await read("include_display_name=true")).status).toBe(200);
    expectError(expect, await read("include_display_names[]=x"), 400, "PARAMETER_INCORRECT_VALUE");
  });
});
