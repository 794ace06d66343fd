/** The API document: what every operation promises in it, and that its examples are true. */
import { createRoute, z } from "@hono/zod-openapi";
import { Ajv2020 } from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import { describe, test } from "vitest";
import { apiDocument, RELEASED_SERVERS, SERVED_SERVERS } from "../../../src/api/document.ts";
import { ERRORS } from "../../../src/api/errors.ts";
import { describedRoutes } from "../../../src/app.ts";
import { appDeps, call } from "../harness/client.ts";
import { createJob } from "../harness/factories.ts";
import {
  type ApiDocument,
  faultsOf,
  operationsOf,
  RELEASED,
  resolve,
  responsesOf,
} from "./api-promises.ts";

// As every client reads it: JSON.
const routes = await describedRoutes(appDeps());
const served: ApiDocument = JSON.parse(JSON.stringify(apiDocument(routes, SERVED_SERVERS)));
const operations = operationsOf(served);

const JOBS = "/api/silicon-mark/v1/jobs";
const BASELINE = "/api/silicon-mark/v1/baselines/{model}/{metric}";
const MACHINES = "/api/silicon-mark/v1/machines";
const USER = "OAuth2PasswordBearer";
const NODE = "JobToken";
const RUNNER = "RunnerBearer";

/** Every operation: who may call it, and exactly which statuses it declares. */
const EXPECTED = {
  "post /token createToken": ["", 200, 400, 429, 500, 503],
  "post /token/revoke revokeToken": ["", 200, 400, 429, 500, 503],
  "post /api/user/login login": ["", 200, 400, 401, 413, 415, 429, 500, 503],
  [`post ${JOBS} createJob`]: [USER, 201, 400, 401, 403, 404, 409, 413, 415, 422, 429, 500, 503],
  [`post ${JOBS}/anonymous createAnonymousJob`]: ["", 201, 400, 413, 415, 429, 500, 503],
  [`get ${JOBS} listJobs`]: [USER, 200, 400, 401, 429, 500, 503],
  [`get ${JOBS}/tags listJobTags`]: [USER, 200, 304, 400, 401, 429, 500, 503],
  [`get ${JOBS}/stats getJobStats`]: [USER, 200, 400, 401, 429, 500, 503],
  "get /api/silicon-mark/v1/baselines listBaselines": [USER, 200, 304, 400, 401, 429, 500, 503],
  [`get ${BASELINE} getBaseline`]: [USER, 200, 304, 400, 401, 404, 429, 500, 503],
  [`put ${BASELINE} pinBaseline`]: [USER, 200, 400, 401, 403, 412, 413, 415, 429, 500, 503],
  [`delete ${BASELINE} unpinBaseline`]: [USER, 204, 400, 401, 403, 404, 412, 429, 500, 503],
  [`delete ${JOBS}/delete deleteJob`]: [
    ...[USER, 200, 400, 401, 403, 404, 412, 413, 415, 429, 500, 503],
  ],
  [`delete ${JOBS}/{job_id} deleteJobById`]: [
    ...[USER, 200, 400, 401, 403, 404, 412, 429, 500, 503],
  ],
  [`get ${JOBS}/{job_id} getJob`]: [USER, 200, 304, 400, 401, 404, 429, 500, 503],
  [`get ${JOBS}/{job_id}/events streamJobEvents`]: [USER, 200, 400, 401, 404, 429, 500, 503],
  [`get ${JOBS}/{job_id}/results getJobResults`]: [
    ...[USER, 200, 304, 400, 401, 404, 429, 500, 503],
  ],
  [`post ${JOBS}/{job_id}/abort abortJob`]: [USER, 200, 400, 401, 403, 404, 429, 500, 503],
  "get /api/silicon-mark/v1/tasks listTasks": [USER, 200, 400, 401, 429, 500, 503],
  "get /api/silicon-mark/v1/tasks/{task_id}/results getTaskResults": [
    ...[USER, 200, 304, 400, 401, 404, 429, 500, 503],
  ],
  [`post ${JOBS}/{job_id}/report makeJobReport`]: [USER, 202, 400, 401, 403, 404, 429, 500, 503],
  [`post ${JOBS}/{job_id}/shares createJobShare`]: [
    ...[USER, 201, 400, 401, 403, 404, 413, 415, 422, 429, 500, 503],
  ],
  [`get ${JOBS}/{job_id}/shares listJobShares`]: [
    ...[USER, 200, 304, 400, 401, 404, 429, 500, 503],
  ],
  [`delete ${JOBS}/{job_id}/shares/{uuid} deleteJobShare`]: [
    ...[USER, 204, 400, 401, 403, 404, 429, 500, 503],
  ],
  "get /api/silicon-mark/v1/shared/{share} getSharedJob": [
    ...["", 200, 304, 400, 404, 429, 500, 503],
  ],
  "get /api/silicon-mark/v1/shared/{share}/results getSharedResults": [
    ...["", 200, 304, 400, 404, 429, 500, 503],
  ],
  "get /api/silicon-mark/v1/reports/{hash}/data getReportData": [
    ...["", 200, 304, 400, 404, 429, 500, 503],
  ],
  "get /.well-known/assay-report-keys.json getReportKeys": ["", 200, 304, 400, 429, 500, 503],
  "get /api/silicon-mark/v1/reports/{hash} getReport": [...["", 200, 304, 400, 404, 429, 500, 503]],
  "get /api/silicon-mark/v1/reports/files/{id} getReportFile": [
    ...["", 200, 206, 304, 400, 404, 416, 429, 500, 503],
  ],
  [`get ${MACHINES} listMachines`]: [USER, 200, 400, 401, 429, 500, 503],
  [`get ${MACHINES}/{machine_uuid} getMachine`]: [
    ...[USER, 200, 304, 400, 401, 404, 429, 500, 503],
  ],
  [`get ${MACHINES}/{machine_uuid}/history getMachineHistory`]: [
    ...[USER, 200, 304, 400, 401, 404, 429, 500, 503],
  ],
  "get /api/silicon-mark/v1/comparison compare": [USER, 200, 304, 400, 401, 429, 500, 503],
  "get /api/silicon-mark/v1/benchmarks listBenchmarks": [USER, 200, 304, 400, 401, 429, 500, 503],
  "get /v0/specs listSpecs": [USER, 200, 400, 401, 403, 429, 500, 503],
  "post /v0/specs createSpec": [USER, 201, 400, 401, 403, 413, 415, 422, 429, 500, 503],
  "get /v0/specs/{spec} getSpec": [USER, 200, 304, 400, 401, 403, 404, 429, 500, 503],
  "patch /v0/specs/{spec} updateSpec": [
    ...[USER, 200, 400, 401, 403, 404, 409, 412, 413, 415, 429, 500, 503],
  ],
  "delete /v0/specs/{spec} deleteSpec": [
    ...[USER, 204, 400, 401, 403, 404, 409, 412, 429, 500, 503],
  ],
  "get /api/silicon-mark/v1/specs listAvailableSpecs": [USER, 200, 400, 401, 429, 500, 503],
  "get /v0/customers listCustomers": [USER, 200, 400, 401, 403, 429, 500, 503],
  "post /v0/customers createCustomer": [
    ...[USER, 201, 400, 401, 403, 413, 415, 422, 429, 500, 503],
  ],
  "get /v0/customers/{customer} getCustomer": [
    ...[USER, 200, 304, 400, 401, 403, 404, 429, 500, 503],
  ],
  "patch /v0/customers/{customer} updateCustomer": [
    ...[USER, 200, 400, 401, 403, 404, 409, 412, 413, 415, 429, 500, 503],
  ],
  "get /v0/users listUsers": [USER, 200, 400, 401, 403, 429, 500, 503],
  "post /v0/users createUser": [
    ...[USER, 201, 400, 401, 403, 404, 409, 413, 415, 422, 429, 500, 503],
  ],
  "get /v0/users/me getOwnUser": [USER, 200, 304, 400, 401, 429, 500, 503],
  "post /v0/users/me/password changeOwnPassword": [
    ...[USER, 204, 400, 401, 403, 413, 415, 429, 500, 503],
  ],
  "get /v0/users/{user} getUser": [USER, 200, 304, 400, 401, 403, 404, 429, 500, 503],
  "patch /v0/users/{user} updateUser": [
    ...[USER, 200, 400, 401, 403, 404, 409, 412, 413, 415, 429, 500, 503],
  ],
  "delete /v0/users/{user} deleteUser": [USER, 204, 400, 401, 403, 404, 412, 429, 500, 503],
  "post /v0/users/{user}/password-link createPasswordLink": [
    ...[USER, 201, 400, 401, 403, 404, 422, 429, 500, 503],
  ],
  "post /password setPassword": ["", 204, 400, 413, 415, 429, 500, 503],
  "post /setup setUp": ["", 201, 400, 403, 404, 409, 413, 415, 429, 500, 503],
  "get /v0/users/{user}/tokens listApiTokens": [USER, 200, 400, 401, 403, 404, 429, 500, 503],
  "post /v0/users/{user}/tokens createApiToken": [
    ...[USER, 201, 400, 401, 403, 413, 415, 422, 429, 500, 503],
  ],
  "get /v0/users/{user}/tokens/{uuid} getApiToken": [
    ...[USER, 200, 304, 400, 401, 403, 404, 429, 500, 503],
  ],
  "delete /v0/users/{user}/tokens/{uuid} revokeApiToken": [
    ...[USER, 204, 400, 401, 403, 404, 412, 429, 500, 503],
  ],
  "patch /v0/users/{user}/tokens/{uuid} updateApiToken": [
    ...[USER, 200, 400, 401, 403, 404, 412, 413, 415, 429, 500, 503],
  ],
  "get /v0/users/{user}/keys listUserKeys": [USER, 200, 400, 401, 403, 404, 429, 500, 503],
  "post /v0/users/{user}/keys createUserKey": [
    ...[USER, 201, 400, 401, 403, 413, 415, 422, 429, 500, 503],
  ],
  "get /v0/users/{user}/keys/{key} getUserKey": [
    ...[USER, 200, 304, 400, 401, 403, 404, 429, 500, 503],
  ],
  "patch /v0/users/{user}/keys/{key} updateUserKey": [
    ...[USER, 200, 400, 401, 403, 404, 412, 413, 415, 429, 500, 503],
  ],
  "delete /v0/users/{user}/keys/{key} revokeUserKey": [
    ...[USER, 204, 400, 401, 403, 404, 412, 429, 500, 503],
  ],
  "get /v0/audit listAuditEvents": [USER, 200, 400, 401, 403, 429, 500, 503],
  "get /v0/runners listRunners": [USER, 200, 400, 401, 403, 429, 500, 503],
  "post /v0/runners createRunner": [USER, 201, 400, 401, 403, 409, 413, 415, 422, 429, 500, 503],
  "get /v0/runners/{runner} getRunner": [USER, 200, 304, 400, 401, 403, 404, 429, 500, 503],
  "patch /v0/runners/{runner} updateRunner": [
    ...[USER, 200, 400, 401, 403, 404, 409, 412, 413, 415, 429, 500, 503],
  ],
  "post /v0/runners/{runner}/key rotateRunnerKey": [
    ...[USER, 201, 400, 401, 403, 404, 409, 422, 429, 500, 503],
  ],
  "get /v0/runners/{runner}/specs listRunnerSpecs": [
    ...[USER, 200, 400, 401, 403, 404, 429, 500, 503],
  ],
  "post /v0/runners/{runner}/specs offerRunnerSpec": [
    ...[USER, 201, 400, 401, 403, 404, 409, 413, 415, 422, 429, 500, 503],
  ],
  "delete /v0/runners/{runner}/specs/{spec} withdrawRunnerSpec": [
    ...[USER, 204, 400, 401, 403, 404, 412, 429, 500, 503],
  ],
  "post /v0/runners/{runner}/jobs claimJob": [RUNNER, 200, 400, 401, 413, 415, 429, 500, 503],
  "get /v0/runners/{runner}/channel openRunnerChannel": [
    ...[RUNNER, 101, 400, 401, 426, 429, 500, 503],
  ],
  [`get ${JOBS}/current/channel openCurrentChannel`]: [
    ...[NODE, 101, 400, 401, 409, 426, 429, 500, 503],
  ],
  [`get ${JOBS}/current pollCurrentJob`]: [...[NODE, 200, 304, 400, 401, 403, 404, 429, 500, 503]],
  [`post ${JOBS}/current/tasks joinCurrentJob`]: [
    ...[NODE, 200, 201, 400, 401, 403, 409, 413, 415, 429, 500, 503],
  ],
  [`patch ${JOBS}/current/tasks/{task_id} updateCurrentTask`]: [
    ...[NODE, 200, 400, 401, 403, 404, 409, 413, 415, 429, 500, 503],
  ],
  [`put ${JOBS}/current/tasks/{task_id}/results/{position} putStepResult`]: [
    ...[NODE, 200, 400, 401, 403, 404, 409, 413, 415, 422, 429, 500, 503],
  ],
  [`post ${JOBS}/{job_id}/generate-report generateReport`]: [
    ...[NODE, 202, 400, 401, 404, 409, 429, 500, 503],
  ],
  "get /health getHealth": ["", 200, 400, 429, 500, 503],
  "get /v0/server/version getServerVersion": ["", 200, 400, 429, 500, 503],
  "get /v0/server/spec getServerSpec": ["", 200, 304, 400, 429, 500, 503],
};

