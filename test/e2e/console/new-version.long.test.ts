/** A new version under a console that is open: the running server takes it, and the page goes on with it by itself. */
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { ROOT } from "../../../scripts/lib/project.ts";
import { ensureSecrets } from "../../../scripts/lib/secrets.ts";
import { findFreePort } from "../../../scripts/lib/server.ts";
import { patient } from "../../patience.ts";
import { browserPath, openBrowser, withBrowser } from "../browser.ts";
import { type Run, runCommand } from "../processes.ts";
import { PATIENCE_MS, signIn } from "./stage.ts";

/** Made here, secret, or large: a copy of the project works without. */
const LEFT_OUT = /^(?:\.git|\.wrangler|\.dev\.vars.*|node_modules|test)$/;

let copy: string;
let url: string;
let server: Run;

describe.skipIf(!withBrowser())(
  "a console that is open while the server gets a new version",
  () => {
    beforeAll(async () => {
      copy = mkdtempSync(join(tmpdir(), "assay-copy-"));
      cpSync(ROOT, copy, {
        recursive: true,
        filter: (source) => !LEFT_OUT.test(relative(ROOT, source)),
      });
      const tarballs = ".wrangler/tarballs";
      cpSync(join(ROOT, tarballs), join(copy, tarballs), { recursive: true });
      symlinkSync(join(ROOT, "node_modules"), join(copy, "node_modules"));
      const port = await findFreePort();
      url = `http://127.0.0.1:${port}`;
      const env = { PORT: String(port), HOST: "127.0.0.1" };
      server = runCommand([process.execPath, "scripts/start.ts"], env, copy);
      await server.printed("Assay is ready.");
    }, patient(240_000));

    afterAll(async () => {
      server.child.kill("SIGTERM");
      await server.exitCode;
      rmSync(copy, { recursive: true, force: true });
    }, patient(60_000));

    test("has all its parts after each rebuild, and the open page goes on", async () => {
      const browser = await openBrowser(browserPath() ?? "");
      onTestFinished(() => browser.close());
      const page = await browser.newPage();
      page.setDefaultTimeout(PATIENCE_MS);
      const { adminEmail, adminPassword } = ensureSecrets(join(copy, ".dev.vars"));
      await page.goto(`${url}/console`);
      await signIn(page, adminEmail, adminPassword);
      await page.getByRole("heading", { name: "No jobs yet" }).waitFor();
      const before = await partsOf(url);
      const file = join(copy, "console/words.ts");
      const words = readFileSync(file, "utf8");
      const title = 'title: "Machines"';
      expect(words).toContain(title);
      writeFileSync(file, words.replace(title, 'title: "Machines, anew"'));
      // The server builds what has changed, and starts again with it.
      const settled = async () => {
        const parts = await partsOf(url);
        const isNew = parts.length > 0 && parts.join() !== before.join();
        return isNew && (await missing(parts)).length === 0;
      };
      await expect.poll(settled, { timeout: patient(120_000), interval: 500 }).toBe(true);
      expect(await missing(before), "parts of the old version").not.toEqual([]);
      let documents = 0;
      page.on("request", (request) => {
        if (request.resourceType() === "document") documents++;
      });
      await page.getByRole("link", { name: "Machines", exact: true }).click();
      await page.getByRole("heading", { name: "Machines, anew", level: 1 }).waitFor();
      expect(documents, "loaded anew once").toBe(1);
      expect(new URL(page.url()).pathname).toBe("/console/machines");
      await page.getByRole("button", { name: "Sign out" }).waitFor();
    });
  },
);

/** Addresses of the scripts and styles that the console's page names. */
async function partsOf(origin: string): Promise<string[]> {
  const reply = await fetch(`${origin}/console`).catch(() => null);
  const text = reply?.ok ? await reply.text() : "";
  return [...text.matchAll(/\/assets\/[\w.-]+/g)].map(([path]) => origin + path);
}

async function missing(parts: readonly string[]): Promise<string[]> {
  const found = await Promise.all(
    parts.map(async (part) => [part, (await fetch(part).catch(() => null))?.ok === true] as const),
  );
  return found.filter(([, isThere]) => !isThere).map(([part]) => part);
}
