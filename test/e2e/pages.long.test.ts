/** The pages as a person uses them, in a browser: what they keep of a password or a token. */
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import type { RunningServer } from "../../scripts/lib/server.ts";
import { browserPath, openBrowser } from "./browser.ts";
import { createStack } from "./stack.ts";

const executable = browserPath();
if (executable === null) {
  console.warn(
    "Pages are not tested: there is no Chromium here. Install chromium, or set CHROMIUM.",
  );
}

describe.skipIf(executable === null)("pages", () => {
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
    await page.goto(server.url + path);
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
    await page.getByRole("button", { name: "Authorize", exact: true }).first().click();
    const dialog = page.locator(".modal-ux");
    await dialog.locator("#oauth_username").fill(adminEmail);
    await dialog.locator("#oauth_password").fill(adminPassword);
    const reply = page.waitForResponse((response) => response.url() === `${server.url}/token`);
    await dialog.locator(".auth-btn-wrapper button.authorize").first().click();
    const { access_token, refresh_token } = (await (await reply).json()) as Record<string, string>;
    expect(access_token).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+$/);
    await dialog.locator("button", { hasText: "Logout" }).first().waitFor();
    const signedIn = await kept(page);
    await page.reload();
    await page.getByRole("button", { name: "Authorize", exact: true }).first().waitFor();
    for (const text of [signedIn, await kept(page)]) {
      for (const secret of [adminPassword, access_token, refresh_token, adminEmail]) {
        expect(text).not.toContain(secret);
      }
    }
    await page.getByRole("button", { name: "Authorize", exact: true }).first().click();
    await dialog.locator("#oauth_username").waitFor();
    expect(await dialog.locator("#oauth_password").inputValue(), "signed out by the reload").toBe(
      "",
    );
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
