/** The secrets of `npm start` and `npm run deploy`: random, never an example, never changed once they are there. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { deployFault, hasTokenSecret, secretMissing } from "../../scripts/lib/deploy-rules.ts";
import { createFirstAdmin } from "../../scripts/lib/first-admin.ts";
import { ROOT } from "../../scripts/lib/project.ts";
import { reportKeyFor } from "../../scripts/lib/report-key.ts";
import { ensureSecrets, freshSeed, readTokenSecrets } from "../../scripts/lib/secrets.ts";
import { secretFault, seedFault } from "../../src/lib/config.ts";

/** The value that this project once published. */
const EXAMPLE = "change-me-to-48-random-characters-or-more-please";

function secretsFile(text?: string): string {
  const folder = mkdtempSync(join(tmpdir(), "assay-secrets-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = join(folder, ".dev.vars");
  if (text !== undefined) writeFileSync(file, text);
  return file;
}

describe("a secrets file", () => {
  test("is made with random values, readable for its owner alone", () => {
    const [one, two] = [secretsFile(), secretsFile()];
    const made = ensureSecrets(one);
    expect(ensureSecrets(one)).toEqual(made);
    expect(ensureSecrets(two).adminPassword).not.toBe(made.adminPassword);
    expect(secretFault(readTokenSecrets(one)[0] ?? "")).toBeNull();
    expect(readTokenSecrets(one)).not.toEqual(readTokenSecrets(two));
    expect(statSync(one).mode & 0o777).toBe(0o600);
  });

  test("has a key that signs reports, random and kept; a wrong one is refused", () => {
    const [one, two] = [secretsFile(), secretsFile()];
    const keyIn = (file: string) =>
      /^REPORT_SIGNING_KEY="(.*)"$/m.exec(readFileSync(file, "utf8"))?.[1] ?? "";
    ensureSecrets(one);
    ensureSecrets(two);
    expect(seedFault(keyIn(one))).toBeNull();
    expect(keyIn(one)).not.toBe(keyIn(two));
    const key = keyIn(one);
    ensureSecrets(one);
    expect(keyIn(one)).toBe(key);
    writeFileSync(two, readFileSync(two, "utf8").replace(keyIn(two), "too-short"));
    expect(() => ensureSecrets(two)).toThrow(/^REPORT_SIGNING_KEY in .* must hold seeds/);
  });

  test("copied from the example gets what is empty, and keeps the rest", () => {
    const example = readFileSync(join(ROOT, ".dev.vars.example"), "utf8");
    expect(example).toMatch(/^TOKEN_SECRET=""$/m);
    // Whoever deploys with the button is asked for each of them.
    const names = [...example.matchAll(/^(\w+)=""$/gm)].map(([, name]) => name);
    expect(names).toEqual(["TOKEN_SECRET", "REPORT_SIGNING_KEY", "SETUP_TOKEN", "PASSWORD_PEPPER"]);
    const file = secretsFile(`${example}ADMIN_EMAIL="me@example.com"\n`);
    const { adminEmail, adminPassword } = ensureSecrets(file);
    expect(adminEmail).toBe("me@example.com");
    expect(adminPassword).toMatch(/^[\w-]{24}$/);
    expect(secretFault(readTokenSecrets(file)[0] ?? "")).toBeNull();
    expect(readFileSync(file, "utf8")).toContain('\nSETUP_TOKEN=""\n');
  });

  test("lines that are empty without quotes, or missing, are filled in as well", () => {
    const file = secretsFile("TOKEN_SECRET=\nADMIN_EMAIL=me@example.com\nOTHER=1");
    const { adminEmail, adminPassword } = ensureSecrets(file);
    expect([adminEmail, adminPassword.length]).toEqual(["me@example.com", 24]);
    expect(readTokenSecrets(file)[0]).toHaveLength(48);
    expect(readFileSync(file, "utf8")).toContain("\nOTHER=1\n");
  });

  test.for([EXAMPLE, "x".repeat(48), "too-short"])("with TOKEN_SECRET=%s is refused", (secret) => {
    const text = `TOKEN_SECRET="${secret}"\nADMIN_EMAIL="a@b"\nADMIN_PASSWORD="correct horse battery"\nREPORT_SIGNING_KEY="${freshSeed()}"\n`;
    const file = secretsFile(text);
    expect(() => ensureSecrets(file)).toThrow(/^TOKEN_SECRET in .* must /);
    expect(readFileSync(file, "utf8")).toBe(text);
  });
});

test.for(["change-me-to-a-long-password", "aaaaaaaaaaaaaaaa", "short"])(
  "no first administrator has the password %s",
  async (password) => {
    const place = { remote: false, state: join(tmpdir(), "assay-never-made") } as const;
    await expect(createFirstAdmin(place, { email: "a@example.com", password })).rejects.toThrow(
      "The password",
    );
  },
);

describe("npm run deploy", () => {
  test.for([EXAMPLE, "x".repeat(48)])("refuses TOKEN_SECRET=%s before anything else", (secret) => {
    const { status, stdout, stderr } = spawnSync(process.execPath, ["scripts/deploy.ts"], {
      cwd: ROOT,
      encoding: "utf8",
      env: { ...process.env, TOKEN_SECRET: secret },
    });
    expect([status, stdout, stderr]).toEqual([
      2,
      "",
      expect.stringMatching(/^TOKEN_SECRET must be random/),
    ]);
  });

  test.for<[string, string, Record<string, string>]>([
    ["in wrangler.toml", '[vars]\nRATE_REPLAYS = "true"\n', {}],
    ["whatever its value is", '[env.live.vars]\n  "RATE_REPLAYS"="false"', {}],
    ["by a name in single quotes", "[vars]\n'RATE_REPLAYS' = 'true'\n", {}],
    ["in one line with others", 'vars = { A = "1", RATE_REPLAYS = "true" }', {}],
    ["in the environment", "", { RATE_REPLAYS: "true" }],
  ])("refuses RATE_REPLAYS %s", ([, toml, env]) => {
    expect(deployFault(toml, env)).toMatch(
      /^RATE_REPLAYS is set in .* must not be rated on a deployed/,
    );
  });

  test("takes the project's own settings, and stops before anything else where it is set", () => {
    expect(deployFault(readFileSync(join(ROOT, "wrangler.toml"), "utf8"), {})).toBeNull();
    expect(deployFault('# RATE_REPLAYS = "true"', {})).toBeNull();
    const { status, stdout, stderr } = spawnSync(process.execPath, ["scripts/deploy.ts"], {
      cwd: ROOT,
      encoding: "utf8",
      env: { ...process.env, TOKEN_SECRET: "", RATE_REPLAYS: "true" },
    });
    expect([status, stdout, stderr]).toEqual([
      2,
      "",
      expect.stringMatching(/^RATE_REPLAYS is set in the environment: /),
    ]);
  });

  test("asks for a secret where the Worker has none, or does not exist", () => {
    expect(hasTokenSecret(null)).toBe(false);
    expect(hasTokenSecret(["REPORT_SIGNING_KEY"])).toBe(false);
    expect(hasTokenSecret(["REPORT_SIGNING_KEY", "TOKEN_SECRET"])).toBe(true);
    expect(secretMissing("abc")).toContain("TOKEN_SECRET='abc' npm run deploy");
  });

  test("of the file of secrets wrangler takes all, also those that are optional", () => {
    // With `[secrets]` it would take those alone that are required.
    expect(readFileSync(join(ROOT, "wrangler.toml"), "utf8")).not.toMatch(/^\[secrets\]/m);
  });
});

describe("Deploy to Cloudflare", () => {
  const { cloudflare, scripts }: Deployed = JSON.parse(
    readFileSync(join(ROOT, "package.json"), "utf8"),
  );

  test("describes every binding and secret that its page asks for, and no other", () => {
    const toml = readFileSync(join(ROOT, "wrangler.toml"), "utf8").replaceAll(/^#.*$/gm, "");
    const example = readFileSync(join(ROOT, ".dev.vars.example"), "utf8");
    const [, vars = ""] = /^\[vars\]$(.*?)^\[/ms.exec(toml) ?? [];
    const tables = toml
      .split(/^(?=\[)/m)
      .filter((table) => !/^\[\[ratelimits|^\[assets/.test(table));
    const bindings = tables.flatMap((table) => [
      ...table.matchAll(/^binding = "(\w+)"$/gm),
      ...(/^\[\[durable/.test(table) ? table.matchAll(/^name = "(\w+)"$/gm) : []),
    ]);
    const names = [...bindings, ...vars.matchAll(/^(\w+) = /gm), ...example.matchAll(/^(\w+)=/gm)];
    expect(Object.keys(cloudflare.bindings).sort()).toEqual(names.map(([, name]) => name).sort());
    for (const { description } of Object.values(cloudflare.bindings)) {
      expect(description).toMatch(/^[A-Z].*\.$/);
    }
  });

  test("runs the scripts that its page takes for building and deploying", () => {
    expect(Object.keys(scripts)).toEqual(expect.arrayContaining(["build", "deploy"]));
    // By the binding: whoever deploys may name the database otherwise.
    const text = readFileSync(join(ROOT, "scripts/deploy.ts"), "utf8");
    expect(text).toContain('["d1", "migrations", "apply", "DB", "--remote"]');
  });
});

interface Deployed {
  cloudflare: { bindings: Record<string, { description: string }> };
  scripts: Record<string, string>;
}
describe("the key that signs a deployment's reports", () => {
  const asked = (options: { given?: string; names?: string[] | null; answer?: string | null }) => {
    const { given, names = [], answer = null } = options;
    const said: string[] = [];
    const key = reportKeyFor({
      given,
      names: async () => names,
      ask: answer === null ? null : async () => answer,
      say: (text) => said.push(text),
    });
    return { key, said };
  };

  test("is the one that is given, or that the deployment has", async () => {
    const [one, two] = [freshSeed(), freshSeed()];
    expect(await asked({ given: ` ${one}, ${two} ` }).key).toBe(`${one},${two}`);
    const there = asked({ names: ["REPORT_SIGNING_KEY"], answer: "y" });
    expect(await there.key).toBeNull();
    expect(there.said).toEqual([]);
    await expect(asked({ given: "abc" }).key).rejects.toThrow(
      /^REPORT_SIGNING_KEY must hold seeds/,
    );
  });

  test("is made if the person wants one, and shown once", async () => {
    for (const names of [[], null]) {
      for (const answer of ["", "y", "YES"]) {
        const { key, said } = asked({ names, answer });
        const made = (await key) ?? "";
        expect(seedFault(made)).toBeNull();
        expect(said.join("\n")).toContain(`REPORT_SIGNING_KEY="${made}"`);
      }
    }
  });

  test("is none otherwise, and that is said", async () => {
    const no = asked({ answer: "n" });
    expect(await no.key).toBeNull();
    expect(no.said.join("\n")).toContain("UNSIGNED");
    const unattended = asked({});
    expect(await unattended.key).toBeNull();
    expect(unattended.said.join("\n")).toMatch(
      /UNSIGNED[\s\S]*REPORT_SIGNING_KEY='[\w-]{43}' npm run deploy/,
    );
  });
});
