/** docs/configuration.md has every setting, with the default that the server takes. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "vitest";
import { ROOT } from "../../scripts/lib/project.ts";
import { type Config, readConfig } from "../../src/lib/config.ts";

const read = (path: string) => readFileSync(join(ROOT, path), "utf8");
const page = read("docs/configuration.md");
const rows = [...page.matchAll(/^\| `(\w+)` \| [^|]+ \| `([^`]+)` \|/gm)].map(
  ([, name = "", value = ""]) => [name, value] as const,
);
const SECRET = "0123456789abcdef0123456789abcdef";
const required = { TOKEN_SECRET: SECRET, NODE_TIMEOUT_SECONDS: "150", RATE_LIMIT_SCALE: "1" };

/** Names of settings in the source of the configuration. */
const settings = [...read("src/lib/config.ts").matchAll(/^ {2}([A-Z_]{4,}): /gm)].map(
  ([, name = ""]) => name,
);

describe("docs/configuration.md", () => {
  test("names every setting of the server", ({ expect }) => {
    expect(settings.length).toBeGreaterThan(15);
    for (const name of settings) expect(page).toContain(`| \`${name}\` |`);
  });

  test("names every binding and variable of wrangler.toml", ({ expect }) => {
    const toml = read("wrangler.toml");
    const bindings = [...toml.matchAll(/^(?:binding|name) = "([A-Z]+)"/gm)].map(([, name]) => name);
    expect(bindings).toEqual(expect.arrayContaining(["DB", "BUCKET", "COORDINATOR", "ASSETS"]));
    for (const name of bindings) expect(page).toContain(`| \`${name}\` |`);
    for (const [, name] of toml.matchAll(/^(?:# )?([A-Z_]{6,}) = "/gm))
      expect(settings).toContain(name);
  });

  test("the defaults are those that the server takes", ({ expect }) => {
    const bare: Config = readConfig(required);
    const stated = readConfig({ ...required, ...Object.fromEntries(rows) });
    expect(rows.length).toBeGreaterThan(10);
    expect({ ...stated, site: bare.site }).toEqual(bare);
  });

  test("names every variable that the agent and npm start read", ({ expect }) => {
    const sources = ["agent/src/args.ts", "agent/src/identity.ts", "scripts/start.ts"].map(read);
    const names = sources.flatMap((text) =>
      [...text.matchAll(/\benv\.([A-Z_]+)/g)].map(([, name]) => name),
    );
    expect(names.length).toBeGreaterThan(5);
    for (const name of names) expect(page).toContain(`\`${name}\``);
  });
});
