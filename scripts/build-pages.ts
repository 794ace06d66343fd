/** Builds the pages that the Worker serves: the API reference, the guides, the start page, and what stands for a missing page. */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { basename, extname, join, relative } from "node:path";
import { build } from "esbuild";
import { publishConsole } from "./lib/console-build.ts";
import { guides, referenceGuides } from "./lib/guides.ts";
import { ROOT } from "./lib/project.ts";
import { publish } from "./lib/publish.ts";
import { openTarball, type Pin } from "./lib/tarballs.ts";

/** Names in this folder have a hash or a version: caches keep them for ever. */
const ASSETS = "assets";
const SCALAR = "@scalar/api-reference";

const read = (path: string) => readFileSync(join(ROOT, path), "utf8");
const pins: Record<string, Pin> = JSON.parse(read("scripts/vendored.json"));
const published = new Set<string>();

/** Publishes an asset under a name with its hash; answers its address. */
function publishHashed(name: string, contents: Uint8Array): string {
  const hash = createHash("sha256").update(contents).digest("hex").slice(0, 12);
  const ending = extname(name);
  return publishAsset(`${basename(name, ending)}-${hash}${ending}`, contents);
}

function publishAsset(name: string, contents: Uint8Array): string {
  publish(join("public", ASSETS, name), contents);
  published.add(name);
  return `/${ASSETS}/${name}`;
}

/** The built reference with the parts that it loads when they are needed; answers the addresses of the first ones. */
function publishScalar(): { entry: string; parts: string[] } {
  const pin = pins[SCALAR];
  if (pin === undefined) throw new Error(`scripts/vendored.json names no ${SCALAR}`);
  const folder = "package/dist/browser/";
  const files = openTarball(SCALAR, pin);
  const target = `scalar-${pin.version}`;
  for (const [path, contents] of files) {
    const name = path.slice(folder.length);
    const isNeeded = name === "standalone.esm.js" || name.startsWith("chunks/");
    if (path.startsWith(folder) && isNeeded && name.endsWith(".js")) {
      publishAsset(`${target}/${name}`, contents);
    }
  }
  const entry = `${target}/standalone.esm.js`;
  const text = files.get(`${folder}standalone.esm.js`)?.toString() ?? "";
  const first = [...text.matchAll(/\bfrom\s*["'`]\.\/(chunks\/[^"'`]+)["'`]/g)];
  return {
    entry: `/${ASSETS}/${entry}`,
    parts: first.map(([, name = ""]) => `/${ASSETS}/${target}/${name}`),
  };
}

/** A page's script in one file, without the packages that are published beside it. */
async function publishScript(name: string, alias: Record<string, string>): Promise<string> {
  const { outputFiles } = await build({
    absWorkingDir: ROOT,
    entryPoints: [`pages/${name}`],
    outdir: "public",
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    alias,
    external: Object.values(alias),
    define: { GUIDES: JSON.stringify(referenceGuides()) },
    write: false,
    logLevel: "warning",
  });
  const [script] = outputFiles;
  if (script === undefined) throw new Error(`pages/${name} made no script`);
  return publishHashed(name.replace(/\.ts$/, ".js"), script.contents);
}

/** Publishes a page, with its parts in the place of their names in braces. */
function publishPage(
  path: string,
  template: string,
  parts: Readonly<Record<string, string>>,
): void {
  // In one pass: what a part itself holds in braces stays.
  const page = read(template.includes("/") ? template : `pages/${template}`).replaceAll(
    /{{([\w.-]+)}}/g,
    (_whole, name: string) => {
      const part = parts[name];
      if (part === undefined) throw new Error(`${template}: nothing is there for ${name}`);
      return part;
    },
  );
  publish(join("public", path), Buffer.from(page));
}

const scalar = publishScalar();
const styles = publishHashed("page.css", readFileSync(join(ROOT, "pages/page.css")));
const common = { "page.css": styles };

publishPage("docs.html", "docs.html", {
  ...common,
  "docs.js": await publishScript("docs.ts", { [SCALAR]: scalar.entry }),
  preloads: [scalar.entry, ...scalar.parts]
    .map((address) => `<link rel="modulepreload" href="${address}">`)
    .join("\n    "),
});
const consoleParts = await publishConsole(publishAsset);
publishPage("console.html", "console/index.html", consoleParts);
// In the clothes of the console, to which they lead.
const clothes = {
  "console.css": consoleParts["console.css"],
  "top.html": read("pages/top.html").trimEnd(),
};
publishPage("set-password.html", "set-password.html", {
  ...clothes,
  "set-password.js": await publishScript("set-password.ts", {}),
});
publishPage("set-up.html", "set-up.html", {
  ...clothes,
  "set-up.js": await publishScript("set-up.ts", {}),
});
publishPage("verify.html", "verify.html", {
  ...clothes,
  "verify.js": await publishScript("verify.ts", {}),
});
publishPage("home.html", "home.html", common);
publishPage("404.html", "404.html", common);
publish("public/favicon.svg", readFileSync(join(ROOT, "pages/favicon.svg")));

const all = guides();
const menu = all.map(({ address, title }) => `<li><a href="${address}">${title}</a></li>`).join("");
for (const { path, title, html, markdown } of all) {
  publishPage(`docs/${path}.html`, "guide.html", { ...common, title, menu, html, path });
  publish(`public/docs/${path}.md`, Buffer.from(markdown));
}
// Pictures and the example of a report.
for (const name of readdirSync(join(ROOT, "docs"), { recursive: true, withFileTypes: true })) {
  const path = join(name.parentPath, name.name);
  if (!name.isFile() || name.name.endsWith(".md")) continue;
  publish(join("public", relative(ROOT, path)), readFileSync(path));
}
publish("public/llms.txt", Buffer.from(llms()));

for (const name of readdirSync(join(ROOT, "public", ASSETS), {
  recursive: true,
  withFileTypes: true,
})) {
  const path = join(name.parentPath, name.name).slice(join(ROOT, "public", ASSETS).length + 1);
  // Left over from an earlier build.
  if (!name.isDirectory() && !published.has(path)) rmSync(join(name.parentPath, name.name));
}

/** The index for language models (llmstxt.org): each guide as Markdown, and the API document. */
function llms(): string {
  const lines = all.map(({ path, title, summary }) => `- [${title}](/docs/${path}.md): ${summary}`);
  return `# Assay

> An open control plane for hardware benchmarks: create a job over HTTP, run one agent on each machine, read a verdict for each.

## API

- [API document](/openapi.json): every operation, OpenAPI 3.1

## Guides

${lines.join("\n")}
`;
}
