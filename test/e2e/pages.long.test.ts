/** The pages as a person uses them, in a browser: what they keep of a password or a token. */
import { randomUUID } from "node:crypto";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from "vitest";
import type { RunningServer } from "../../scripts/lib/server.ts";
import { patient } from "../patience.ts";
import { quickMarkFigures, stepResult } from "../world/results.ts";
import { browserPath, openBrowser, signIn, withBrowser } from "./browser.ts";
import { createStack } from "./stack.ts";

const executable = browserPath();

describe.skipIf(!withBrowser())("pages", () => {
  let server: RunningServer;
  beforeAll(async () => {
    server = await (await createStack(afterAll)).start();
  });

  async function open(path: string): Promise<Page> {
    const browser = await openBrowser(executable ?? "");
    onTestFinished(() => browser.close());
    const page = await browser.newPage();
    // Nothing outside this machine is asked for.
    await page.route("**/*", (route) =>
      route.request().url().startsWith(server.url) || route.request().url().startsWith("data:")
        ? route.continue()
        : route.abort(),
    );
    await page.goto(path === "about:blank" ? path : server.url + path);
    return page;
  }

  /** Everything that the browser keeps for this origin, as one text. It runs in the page, whose types are not known here. */
  const kept = (page: Page) =>
    page.evaluate<string>(`(async () => JSON.stringify([
      Object.entries(localStorage), Object.entries(sessionStorage),
      document.cookie, await indexedDB.databases(), await caches.keys(),
    ]))()`);
  const NOTHING = JSON.stringify([[], [], "", [], []]);

  test("the docs page signs in, and keeps neither password nor token", async () => {
    const { adminEmail, adminPassword } = server.secrets;
    const page = await open("/docs");
    const reply = page.waitForResponse((response) => response.url() === `${server.url}/token`);
    await signIn(page, server);
    const { access_token, refresh_token } = (await (await reply).json()) as Record<string, string>;
    expect(access_token).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+$/);
    await page.getByRole("heading", { name: "Signing in" }).waitFor();
    expect(await kept(page)).toBe(NOTHING);
    expect(await page.content()).not.toContain(adminPassword);
    await page.reload();
    expect(await page.getByLabel("Password", { exact: true }).inputValue()).toBe("");
    await page.getByRole("heading", { name: "Signing in" }).waitFor();
    for (const secret of [adminPassword, access_token, refresh_token, adminEmail]) {
      expect(await page.content(), "signed out by the reload").not.toContain(secret);
    }
  });

  test("the reference has the guides first, then the operations in the document's order, and no sign-in of its own", async () => {
    const page = await open("/docs");
    const { paths } = (await (await fetch(`${server.url}/openapi.json`)).json()) as {
      paths: Record<string, Record<string, { tags: string[] }>>;
    };
    const anchors = Object.entries(paths).flatMap(([path, item]) =>
      Object.entries(item).map(
        ([
          method,
          {
            tags: [tag = ""],
          },
        ]) => {
          const slug = tag.toLowerCase().replaceAll(" ", "-");
          return { tag: `#tag/${slug}`, operation: `#tag/${slug}/${method.toUpperCase()}${path}` };
        },
      ),
    );
    await page.getByRole("heading", { name: "Your first job" }).waitFor();
    const shown = () =>
      page.evaluate<string[]>(
        `[...document.querySelectorAll("aside a[href^='#']")].map((link) => link.getAttribute("href"))`,
      );
    const guides = ["your-first-job", "write-your-own-agent", "signing-in", "errors", "paging"];
    const rest = ["limits", "idempotency", "times"];
    const top = (await shown()).filter((href) => !/^#tag\/[^/]+\//.test(href));
    expect(top).toEqual([
      ...[...guides, ...rest].map((name) => `#description/${name}`),
      ...new Set(anchors.map(({ tag }) => tag)),
      "#models",
    ]);
    for (const tag of new Set(anchors.map((each) => each.tag))) {
      await page.evaluate(`location.hash = ${JSON.stringify(tag)}`);
      const own = anchors.filter((each) => each.tag === tag).map(({ operation }) => operation);
      await page.locator(`aside a[href="${own[0]}"]`).waitFor();
      const listed = (await shown()).filter((href) => href.startsWith(`${tag}/`));
      expect(listed, tag).toEqual(own);
    }
    expect(await page.locator(".scalar-reference-intro-auth").isVisible()).toBe(false);
    expect(await page.getByText(/client.?(?:id|secret)/i).count()).toBe(0);
  });

  test("a wrong password is said in the server's words, and signing out ends the session", async () => {
    const page = await open("/docs");
    const { adminEmail } = server.secrets;
    await signIn(page, { secrets: { adminEmail, adminPassword: "not the password" } });
    await page.getByText("Wrong e-mail address or password").waitFor();
    await signIn(page, server);
    await page.getByText(`Requests are sent as ${adminEmail}.`).waitFor();
    const revoked = page.waitForResponse((reply) => reply.url() === `${server.url}/token/revoke`);
    await page.getByRole("button", { name: "Sign out" }).click();
    expect((await revoked).status()).toBe(200);
    await page.getByLabel("E-mail").waitFor();
  });

  test("the docs page outlives a renewal that fails, and says when the session has ended", async () => {
    const page = await open("/docs");
    let renewal: "unreachable" | "refused" = "unreachable";
    await page.route("**/token", async (route) => {
      const isRenewal = route.request().postData()?.includes("grant_type=refresh_token") ?? false;
      if (isRenewal && renewal === "unreachable") return route.abort();
      if (isRenewal) return route.fulfill({ status: 400, json: { error: "invalid_grant" } });
      const response = await route.fetch();
      return route.fulfill({ response, json: { ...(await response.json()), expires_in: 0 } });
    });
    await signIn(page, server);
    await page.getByText("Requests are sent as").waitFor();
    const operation = "tag/jobs/GET/api/silicon-mark/v1/jobs";
    await page.evaluate(`location.hash = ${JSON.stringify(operation)}`);
    const section = page.locator(`[id="api-1/${operation}"]`);
    await section.getByRole("button", { name: /Test Request/ }).click();
    const button = page.getByRole("dialog").getByRole("button", { name: /^Send/ }).first();
    const send = async () => {
      const reply = page.waitForResponse(
        (each) => each.url() === `${server.url}/api/silicon-mark/v1/jobs`,
      );
      await button.click();
      return (await reply).status();
    };
    expect(await send(), "the token is still valid").toBe(200);
    expect(await page.getByText("Requests are sent as").count()).toBe(1);
    renewal = "refused";
    expect(await send()).toBe(401);
    expect(await page.getByText("Your session has ended. Sign in again.").isVisible()).toBe(true);
    expect(await page.getByText("Requests are sent as").isVisible()).toBe(false);
    await page.keyboard.press("Escape");
    await page.getByLabel("Password", { exact: true }).waitFor();
  });

  test.each([
    "/",
    "/docs",
    "/docs/readme",
    "/docs/agent",
    "/nowhere",
    "/set-password",
    "/set-up",
    "/verify",
  ])("%s has no horizontal scrolling at 390 px, and breaks no rule of its policy", async (path) => {
    const page = await open("about:blank");
    const faults: string[] = [];
    page.on("console", (message) => {
      // The reply for a missing page is a 404, and said so.
      if (message.type() === "error" && path !== "/nowhere") faults.push(message.text());
    });
    page.on("pageerror", (error) => faults.push(String(error)));
    await page.setViewportSize({ width: 390, height: 800 });
    await page.goto(server.url + path);
    await page.getByRole("heading").first().waitFor();
    expect(await page.evaluate<number>("document.documentElement.scrollWidth")).toBe(390);
    expect(faults).toEqual([]);
  });

  test("the start page leads to the console, the reference, the first job, the agent and health", async () => {
    const page = await open("/");
    const links = await page.evaluate<string[]>(
      `[...document.querySelectorAll("main a")].map((link) => link.getAttribute("href"))`,
    );
    const places = ["/console", "/docs", "/docs/guide/first-job", "/docs/agent", "/health"];
    expect(links).toEqual(expect.arrayContaining(places));
  });

  test("a missing page is a page for browsers, and JSON for programs", async () => {
    const page = await open("/nowhere");
    await page.getByRole("heading", { name: "There is no page at this address" }).waitFor();
    const reply = await fetch(`${server.url}/nowhere`);
    expect(reply.status).toBe(404);
    expect(await reply.json()).toMatchObject({ error: { code: "RESOURCE_NOT_FOUND" } });
  });

  test("every guide is there as a page and as Markdown, and its links lead somewhere", async () => {
    const index = await (await fetch(`${server.url}/llms.txt`)).text();
    const guides = [...index.matchAll(/\]\((\/[^)]+)\)/g)].map(([, path = ""]) => path);
    expect(guides).toContain("/docs/agent.md");
    const links = new Set(guides);
    for (const guide of guides.filter((path) => path.endsWith(".md"))) {
      const html = await (await fetch(server.url + guide.slice(0, -3))).text();
      for (const [, path = ""] of html.matchAll(/(?:href|src)="(\/[^"#]*)/g)) links.add(path);
    }
    for (const link of links) {
      const { status } = await fetch(server.url + link, { method: "HEAD" });
      expect(status, link).toBe(200);
    }
  });

  test("the page that sets a password keeps nothing, neither in the address nor in the history", async () => {
    const page = await open("/set-password#a.b.c");
    expect(page.url()).toBe(`${server.url}/set-password`);
    await page.getByLabel("New password").fill("correct horse battery staple");
    expect(await kept(page)).toBe(NOTHING);
    await page.reload();
    expect(page.url()).toBe(`${server.url}/set-password`);
    expect(await kept(page)).toBe(NOTHING);
  });

  /** A report that this server has made of a job of one node. */
  async function makeReport(): Promise<Buffer> {
    const { adminEmail: username, adminPassword: password } = server.secrets;
    const form = new URLSearchParams({ grant_type: "password", username, password });
    const signedIn = await fetch(`${server.url}/token`, { method: "POST", body: form });
    const { access_token: token } = (await signedIn.json()) as { access_token: string };
    const ask = async (method: string, path: string, by: string, body?: object, task?: string) => {
      const reply = await fetch(`${server.url}/api/silicon-mark/v1${path}`, {
        method,
        headers: {
          authorization: `Bearer ${by}`,
          ...(task === undefined ? {} : { "assay-task-token": task }),
          ...(body === undefined ? {} : { "content-type": "application/json" }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      return (await reply.json()) as Record<string, string>;
    };
    const job = await ask("POST", "/jobs", token, { benchmarks: [] });
    const own = job.token ?? "";
    const machine = { machine_uuid: randomUUID(), join_secret: `${randomUUID()}-page` };
    const task = await ask("POST", "/jobs/current/tasks", own, machine);
    const result = stepResult("completed", quickMarkFigures(700));
    const path = `/jobs/current/tasks/${task.id}/results/0`;
    await ask("PUT", path, own, result, task.task_token);
    const made = await vi.waitUntil(
      async () => (await ask("GET", `/jobs/${job.id}`, token)).pdf_report_url,
      { timeout: patient(60_000), interval: 200 },
    );
    return Buffer.from(await (await fetch(made)).arrayBuffer());
  }

  test("the page that checks reports tells a genuine one from a changed one, and sends no file", async () => {
    const pdf = await makeReport();
    const page = await open("/verify");
    await page.setViewportSize({ width: 390, height: 800 });
    const sent: string[] = [];
    page.on("request", (request) => {
      if (request.method() !== "GET") sent.push(request.url());
    });
    const choose = async (name: string, buffer: Buffer) => {
      const files = [{ name, mimeType: "application/pdf", buffer }];
      await page.getByLabel("Drop a report here").setInputFiles(files);
    };
    const says = (text: string) => page.getByRole("status").filter({ hasText: text }).waitFor();
    await choose("report.pdf", pdf);
    await says("Valid: this server made exactly this file and signed its data.");
    await page.getByText("Content hash", { exact: true }).waitFor();
    // Before the name, which can turn the direction of writing behind it.
    await page.getByText(/^\d{10,}: /).waitFor();
    expect(await page.evaluate<number>("document.documentElement.scrollWidth")).toBe(390);
    await choose("longer.pdf", Buffer.concat([pdf, Buffer.from("\n")]));
    await says(
      "Not valid: the data is genuine, but the file is not the one that this server made.",
    );
    const bare = Buffer.from(
      pdf.toString("latin1").replaceAll(/\/EmbeddedFile(?!s)/g, "/NothingAtAll"),
      "latin1",
    );
    await choose("bare.pdf", bare);
    await says("Not valid: this PDF holds no report.json");
    await choose("text.pdf", Buffer.from("hello"));
    await says("Not valid: the file is neither a PDF nor the data of a report.");
    // Dropped, as a person does.
    const data = await page.evaluateHandle(
      `(() => { const data = new DataTransfer(); data.items.add(new File([Uint8Array.from(atob("${pdf.toString("base64")}"), (sign) => sign.charCodeAt(0))], "dropped.pdf")); return data; })()`,
    );
    await page.dispatchEvent("#drop", "drop", { dataTransfer: data });
    await says("Valid: this server made exactly this file");
    expect(sent).toEqual([]);
    expect(await kept(page)).toBe(NOTHING);
  });
});
