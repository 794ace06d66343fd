/** The README's demo and the example of a report are of the same run. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "vitest";
import { figure } from "../../src/reports/drawing/writing.ts";
import { readPdf } from "../reports/read-pdf.ts";

const ROOT = join(import.meta.dirname, "../..");
const readme = readFileSync(join(ROOT, "README.md"), "utf8");
const ROW = /^(\d) +(\d+ × NVIDIA .*?) {2,}([\d.]+) +([\d.]+ %) +([\d.]+) +([\d.]+ %) +(.+)$/gm;

describe("the README's demo and docs/report-example.pdf", async () => {
  const { pages, text } = await readPdf(readFileSync(join(ROOT, "docs/report-example.pdf")));
  const lines = (pages[0] ?? "").split("\n");
  const rows = [...readme.matchAll(ROW)];

  test("show the same nodes, figures and shares", ({ expect }) => {
    expect(rows).toHaveLength(4);
    let at = lines.indexOf("Nodes");
    for (const [, rank = "", gpus = "", bf16, share, memory, memoryShare] of rows) {
      for (const piece of [
        rank,
        gpus,
        figure(Number(bf16)),
        share ?? "",
        figure(Number(memory)),
        memoryShare ?? "",
      ]) {
        const next = lines.indexOf(piece, at + 1);
        expect(next, `${piece} of node ${rank}`).toBeGreaterThan(at);
        at = next;
      }
    }
  });

  test("show the same verdict, for the same reason", ({ expect }) => {
    const slow = rows.find(([, , , , , , , verdict]) => verdict === "UNDERPERFORMING");
    const [, rank, gpus, bf16, share] = slow ?? [];
    expect(lines).toContain("Underperforming (REPLAYED)");
    expect(pages[0]?.replaceAll("\n", " ")).toContain(
      `Node ${rank} (${gpus}): BF16 ${figure(Number(bf16))} TFLOPS per GPU, ${share} of the baseline`,
    );
    const unrated = rows.find(([, , , , , , , verdict]) => verdict === "not rated");
    expect(pages[0]).toContain(`Node ${unrated?.[1]} not rated (REPLAYED)`);
  });

  test("show the same network", ({ expect }) => {
    const [, links, average, slowest, latency] =
      /loopback: (\d+) links, ([\d.]+) Gbit\/s on average, ([\d.]+) the slowest, round trip ([\d.]+) ms/.exec(
        readme,
      ) ?? [];
    const fact = (name: string) => new RegExp(`^${name}\n([\\d.]+)`, "m").exec(text)?.[1] ?? "";
    expect(fact("Links tested")).toBe(links);
    expect(Number(fact("Average bandwidth")).toFixed(1)).toBe(average);
    expect(Number(fact("Minimum bandwidth")).toFixed(1)).toBe(slowest);
    expect(Number(fact("Average latency"))).toBe(Number(latency));
  });
});
