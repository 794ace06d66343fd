/** The console of the docs page as it opens: every operation is sent without an edit, twice on one server. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { expect, onTestFinished, test } from "vitest";
import { ROOT } from "../../scripts/lib/project.ts";
import { patient } from "../patience.ts";
import { browserPath, openBrowser, signIn, withBrowser } from "./browser.ts";
import { createStack } from "./stack.ts";

/**
 * The status of each operation without values in its path; for a root administrator who has signed in. Those with such
 * values open with an empty field, and nothing is sent before it is filled in.
 */
const EXPECTED: Readonly<Record<string, number | [first: number, second: number]>> = {
  // Fields for people, passwords and tokens open empty; the reply names the first.
  createToken: 400,
  login: 400,
  createUser: 400,
  changeOwnPassword: 400,
  setPassword: 400,
  setUp: 400,
  createJob: 201,
  listJobs: 200,
  createAnonymousJob: 201,
  getJobStats: 200,
  listJobTags: 200,
  // The job of the sample is not there.
  deleteJob: 404,
  listTasks: 200,
  listMachines: 200,
  compare: 200,
  listBenchmarks: 200,
  listBaselines: 200,
  createSpec: 201,
  listSpecs: 200,
  listAvailableSpecs: 200,
  createCustomer: 201,
  listCustomers: 200,
  listUsers: 200,
  getOwnUser: 200,
  listAuditEvents: 200,
  // The slug that its name makes is taken then.
  createRunner: [201, 409],
  listRunners: 200,
  // These ask for a job's token.
  pollCurrentJob: 401,
  joinCurrentJob: 401,
  openCurrentChannel: 401,
  getReportKeys: 200,
  getServerVersion: 200,
  getServerSpec: 200,
  getHealth: 200,
  // Last, since it could end the session.
  revokeToken: 400,
};

/** What people read of a refusal: the credential that is asked for, or the field. */
const WORDS: Readonly<Record<string, RegExp>> = {
  401: /"Invalid or expired job token"/,
  400: /"details":\[\{"field":"\w+"|"error_description":"(?:username and password|token)\b/,
};

interface Operation {
  id: string;
  method: string;
  path: string;
  tag: string;
}

const executable = browserPath();

test.skipIf(!withBrowser())(
  "each operation of the console works as it opens",
  {
    timeout: patient(600_000),
  },
  async () => {
    const operations = readOperations();
    expect(
      operations
        .filter(({ path }) => !path.includes("{"))
        .map(({ id }) => id)
        .sort(),
    ).toEqual(Object.keys(EXPECTED).sort());
    const server = await (await createStack()).start();
    const browser = await openBrowser(executable ?? "");
    onTestFinished(() => browser.close());
    const strangers: string[] = [];
    for (const [at, round] of ["first", "second"].entries()) {
      const page = await browser.newPage();
      page.setDefaultTimeout(patient(30_000));
      page.on("request", (request) => {
        if (!/^(?:data|blob):/.test(request.url()) && !request.url().startsWith(server.url)) {
          strangers.push(request.url());
        }
      });
      await page.goto(`${server.url}/docs`);
      await signIn(page, server);
      await page.getByText("Requests are sent as").waitFor();
      // A second time shows something new of what changes something.
      const sent = operations.filter(
        ({ path, method }) => at === 0 || (method !== "GET" && !path.includes("{")),
      );
      for (const operation of sent) {
        const outcome = await send(page, server.url, operation).catch((error) => {
          throw new Error(`${operation.id}, ${round} time`, { cause: error });
        });
        const known = EXPECTED[operation.id];
        const status = Array.isArray(known) ? known[at] : known;
        const expected = operation.path.includes("{") ? "asks" : status;
        expect(outcome.status, `${operation.id}, ${round} time`).toBe(expected);
        expect(outcome.said, operation.id).toMatch(WORDS[outcome.status] ?? "");
      }
      await page.close();
    }
    expect(strangers, "no other origin is asked").toEqual([]);
  },
);

function readOperations(): Operation[] {
  type Item = Record<string, { operationId: string; tags: string[] }>;
  const { paths }: { paths: Record<string, Item> } = JSON.parse(
    readFileSync(join(ROOT, "public/openapi.json"), "utf8"),
  );
  const all = Object.entries(paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, { operationId: id, tags }]) => {
      return { id, method: method.toUpperCase(), path, tag: tags[0] ?? "" };
    }),
  );
  return [
    ...all.filter(({ id }) => id !== "revokeToken"),
    ...all.filter(({ id }) => id === "revokeToken"),
  ];
}

/** Opens an operation and presses send: its status, or that it asks for the values of its path. */
async function send(page: Page, origin: string, { method, path, tag }: Operation) {
  const id = `tag/${tag.toLowerCase().replaceAll(" ", "-")}/${method}${path}`;
  await page.evaluate(`location.hash = ${JSON.stringify(id)}`);
  const section = page.locator(`[id="api-1/${id}"]`);
  await section.getByRole("button", { name: /Test Request/ }).click();
  const dialog = page.getByRole("dialog");
  const button = dialog.getByRole("button", { name: /^Send/ }).first();
  await button.waitFor();
  if (path.includes("{")) {
    await button.click();
    await page.getByText("Path parameters must have values").last().waitFor();
    await close(page);
    return { status: "asks", said: "" } as const;
  }
  const reply = page.waitForResponse((response) => {
    // Required parameters carry their samples.
    const [address] = response.url().split("?");
    return address === origin + path && response.request().method() === method;
  });
  await button.click();
  const response = await reply;
  const status = response.status();
  const said = status < 400 ? "" : await response.text();
  await close(page);
  return { status, said };
}

async function close(page: Page): Promise<void> {
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "hidden" });
}
