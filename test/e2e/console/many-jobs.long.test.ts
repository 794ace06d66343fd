/** 100,000 jobs in the console: its lists show what the database has, however much of it there is. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { Locator, Page } from "playwright-core";
import { expect, test } from "vitest";
import { databaseFiles } from "../../../scripts/lib/migrations.ts";
import { ROOT } from "../../../scripts/lib/project.ts";
import { describeConsole, expectQuiet, openTab, PATIENCE_MS, type Stage } from "./stage.ts";

const JOBS = "100000";

function seed(state: string): void {
  const command = [join(ROOT, "bench/seed.ts"), "--jobs", JOBS, "--state", state];
  const { status, stderr } = spawnSync(process.execPath, command, { cwd: ROOT, encoding: "utf8" });
  expect(status, stderr).toBe(0);
}

/** Rows of the server's own file, without its API. */
function query(stage: Stage, sql: string) {
  const [file = ""] = databaseFiles(stage.state);
  const database = new DatabaseSync(file, { readOnly: true });
  try {
    return database.prepare(sql).all();
  } finally {
    database.close();
  }
}

function countOf(stage: Stage, from: string): number {
  return Number(query(stage, `SELECT count(*) AS n FROM ${from}`)[0]?.n);
}

const shown = (value: number) => value.toLocaleString("en");

function namesOf(jobs: Locator): Promise<string[]> {
  return jobs.locator(".job-link").allTextContents();
}

/** UUIDs of listed machines. */
function uuidsOf(page: Page): Promise<string[]> {
  return page.evaluate(
    `[...document.querySelectorAll(".row-link")].map((link) => link.href.split("/").at(-1))`,
  );
}

/** Waits for a page of a list, by its place in all of it. */
function place(page: Page, from: number, to: number, total: number): Promise<void> {
  return page
    .getByText(`${shown(from)}–${shown(to)} of ${shown(total)}`)
    .first()
    .waitFor();
}

describeConsole(
  `${shown(Number(JOBS))} jobs in the console`,
  async () => {},
  (stage) => {
    test("are listed page by page, each once, and the back button goes back", async () => {
      const total = countOf(stage(), "jobs WHERE deleted_at IS NULL");
      expect(total).toBeGreaterThan(95_000);
      const newest = query(
        stage(),
        "SELECT name FROM jobs WHERE deleted_at IS NULL ORDER BY id DESC LIMIT 500",
      ).map(({ name }) => name);
      const tab = await openTab(stage(), "/console?per_page=100");
      const { page } = tab;
      await page.getByText(`${shown(total)} jobs`, { exact: true }).waitFor();
      const jobs = page.getByRole("table", { name: "Jobs" });
      const listed: string[] = [];
      for (let from = 1; ; from += 100) {
        await place(page, from, from + 99, total);
        listed.push(...(await namesOf(jobs)));
        if (listed.length === newest.length) break;
        await page.getByRole("link", { name: "Next page" }).click();
      }
      expect(listed).toEqual(newest);
      await page.goBack();
      await place(page, 301, 400, total);
      expect(await namesOf(jobs)).toEqual(newest.slice(300, 400));
      await page.getByRole("link", { name: "First page" }).click();
      await place(page, 1, 100, total);
      expectQuiet(tab);
    });

    test.each([
      ["state=failed", "state = 'failed'"],
      ["name=quokka", "name LIKE '%quokka%'"],
      [
        "tags=acceptance&state=completed",
        "state = 'completed' AND EXISTS (SELECT 1 FROM json_each(tags) WHERE value = 'acceptance')",
      ],
      ["node_count_min=256&sort_by=name&sort_order=asc", "node_count >= 256"],
      [
        "benchmark_id=cluster_network&name=nightly",
        "name LIKE '%nightly%' AND sequence LIKE '%cluster_network%'",
      ],
    ])("are filtered by %s", async (filter, where) => {
      const matches = `jobs WHERE deleted_at IS NULL AND ${where}`;
      const total = countOf(stage(), matches);
      expect(total).toBeGreaterThan(20);
      const order = filter.includes("sort_by=name") ? "name" : "id DESC";
      const first = query(stage(), `SELECT name FROM ${matches} ORDER BY ${order} LIMIT 40`);
      const tab = await openTab(stage(), `/console/jobs?${filter}`);
      const jobs = tab.page.getByRole("table", { name: "Jobs" });
      await place(tab.page, 1, 20, total);
      const listed = await namesOf(jobs);
      await tab.page.getByRole("link", { name: "Next page" }).click();
      await place(tab.page, 21, Math.min(40, total), total);
      expect([...listed, ...(await namesOf(jobs))]).toEqual(first.map(({ name }) => name));
      expectQuiet(tab);
    });

    test("are filtered in the form, too", async () => {
      const { page } = await openTab(stage(), "/console");
      await page.getByRole("table", { name: "Jobs" }).waitFor();
      await page.getByLabel("State", { exact: true }).selectOption("aborted");
      const total = countOf(stage(), "jobs WHERE deleted_at IS NULL AND state = 'aborted'");
      await place(page, 1, 20, total);
      await page.keyboard.press("/");
      await page.keyboard.type("syzygy");
      await page.waitForURL("**name=syzygy**");
      const both = countOf(
        stage(),
        "jobs WHERE deleted_at IS NULL AND state = 'aborted' AND name LIKE '%syzygy%'",
      );
      await page.getByText(`${shown(both)} jobs`, { exact: true }).waitFor();
    });

    test("have machines, listed page by page, each with its jobs", async () => {
      const total = countOf(stage(), "machines WHERE scope = 'all'");
      expect(total).toBeGreaterThan(1_000);
      const tab = await openTab(stage(), "/console/machines");
      const { page } = tab;
      await page.getByText(`${shown(total)} machines`, { exact: true }).waitFor();
      const machines = page.getByRole("table", { name: "Machines" });
      await place(page, 1, 20, total);
      const listed = await uuidsOf(page);
      await page.getByRole("link", { name: "Next page" }).click();
      await place(page, 21, 40, total);
      listed.push(...(await uuidsOf(page)));
      expect(new Set(listed).size).toBe(40);
      await machines.locator(".row-link").first().click();
      await page.getByRole("heading", { name: "Jobs" }).waitFor();
      const uuid = new URL(page.url()).pathname.split("/").at(-1);
      expect(listed).toContain(uuid);
      const own = countOf(stage(), `tasks WHERE deleted_at IS NULL AND machine_uuid = '${uuid}'`);
      const jobs = page.locator(".facts div", { hasText: /^Jobs/ }).locator("dd");
      await expect.poll(() => jobs.textContent(), { timeout: PATIENCE_MS }).toBe(String(own));
      expectQuiet(tab);
    });
  },
  seed,
);
