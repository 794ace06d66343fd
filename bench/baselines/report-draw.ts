/** Draws a report of made-up data and answers its length: the product's drawing without its storage. The body has the fonts. */
import type { FontFiles } from "../../src/reports/drawing/typeface.ts";
import { sampleReport } from "../../test/reports/samples.ts";

let fonts: FontFiles | null = null;

export default {
  async fetch(request: Request): Promise<Response> {
    const { searchParams } = new URL(request.url);
    const size = {
      nodes: Number(searchParams.get("nodes")),
      gpus: Number(searchParams.get("gpus")),
    };
    const sent = await request.bytes();
    const regular = Number(searchParams.get("regular"));
    fonts ??= { regular: sent.subarray(0, regular), bold: sent.subarray(regular) };
    const data = sampleReport(size);
    if (searchParams.has("idle")) return Response.json({ bytes: 0 });
    const { drawReport } = await import("../../src/reports/drawing/draw-report.ts");
    const { bytes } = await drawReport(data, { hash: "0".repeat(64), fonts });
    return Response.json({ bytes: bytes.length });
  },
};