describe("operations", () => {
  test("each one there is, who may call it, and exactly what it can answer", ({ expect }) => {
    const declared = operations.map(({ name, operation }) => [
      name,
      [
        Object.keys(operation.security?.[0] ?? {}).join(),
        ...Object.keys(operation.responses).map(Number),
      ],
    ]);
    expect(Object.fromEntries(declared)).toEqual(EXPECTED);
  });

  test("each one keeps the promises that all of them make", ({ expect }) => {
    expect(faultsOf(served)).toEqual([]);
  });

  test("a route made without the helper is noticed", ({ expect }) => {
    const bare = createRoute({
      method: "get",
      path: "/bare",
      operationId: "getBare",
      responses: {
        200: { description: "", content: { "application/json": { schema: z.object({}) } } },
      },
    });
    const all = [...routes, { route: bare }];
    const document: ApiDocument = JSON.parse(JSON.stringify(apiDocument(all, RELEASED_SERVERS)));
    expect(faultsOf(document)).toEqual([
      "getBare has no tag of the document",
      "getBare has no summary",
      "getBare has no description",
      "getBare does not say who may call it",
      "getBare does not declare 400",
      "getBare does not declare 429",
      "getBare does not declare 500",
      "getBare does not declare 503",
      "getBare 200 lacks the header x-request-id",
      "getBare 200 lacks the header RateLimit-Policy",
      "getBare 200 lacks the header Access-Control-Allow-Origin",
      "getBare 200 has no example",
    ]);
  });

  test("lists, single resources and creation declare what clients rely on", ({ expect }) => {
    const having = (header: string) =>
      responsesOf(served)
        .filter(({ response }) => header in (response.headers ?? {}))
        .map(({ id, status }) => `${id} ${status}`);
    const taking = (parameter: string) =>
      operations
        .filter(({ operation }) =>
          (operation.parameters ?? []).some(
            (each) => resolve<{ name: string }>(served, each).name.toLowerCase() === parameter,
          ),
        )
        .map(({ operation }) => operation.operationId);
    const lists = [
      ...["listApiTokens 200", "listAuditEvents 200", "listAvailableSpecs 200"],
      ...[
        "listCustomers 200",
        "listJobs 200",
        "listMachines 200",
        "listRunnerSpecs 200",
        "listRunners 200",
      ],
      ...["listSpecs 200", "listTasks 200", "listUserKeys 200", "listUsers 200"],
    ];
    expect(having("X-Total-Count").sort()).toEqual(lists);
    expect(having("Link").sort()).toEqual(lists);
    const creating = [
      ...["createApiToken", "createCustomer", "createJob", "createJobShare", "createPasswordLink"],
      ...["createRunner", "createSpec", "createUser", "createUserKey"],
      ...["offerRunnerSpec", "rotateRunnerKey"],
    ];
    expect(having("Idempotency-Replayed").sort()).toEqual(creating.map((id) => `${id} 201`));
    expect(taking("idempotency-key").sort()).toEqual(creating);
    expect(taking("assay-task-token").sort()).toEqual([
      ...["pollCurrentJob", "putStepResult", "updateCurrentTask"],
    ]);
    expect(taking("if-match").sort()).toEqual([
      ...["deleteJob", "deleteJobById", "deleteSpec", "deleteUser"],
      ...["pinBaseline", "revokeApiToken", "revokeUserKey", "unpinBaseline"],
      ...["updateApiToken", "updateCustomer"],
      ...["updateRunner", "updateSpec", "updateUser", "updateUserKey", "withdrawRunnerSpec"],
    ]);
    const single = [
      ...["compare", "getApiToken", "getBaseline", "getCustomer", "getJob", "getJobResults"],
      ...["getMachine", "getMachineHistory", "getOwnUser", "getReport"],
      ...[
        "getReportData",
        "getReportFile",
        "getReportKeys",
        "getRunner",
        "getServerSpec",
        "getSharedJob",
        "getSharedResults",
        "getSpec",
        "getTaskResults",
        "getUser",
        "getUserKey",
        "listBaselines",
        "listBenchmarks",
        "listJobShares",
        "listJobTags",
        "pollCurrentJob",
      ],
    ];
    expect(taking("if-none-match").sort()).toEqual(single);
    for (const id of single) {
      expect(having("ETag")).toEqual(expect.arrayContaining([`${id} 200`, `${id} 304`]));
    }
  });
});

