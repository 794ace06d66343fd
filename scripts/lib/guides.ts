/** The README and the pages of `docs/` as Markdown and as HTML. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize, posix } from "node:path";
import { Marked, type Tokens } from "marked";
import { ROOT } from "./project.ts";

export interface Guide {
  /** Below `/docs/`, without an ending, such as `guide/containers`. */
  path: string;
  address: string;
  title: string;
  /** The first sentence, as plain text. */
  summary: string;
  /** With links that hold where it is served. */
  markdown: string;
  html: string;
}

/** All of them: the README first, then guides, then the other pages by name. */
export function guides(): Guide[] {
  const names = readdirSync(join(ROOT, "docs"), { recursive: true })
    .map((name) => String(name).replaceAll("\\", "/"))
    .filter((name) => name.endsWith(".md"))
    .sort(
      (one, other) =>
        Number(other.includes("/")) - Number(one.includes("/")) || compare(one, other),
    );
  return [
    readGuide("README.md", "readme"),
    ...names.map((name) => readGuide(`docs/${name}`, name.slice(0, -3).toLowerCase())),
  ];
}

/** The guides that stand before the operations in the API reference, as Markdown; their first lines are headings of level 1. */
export function referenceGuides(): string {
  return ["docs/guide/first-job.md", "docs/guide/own-agent.md"]
    .map((file) => withServedLinks(readFileSync(join(ROOT, file), "utf8"), file, ""))
    .join("\n");
}

const compare = (one: string, other: string) => (one < other ? -1 : one > other ? 1 : 0);

function readGuide(file: string, path: string): Guide {
  const source = readFileSync(join(ROOT, file), "utf8");
  const markdown = withServedLinks(source, file, ".md");
  const marked = new Marked({
    renderer: {
      heading({ tokens, depth, text }: Tokens.Heading) {
        return `<h${depth} id="${slugOf(text)}">${this.parser.parseInline(tokens)}</h${depth}>\n`;
      },
      table(token: Tokens.Table) {
        const cell = (tag: string, { tokens, align }: Tokens.TableCell) =>
          `<${tag}${align ? ` class="${align}"` : ""}>${this.parser.parseInline(tokens)}</${tag}>`;
        const row = (tag: string, cells: Tokens.TableCell[]) =>
          `<tr>${cells.map((each) => cell(tag, each)).join("")}</tr>`;
        const body = token.rows.map((cells) => row("td", cells)).join("");
        return `<div class="wide" tabindex="0"><table><thead>${row("th", token.header)}</thead><tbody>${body}</tbody></table></div>\n`;
      },
    },
  });
  const html = marked.parse(withServedLinks(source, file, ""), { async: false });
  const title = /^# (.+)$/m.exec(source)?.[1] ?? path;
  const paragraph = /^(?!#|!|<|\||```|- )(\S.+(?:\n\S.+)*)/m.exec(source)?.[1] ?? "";
  const summary = (/^.*?[.:](?=\s|$)/s.exec(paragraph)?.[0] ?? paragraph).replace(/\s+/g, " ");
  return {
    path,
    address: `/docs/${path}`,
    title: title.replaceAll("`", ""),
    summary: summary.replace(/:$/, ".").replaceAll(/[`*]|\]\([^)]*\)|\[/g, ""),
    markdown,
    html,
  };
}

/** Links between pages lead to where they are served; other files of the project have no address there, and lose theirs. */
function withServedLinks(text: string, file: string, ending: string): string {
  return text.replaceAll(/(!?)\[([^\]]*)\]\(([^)\s]+)\)/g, (whole, image, label, target) => {
    if (/^[a-z]+:|^#|^\//.test(target)) return whole;
    const [link = "", anchor] = target.split("#");
    const place = normalize(posix.join(dirname(file), link));
    const tail = anchor === undefined ? "" : `#${anchor}`;
    if (place === "README.md") return `[${label}](/docs/readme${ending}${tail})`;
    if (place === "openapi.json") return `[${label}](/openapi.json)`;
    if (place.startsWith("docs/") && place.endsWith(".md")) {
      return `[${label}](/${place.slice(0, -3).toLowerCase()}${ending}${tail})`;
    }
    if (place.startsWith("docs/")) return `${image}[${label}](/${place})`;
    return label;
  });
}

/** As GitHub makes anchors of headings. */
function slugOf(text: string): string {
  return text
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N} _-]/gu, "")
    .replaceAll(" ", "-");
}
