/** The pages as a person uses them, in a browser: what they keep of a password or a token. */
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import type { RunningServer } from "../../scripts/lib/server.ts";
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
});