describe("examples", () => {
  const ajv = new Ajv2020({ strict: true, allErrors: true, allowUnionTypes: true });
  addFormats(ajv);
  for (const keyword of ["example", "components"]) ajv.addKeyword(keyword);
  ajv.addSchema({ $id: "document", components: served.components }, "document");

  /** The fault of an example, or null. */
  function fault(schema: object, example: unknown): string | null {
    const pointed = JSON.stringify(schema).replaceAll('"#/', '"document#/');
    const validate = ajv.compile(JSON.parse(pointed));
    return validate(example) ? null : ajv.errorsText(validate.errors);
  }

  test("each request and reply has some, and they fit its schema", ({ expect }) => {
    for (const { id, status, response } of responsesOf(served)) {
      for (const [type, { schema, examples }] of Object.entries(response.content ?? {})) {
        expect(examples, `${id} ${status}`).not.toHaveLength(0);
        for (const example of examples) {
          expect(fault(schema, example), `${id} ${status} ${type}`).toBeNull();
        }
      }
    }
  });

  test("those of errors have the code and status that they stand for", ({ expect }) => {
    let count = 0;
    for (const { status, response } of responsesOf(served)) {
      const { schema, examples = [] } = response.content?.["application/json"] ?? {};
      if (schema === undefined || !("$ref" in schema) || !String(schema.$ref).endsWith("/Error")) {
        continue;
      }
      for (const example of examples) {
        const { code } = (example as { error: { code: keyof typeof ERRORS } }).error; // fits the schema
        expect(ERRORS[code].status, code).toBe(Number(status));
        expect(response.description).toContain(`\`${code}\``);
        count++;
      }
    }
    expect(count).toBeGreaterThan(operations.length * 4);
  });

  test("a query has those of parameters that it must have, since consoles send what they find", ({
    expect,
  }) => {
    type Parameter = { name: string; in: string; required?: boolean; example?: unknown };
    const all = operations.flatMap(({ operation }) =>
      (operation.parameters ?? []).map((one) => resolve<Parameter>(served, one)),
    );
    const [withExample, without] = [true, false].map((has) =>
      all.filter(({ example }) => (example !== undefined) === has),
    );
    const isNeeded = (one: Parameter) => one.in === "query" && one.required === true;
    expect(withExample?.map(({ name }) => name)).toEqual(
      expect.arrayContaining(["group_by", "key", "expires", "signature"]),
    );
    expect(withExample?.filter((one) => !isNeeded(one))).toEqual([]);
    expect(without?.filter(isNeeded)).toEqual([]);
  });

  test("those of parameters and headers fit theirs", ({ expect }) => {
    const { headers = {}, parameters = {} } = served.components;
    const inline = operations.flatMap(({ operation }) => operation.parameters ?? []);
    const all = [...Object.values(headers), ...Object.values(parameters), ...inline];
    for (const one of all) {
      const { schema, example } = resolve<{ schema: { example?: unknown }; example?: unknown }>(
        served,
        one,
      );
      const shown = example ?? schema.example;
      if (shown !== undefined) expect(fault(schema, shown), JSON.stringify(one)).toBeNull();
    }
  });
});

