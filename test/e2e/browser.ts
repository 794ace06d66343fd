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
