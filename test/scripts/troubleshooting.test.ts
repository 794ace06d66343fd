/** Each message in docs/troubleshooting.md is one that a program prints. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "vitest";
import { ROOT } from "../../scripts/lib/project.ts";

const read = (path: string) => readFileSync(join(ROOT, path), "utf8");
const sources = ["agent/src", "scripts", "src"]
  .flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
      .filter((name) => /\.(?:ts|mjs)$/.test(name))
      .map((name) => read(join(folder, name))),
  )
  .join("\n")
  // Templates: what stands in their place differs each time.
  .replaceAll(/\$\{[^}]*\}/g, "…");

/** Messages in the first column, with an ellipsis for each part that differs. */
const messages = [...read("docs/troubleshooting.md").matchAll(/^\| `([^`]* [^`]*)`/gm)].map(
  ([, text = ""]) => text.replaceAll(/\b(?:URL|N|\d+)\b/g, "…"),
);

test("there are such messages", ({ expect }) => {
  expect(messages.length).toBeGreaterThan(10);
});

test.for(messages)("%s", (message, { expect }) => {
  for (const part of message.split("…").filter((part) => part.trim().length > 3)) {
    expect(sources).toContain(part.trim());
  }
});