describe("the document itself", () => {
  test("the released one differs from the served one in its server only", ({ expect }) => {
    const { servers, ...rest } = served;
    const { servers: releasedServers, ...releasedRest } = RELEASED;
    expect(servers.map(({ url }) => url)).toEqual(["/"]);
    expect(releasedServers.map(({ url }) => url)).toEqual(["https://assay.example"]);
    // A difference here is mended by npm run openapi.
    expect(rest).toEqual(releasedRest);
  });

  test("the Worker serves every operation", async ({ expect }) => {
    for (const { name } of operations) {
      const [method = "", path = ""] = name.split(" ");
      const url = `https://assay.test${path.replaceAll(/\{\w+\}/g, "1")}`;
      for (const spelled of [url, url.replace("test/", "test//"), `${url}/`]) {
        const allow = (await call("OPTIONS", spelled)).headers.get("allow");
        expect(allow?.split(", "), `${method} ${spelled}`).toContain(method.toUpperCase());
      }
    }
    for (const path of ["/v0", "/v0x", "/tokens", "/api/silicon-mark/v1/specsheet", "/api"]) {
      const reply = await call("GET", `https://assay.test${path}`);
      expect([reply.status, reply.body.error.code], path).toEqual([404, "RESOURCE_NOT_FOUND"]);
    }
  });

  test("static words of a path are not job ids", async ({ expect }) => {
    const job = await createJob();
    const reply = await call("GET", "/jobs/current", { token: job.token });
    expect(reply.body.directive).toBe("join");
  });
});
