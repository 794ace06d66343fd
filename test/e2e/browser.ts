/** A browser for tests of pages. Debian and others call it `chromium`; without one these tests are skipped, and say so. */
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { type Browser, chromium, type Page } from "playwright-core";

const NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/** `CHROMIUM`, else the first browser on the `PATH`; null without one. */
export function browserPath(): string | null {
  if (process.env.CHROMIUM) return process.env.CHROMIUM;
  const folders = (process.env.PATH ?? "").split(delimiter);
  const places = folders.flatMap((folder) => NAMES.map((name) => join(folder, name)));
  return places.find(existsSync) ?? null;
}

/**
 * Whether pages can be tested here; says so if not.
 *
 * @throws without a browser where one is required: `.ci/run` sets ASSAY_REQUIRE_BROWSER
 */
export function withBrowser(): boolean {
  if (browserPath() !== null) return true;
  const message = "there is no Chromium here. Install chromium, or set CHROMIUM.";
  if (process.env.ASSAY_REQUIRE_BROWSER === "1") {
    throw new Error(`Pages must be tested (ASSAY_REQUIRE_BROWSER=1), but ${message}`);
  }
  console.warn(`Pages are not tested: ${message}`);
  return false;
}

/** Starts it without a window. Its sandbox cannot work for root, as which containers run. */
export function openBrowser(executablePath: string): Promise<Browser> {
  return chromium.launch({
    executablePath,
    args: ["--no-sandbox", "--disable-background-networking", "--disable-component-update"],
  });
}

/** Signs in by the bar of the docs page. */
export async function signIn(
  page: Page,
  { secrets }: { secrets: { adminEmail: string; adminPassword: string } },
): Promise<void> {
  await page.getByLabel("E-mail").fill(secrets.adminEmail);
  await page.getByLabel("Password", { exact: true }).fill(secrets.adminPassword);
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
}
