/** Draws a report of made-up data and answers its length: the product's drawing without its storage. */
import { sampleReport } from "../../test/reports/samples.ts";

export default {
  async fetch(request: Request): Promise<Response> {
    const { searchParams } = new URL(request.url);
    const size = {
      nodes: Number(searchParams.get("nodes")),
      gpus: Number(searchParams.get("gpus")),
    };
    const data = sampleReport(size);
    if (searchParams.has("idle")) return Response.json({ bytes: 0 });
    const { drawReport } = await import("../../src/reports/drawing/draw-report.ts");
    const bytes = await drawReport(data, { hash: "0".repeat(64) });
    return Response.json({ bytes: bytes.length });
  },
};
