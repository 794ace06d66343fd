/** Keys of bodies: a misspelt one is named wherever people send it, since 200 would hide that nothing was done. */
import { describe, test } from "vitest";
import { describedRoutes } from "../../../src/app.ts";
import { appDeps, call, expectError, join } from "../harness/client.ts";
import { createJob, createPerson } from "../harness/factories.ts";

const ORIGIN = "https://assay.test";
const UNKNOWN = "3f2504e0-4f89-41d3-9a0c-0305e82c3301";
const routes = (await describedRoutes(appDeps())).map(({ route }) => route);
const ofPeople = routes.flatMap(({ path, method, serving: { body, access } }) =>
  body === null || body.type === "form" || access === "node" || access === "runner"
    ? []
    : [{ path, method, names: body.keys?.names ?? [] }],
);

const send = async (path: string, method: string, body: object) => {
  const { token } = await createPerson({ role: "root_admin" });
  const target = path
    .replace("{user}", "me")
    .replace("{job_id}", "7554621440")
    .replace("{metric}", "bf16_tflops")
    .replaceAll(/\{\w+\}/g, UNKNOWN);
  return call(method.toUpperCase(), `${ORIGIN}${target}`, { token, body });
};

test("these are all changes by people", ({ expect }) => {
  expect(ofPeople.map(({ method, path }) => `${method} ${path}`).sort()).toEqual([
    "delete /api/silicon-mark/v1/jobs/delete",
    "patch /v0/customers/{customer}",
    "patch /v0/runners/{runner}",
    "patch /v0/specs/{spec}",
    "patch /v0/users/{user}",
    "patch /v0/users/{user}/keys/{key}",
    "patch /v0/users/{user}/tokens/{uuid}",
    "post /api/silicon-mark/v1/jobs",
    "post /api/silicon-mark/v1/jobs/anonymous",
    "post /api/silicon-mark/v1/jobs/{job_id}/shares",
    "post /api/user/login",
    "post /password",
    "post /setup",
    "post /v0/customers",
    "post /v0/runners",
    "post /v0/runners/{runner}/specs",
    "post /v0/specs",
    "post /v0/users",
    "post /v0/users/me/password",
    "post /v0/users/{user}/keys",
    "post /v0/users/{user}/tokens",
    "put /api/silicon-mark/v1/baselines/{model}/{metric}",
  ]);
});

describe.each(ofPeople)("$method $path", ({ path, method, names }) => {
  test("names the key that a misspelt one means, and ignores others", async ({ expect }) => {
    expect(names.length).toBeGreaterThan(0);
    for (const name of names) {
      const sent = [name.toUpperCase(), ...(name.length > 3 ? [`${name}x`, name.slice(1)] : [])];
      for (const key of sent.filter((each) => !names.includes(each))) {
        const reply = await send(path, method, { [key]: null });
        expectError(expect, reply, 400, "PARAMETER_INCORRECT_VALUE");
        expect(reply.body.message).toMatch(
          new RegExp(`^unknown field '${key}'; did you mean '[a-z_]+'\\?$`),
        );
      }
    }
    const reply = await send(path, method, { "x-of-mine": 1 });
    expect(JSON.stringify(reply.body)).not.toContain("of-mine");
  });
});

test("agents may send what they like beside what is known", async ({ expect }) => {
  const job = await createJob();
  const joined = await join(job, { machine_uuids: [1], gpu_modell: "x", inventary: {} });
  expect(joined.status).toBe(201);
});
