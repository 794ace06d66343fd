/** `npm start` prints what a person needs, and the line of each request only when asked. */
import { expect, test } from "vitest";
import { withoutRequests } from "../../scripts/lib/server-output.ts";

function printed(...pieces: string[]): string {
  let output = "";
  const pass = withoutRequests((text) => {
    output += text;
  });
  for (const piece of pieces) pass(piece);
  return output;
}

const line = (level: string) => `${JSON.stringify({ level, event: "request" })}\n`;

test("requests are left out, warnings and errors are not", () => {
  expect(printed(line("info"), line("warn"), line("error"))).toBe(line("warn") + line("error"));
  expect(printed("[wrangler:info] GET /health 200 OK (3ms)\n")).toBe("");
  expect(printed("[wrangler:info] GET /api/x?y=1 401 Unauthorized (3ms)\n\n")).toBe("");
});

test("a line that comes in pieces is one line", () => {
  const [whole] = [line("warn")];
  expect(printed(whole.slice(0, 9), whole.slice(9) + line("info").slice(0, 5))).toBe(whole);
});

test("texts that are no log lines pass", () => {
  expect(printed("Error: boom\n  at x\n")).toBe("Error: boom\n  at x\n");
  expect(printed('{"level": broken\n')).toBe('{"level": broken\n');
});
