/** The console's habits: keyboard, addresses, the back button, and what it says when something is wrong. */
import { expect, test } from "vitest";
import {
  addPerson,
  describeConsole,
  expectQuiet,
  openTab,
  PASSWORD,
  PATIENCE_MS,
  type Stage,
  signIn,
} from "./stage.ts";
import { completeJob } from "./world.ts";

async function prepare({ server: { url }, admin }: Stage): Promise<void> {
  for (const name of ["alpha", "beta", "gamma"]) {
    await completeJob(url, admin, { name, nodes: 1, tags: [`tag-${name}`] });
  }
  await admin.ask("POST", "/jobs", { name: "waiting", node_count: 2, benchmarks: [] });
}

describeConsole("habits of the console", prepare, (stage) => {
  test("filters stand in the address; the back button takes them away", async () => {
    const tab = await openTab(stage(), "/console");
    const { page } = tab;
    const jobs = page.getByRole("table", { name: "Jobs" });
    await jobs.getByRole("row").nth(4).waitFor();
    await page.keyboard.press("/");
    await page.keyboard.type("alph");
    await page.waitForURL("**/console/jobs?name=alph");
    await expect.poll(() => jobs.getByRole("row").count(), { timeout: PATIENCE_MS }).toBe(2);
    await page.goBack();
    await expect.poll(() => jobs.getByRole("row").count(), { timeout: PATIENCE_MS }).toBe(5);
    await page.getByLabel("State", { exact: true }).selectOption("created");
    await page.waitForURL("**/console/jobs?state=created");
    await expect.poll(() => jobs.getByRole("row").count(), { timeout: PATIENCE_MS }).toBe(2);
    await page.reload();
    await jobs.getByRole("link", { name: "waiting", exact: true }).waitFor();
    expect(await jobs.getByRole("row").count()).toBe(2);
    await page.goto(`${stage().server.url}/console/jobs?name=nothing-like-it`);
    await page.getByRole("heading", { name: "No job matches" }).waitFor();
    await page.getByRole("link", { name: "Clear all filters" }).click();
    await jobs.getByText("alpha", { exact: true }).waitFor();
    expectQuiet(tab);
  });

  test("the keyboard moves, opens, chooses and helps; its keys can be turned off", async () => {
    const { page } = await openTab(stage(), "/console");
    await page.getByRole("link", { name: "gamma", exact: true }).waitFor();
    const focused = () => page.evaluate<string>("document.activeElement.textContent");
    await page.keyboard.press("j");
    expect(await focused()).toBe("waiting");
    await page.keyboard.press("j");
    expect(await focused()).toBe("gamma");
    await page.keyboard.press("x");
    await page.getByText("1 selected", { exact: true }).waitFor();
    await page.keyboard.press("k");
    await page.keyboard.press("j");
    await page.keyboard.press("j");
    expect(await focused()).toBe("beta");
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "beta", level: 1 }).waitFor();
    await page.keyboard.press("g");
    await page.keyboard.press("m");
    await page.getByRole("heading", { name: "Machines", level: 1 }).waitFor();
    await page.keyboard.press("?");
    await page.getByRole("dialog", { name: "Keyboard" }).waitFor();
    await page.getByLabel("Single-key shortcuts").uncheck();
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
    await page.keyboard.press("g");
    await page.keyboard.press("j");
    expect(new URL(page.url()).pathname).toBe("/console/machines");
  });

  test("chosen jobs are aborted and deleted after a question that says which", async () => {
    const { server, admin } = stage();
    await admin.ask("POST", "/jobs", { name: "doomed one", node_count: 1, benchmarks: [] });
    await admin.ask("POST", "/jobs", { name: "doomed two", node_count: 1, benchmarks: [] });
    const { page } = await openTab(stage(), "/console/jobs?name=doomed");
    await page.getByLabel("Select all jobs on this page").check();
    await page.getByRole("button", { name: "Abort 2 jobs" }).click();
    const dialog = page.getByRole("dialog", { name: "Abort 2 jobs?" });
    await dialog.getByText("doomed one").waitFor();
    await dialog.getByRole("button", { name: "Cancel" }).click();
    expect(await page.getByText("Aborted").count()).toBe(1); // the filter's option
    await page.getByRole("button", { name: "Abort 2 jobs" }).click();
    await dialog.getByRole("button", { name: "Abort 2 jobs" }).click();
    await page.getByText("Done: 2 jobs.").waitFor();
    // The button is gone; the focus is where the answer stands.
    const focused = () => page.evaluate<string>("document.activeElement.textContent");
    await expect.poll(focused, { timeout: PATIENCE_MS }).toBe("Done: 2 jobs.");
    await page.getByLabel("Select all jobs on this page").check();
    await page.getByRole("button", { name: "Delete 2 jobs" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Delete 2 jobs" }).click();
    await page.getByRole("heading", { name: "No job matches" }).waitFor();
    const reply = await fetch(`${server.url}/api/silicon-mark/v1/jobs?name=doomed`, {
      headers: { authorization: `Bearer ${admin.token}` },
    });
    expect(await reply.json()).toMatchObject({ pagination: { total: 0 } });
  });

  test("a deep link asks for the sign-in, and leads on afterwards; tokens stay in this tab", async () => {
    const { server } = stage();
    const tab = await openTab(stage(), "/console/machines?provider=nobody", { as: null });
    const { page, context } = tab;
    await page.getByLabel("E-mail").fill(server.secrets.adminEmail);
    await page.getByLabel("Password").fill("not the password");
    await page.getByRole("button", { name: "Sign in", exact: true }).click();
    await page.getByText("Wrong e-mail address or password").waitFor();
    await page.getByLabel("Password").fill(server.secrets.adminPassword);
    await page.getByRole("button", { name: "Sign in", exact: true }).click();
    await page.getByRole("heading", { name: "No machine matches" }).waitFor();
    expect(new URL(page.url()).search).toBe("?provider=nobody");
    const kept = await page.evaluate<string>(
      "JSON.stringify([Object.keys(sessionStorage), Object.keys(localStorage), document.cookie])",
    );
    expect(JSON.parse(kept)).toEqual([["assay.session"], [], ""]);
    const other = await context.newPage();
    await other.goto(`${server.url}/console`);
    await other.getByRole("heading", { name: "Sign in" }).waitFor();
    expectQuiet(tab);
  });

  test("an API token signs in, and a revoked one is said in words", async () => {
    const { server, admin } = stage();
    const me = await admin.ask("GET", "/v0/users/me");
    const made = await admin.ask("POST", `/v0/users/${me.slug}/tokens`, {
      name: "for the console",
    });
    const { page } = await openTab(stage(), "/console", { as: null });
    await page.getByRole("button", { name: "Use an API token" }).click();
    await page.getByLabel("API token").fill("no.such.token");
    await page.getByRole("button", { name: "Use the token" }).click();
    await page.getByText("The server does not accept this token; it may have expired.").waitFor();
    await page.getByLabel("API token").fill(made.token);
    await page.getByRole("button", { name: "Use the token" }).click();
    await page.getByRole("link", { name: "gamma", exact: true }).waitFor();
    await admin.ask("DELETE", `/v0/users/${me.slug}/tokens/${made.uuid}`);
    await page.getByRole("link", { name: "Machines" }).click();
    await page.getByText(/^Your session has ended/).waitFor();
    expect(await page.evaluate<number>("sessionStorage.length")).toBe(0);
    expect(server.url).toContain("127.0.0.1");
  });

  test("a sign-out in one tab ends its copies; revoked elsewhere, the next call says so", async () => {
    const { server } = stage();
    const { page, context } = await openTab(stage(), "/console", { as: null });
    await signIn(page, server.secrets.adminEmail, server.secrets.adminPassword);
    await page.getByRole("link", { name: "gamma", exact: true }).waitFor();
    // A duplicated tab has a copy of the storage.
    const stored = await page.evaluate<string>('sessionStorage.getItem("assay.session")');
    const copy = await context.newPage();
    await copy.addInitScript(`sessionStorage.setItem("assay.session", ${JSON.stringify(stored)})`);
    await copy.goto(`${server.url}/console`);
    await copy.getByRole("link", { name: "gamma", exact: true }).waitFor();
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByText("You are signed out.").waitFor();
    await copy.getByText(/^Your session has ended/).waitFor();
  });

  test("after a session that has ended, the next person at the tab sees nothing of it", async () => {
    const { server } = stage();
    const email = "next@example.com";
    await addPerson(stage(), { email, role: "user", customer: "default" });
    const { page } = await openTab(stage(), "/console", { as: null });
    await signIn(page, server.secrets.adminEmail, server.secrets.adminPassword);
    await page.getByRole("link", { name: "gamma", exact: true }).waitFor();
    await page.evaluate(`fetch("/token/revoke", {
      method: "POST",
      body: new URLSearchParams({ token: JSON.parse(sessionStorage.getItem("assay.session")).refreshToken }),
    })`);
    await page.getByRole("link", { name: "Machines", exact: true }).click();
    await page.getByText(/^Your session has ended/).waitFor();
    await page.goBack();
    let answer: () => void = () => {};
    const held = new Promise<void>((resolve) => {
      answer = resolve;
    });
    await page.route("**/api/silicon-mark/v1/jobs?*", async (route) => {
      await held;
      await route.continue();
    });
    await signIn(page, email, PASSWORD);
    await page.getByRole("heading", { name: "Jobs", level: 1 }).waitFor();
    expect(await page.getByRole("link", { name: "gamma", exact: true }).count()).toBe(0);
    answer();
    await page.getByRole("heading", { name: "No jobs yet" }).waitFor();
  });

  test("offline is said, and what is shown stays; the page is fresh again afterwards", async () => {
    const { page, context } = await openTab(stage(), "/console");
    await page.getByRole("link", { name: "gamma", exact: true }).waitFor();
    await context.setOffline(true);
    await page.getByText(/^You are offline/).waitFor();
    await page.getByLabel("State", { exact: true }).selectOption("failed");
    await page.getByText("The server cannot be reached.").waitFor();
    await context.setOffline(false);
    await page.getByRole("heading", { name: "No job matches" }).waitFor();
    expect(await page.getByText(/^You are offline/).count()).toBe(0);
  });

  test("a slow network is said in words, and so is a server that fails", async () => {
    const { page } = await openTab(stage(), "/console");
    await page.getByRole("link", { name: "gamma", exact: true }).waitFor();
    let answer: () => void = () => {};
    const held = new Promise<void>((resolve) => {
      answer = resolve;
    });
    await page.route("**/api/silicon-mark/v1/jobs?*", async (route) => {
      await held;
      await route.fulfill({ status: 503, json: { message: "busy", error: { code: "X" } } });
    });
    await page.getByLabel("State", { exact: true }).selectOption("failed");
    await page.getByText("The network or the server is slow.").waitFor();
    answer();
    await page.getByText("The server has failed.").waitFor();
    await page.unroute("**/api/silicon-mark/v1/jobs?*");
    await page.getByRole("button", { name: "Try again" }).click();
    await page.getByRole("heading", { name: "No job matches" }).waitFor();
  });

  test("nothing moves while a page fills", async () => {
    const { page } = await openTab(stage(), "/console", { as: null });
    await page.addInitScript(
      `globalThis.shift = 0;
       new PerformanceObserver((list) => {
         for (const entry of list.getEntries()) if (!entry.hadRecentInput) globalThis.shift += entry.value;
       }).observe({ type: "layout-shift", buffered: true });`,
    );
    await page.reload();
    const { adminEmail, adminPassword } = stage().server.secrets;
    await page.getByLabel("E-mail").fill(adminEmail);
    await page.getByLabel("Password").fill(adminPassword);
    await page.getByLabel("Password").press("Enter");
    await page.getByRole("link", { name: "gamma", exact: true }).waitFor();
    await page.reload();
    await page.getByRole("link", { name: "gamma", exact: true }).waitFor();
    await page
      .getByText(/jobs?$/)
      .first()
      .waitFor();
    expect(await page.evaluate<number>("globalThis.shift")).toBeLessThan(0.1);
  });

  test("a part of the console that does not arrive is said, and fetched when the server is back", async () => {
    const tab = await openTab(stage(), "/console");
    const { page } = tab;
    await page.getByRole("link", { name: "gamma", exact: true }).waitFor();
    const lost = (url: URL) => url.pathname.startsWith("/assets/") || url.pathname === "/console";
    await page.route(lost, (route) => route.abort());
    await page.getByRole("link", { name: "Machines", exact: true }).click();
    await page.getByText("The server cannot be reached.").waitFor();
    await page.unroute(lost);
    await page.getByRole("button", { name: "Try again" }).click();
    await page.getByRole("heading", { name: "Machines", level: 1 }).waitFor();
    expectQuiet(tab);
  });

  test("versions that take turns reload a page once; then it asks", async () => {
    const { page } = await openTab(stage(), "/console");
    await page.getByRole("link", { name: "gamma", exact: true }).waitFor();
    // Whatever the page asks another time is of another version; what it opens with is this one.
    await page.route("**/assets/*machines-page*", (route) => route.fulfill({ status: 404 }));
    await page.route("**/console", (route) =>
      route.request().resourceType() === "document"
        ? route.continue()
        : route.fulfill({ contentType: "text/html", body: "<p>another version</p>" }),
    );
    const reloaded = page.waitForEvent("load");
    await page.getByRole("link", { name: "Machines", exact: true }).click();
    await reloaded;
    await page.getByText("There is a new version of the console.").waitFor();
    await page.unroute("**/assets/*machines-page*");
    await page.getByRole("button", { name: "Reload" }).click();
    await page.getByRole("heading", { name: "Machines", level: 1 }).waitFor();
  });
});
