/** A server with data, a browser, and people: what tests of the console share. */
import { createRequire } from "node:module";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, onTestFinished } from "vitest";
import type { RunningServer } from "../../../scripts/lib/server.ts";
import { patient } from "../../patience.ts";
import { browserPath, openBrowser, withBrowser } from "../browser.ts";
import { createStack } from "../stack.ts";
import { type Api, signInAs } from "./world.ts";

/** Time for what a page shows after a click, on a slow machine. */
export const PATIENCE_MS = patient(30_000);
const AXE = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
export const PASSWORD = "correct horse battery staple";

export interface Stage {
  server: RunningServer;
  browser: Browser;
  /** Of the administrator. */
  admin: Api;
  /** The server's folder of state. */
  state: string;
}

/** A page, and what the browser said and asked for while it was open. */
export interface Tab {
  page: Page;
  context: BrowserContext;
  /** Errors of scripts and violations of the policy. */
  faults: string[];
  /** Addresses outside the server. */
  strangers: string[];
}

export interface TabOptions {
  width?: number;
  scheme?: "light" | "dark";
  /** E-mail of who has signed in; the administrator by default, nobody if null. */
  as?: string | null;
}

/**
 * Tests of the console, on one server with what `prepare` makes there. Without a browser they are skipped.
 *
 * @param furnish fills the server's folder of state before it starts
 */
export function describeConsole(
  name: string,
  prepare: (stage: Stage) => Promise<void>,
  tests: (stage: () => Stage) => void,
  furnish: (state: string) => void = () => {},
): void {
  describe.skipIf(!withBrowser())(name, () => {
    let stage: Stage;
    beforeAll(async () => {
      const stack = await createStack(afterAll);
      // Real agents replay recordings.
      stack.options.rateReplays = true;
      furnish(stack.options.state);
      const server = await stack.start();
      const browser = await openBrowser(browserPath() ?? "");
      afterAll(() => browser.close());
      const { adminEmail, adminPassword } = server.secrets;
      const { state } = stack.options;
      const admin = await signInAs(server.url, adminEmail, adminPassword);
      stage = { server, browser, admin, state };
      await prepare(stage);
    }, patient(600_000));
    tests(() => stage);
  });
}

/** Opens an address of the console; signed in, unless `as` is null. */
export async function openTab(
  { server, browser, admin }: Stage,
  path: string,
  { width = 1_280, scheme = "light", as }: TabOptions = {},
): Promise<Tab> {
  const context = await browser.newContext({
    viewport: { width, height: 900 },
    colorScheme: scheme,
    reducedMotion: "reduce",
  });
  onTestFinished(() => context.close());
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  const tab: Tab = { page, context, faults: [], strangers: [] };
  page.on("pageerror", (error) => tab.faults.push(String(error)));
  page.on("console", (message) => {
    // Replies that are no success are said on the page.
    const isReply = message.text().startsWith("Failed to load resource");
    if (message.type() === "error" && !isReply) tab.faults.push(message.text());
  });
  page.on("request", (request) => {
    const url = request.url();
    if (!url.startsWith(`${server.url}/`) && !url.startsWith("data:")) tab.strangers.push(url);
  });
  if (as !== null) {
    const token = as === undefined ? admin.token : (await signInAs(server.url, as, PASSWORD)).token;
    const stored = JSON.stringify({ token, refreshToken: null, renewAt: null });
    // Once: a session that ends in the test stays ended.
    await page.addInitScript(`if (!sessionStorage.getItem("test.began")) {
      sessionStorage.setItem("test.began", "yes");
      sessionStorage.setItem("assay.session", ${JSON.stringify(stored)});
    }`);
  }
  await page.goto(`${server.url}${path}`);
  return tab;
}

/** By the form, as a person does. */
export async function signIn(page: Page, email: string, password: string): Promise<void> {
  await page.getByLabel("E-mail").fill(email);
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
  await page.getByRole("button", { name: "Sign out" }).waitFor();
}

/** Adds a person with the tests' password. */
export async function addPerson(
  { admin }: Stage,
  { email, role, customer }: { email: string; role: string; customer: string },
): Promise<void> {
  await admin.ask("POST", "/v0/users", { email, name: email, role, customer, password: PASSWORD });
}

/** What axe-core finds against WCAG 2.2 A and AA, a line each. */
export async function accessibilityFaults(page: Page): Promise<string[]> {
  const { readFileSync } = await import("node:fs");
  // The policy of the page stops foreign scripts: this one comes by the debugger.
  await page.evaluate(readFileSync(AXE, "utf8"));
  return page.evaluate<string[]>(`(async () => {
    const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
    const { violations } = await axe.run(document, { runOnly: { type: "tag", values: tags } });
    return violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => id + ": " + html.slice(0, 300)));
  })()`);
}

/** Fails on whatever no page of the console may do. */
export function expectQuiet({ faults, strangers }: Tab): void {
  expect(faults).toEqual([]);
  expect(strangers, "requests to other origins").toEqual([]);
}
