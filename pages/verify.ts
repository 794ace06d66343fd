/** Checks a report's file in the browser: its signature, and its hash by the server that made it. */
import { type Checked, checkReport, readKeys } from "../src/reports/check/check.ts";
import { MAX_FILE_BYTES } from "../src/reports/check/format.ts";
import { element } from "./element.ts";

const drop = element("drop", HTMLLabelElement);
const input = element("file", HTMLInputElement);
const outcome = element("outcome", HTMLElement);
const facts = element("facts", HTMLDListElement);

type Kind = "busy" | "done" | "error";

interface Answer {
  kind: Kind;
  text: string;
  rows: [name: string, value: string][];
}

/** Counts checks, so that a slow one does not overwrite a later one. */
let latest = 0;

async function show(file: File): Promise<void> {
  const own = ++latest;
  say({ kind: "busy", text: `Checking ${file.name} …`, rows: [] });
  const answer = await check(file).catch(
    (error: unknown): Answer => ({ kind: "error", text: reasonOf(error), rows: [] }),
  );
  if (own === latest) say(answer);
}

function reasonOf(error: unknown): string {
  const name = error instanceof Error ? error.name : "";
  if (name === "NotSupportedError") {
    return "This browser cannot check Ed25519 signatures. Use a newer one, or node agent.mjs verify FILE --host URL.";
  }
  return "The report could not be checked: the file cannot be read, or the server cannot be reached. Try again.";
}

async function check(file: File): Promise<Answer> {
  if (file.size > MAX_FILE_BYTES) {
    return { kind: "error", text: "Not valid: the file is larger than any report.", rows: [] };
  }
  const bytes = new Uint8Array(await file.arrayBuffer());
  const keys = readKeys(await (await ask("/.well-known/assay-report-keys.json")).text());
  if (keys === null) throw new Error("The server has sent no keys");
  const checked = await checkReport(bytes, keys);
  const rows = rowsOf(checked);
  if (checked.verdict === "unknown_key") {
    const text = `Unknown key: ${checked.reason} by this server. Another server may have made the report.`;
    return { kind: "error", text, rows };
  }
  if (checked.verdict !== "valid" || checked.facts === null) {
    return { kind: "error", text: `Not valid: ${checked.reason}.`, rows };
  }
  if (!checked.isPdf)
    return { kind: "done", text: "Valid: this server has signed the data.", rows };
  const reply = await fetch(`/api/silicon-mark/v1/reports/${checked.facts.hash}`);
  if (reply.status === 404) {
    const text =
      "The data is genuine, but this server no longer has this report, so the pages cannot be compared.";
    return { kind: "error", text, rows };
  }
  if (!reply.ok) throw new Error(`The server answered ${reply.status}`);
  const report: { file_sha256?: string; is_latest?: boolean } = await reply.json();
  if (report.file_sha256 !== (await sha256Of(bytes))) {
    const text =
      "Not valid: the data is genuine, but the file is not the one that this server made. It was changed.";
    return { kind: "error", text, rows };
  }
  const newer = report.is_latest ? "" : " There is a newer report.";
  const text = `Valid: this server made exactly this file and signed its data.${newer}`;
  return { kind: "done", text, rows };
}

async function ask(path: string): Promise<Response> {
  const reply = await fetch(path);
  if (!reply.ok) throw new Error(`${path} answered ${reply.status}`);
  return reply;
}

async function sha256Of(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function rowsOf({ facts: data, kid }: Checked): Answer["rows"] {
  if (data === null) return kid === null ? [] : [["Key", kid]];
  return [
    // The name comes last: a right-to-left mark in it then turns nothing else.
    ["Job", `${data.jobId}: ${data.jobName}`],
    ...(data.rank === null ? [] : [["Node", String(data.rank)] as [string, string]]),
    ["Customer", data.customer],
    ["Ended", data.endedAt || "without a time"],
    ["State", data.state],
    ["Verdict", data.status],
    ["Content hash", data.hash],
    ["Key", kid ?? ""],
  ];
}

function say({ kind, text, rows }: Answer): void {
  outcome.dataset.kind = kind;
  outcome.textContent = text;
  facts.replaceChildren(
    ...rows.flatMap(([name, value]) => {
      const [term, description] = [document.createElement("dt"), document.createElement("dd")];
      term.textContent = name;
      description.textContent = value;
      return [term, description];
    }),
  );
  facts.hidden = rows.length === 0;
  if (kind !== "busy") outcome.focus();
}

input.addEventListener("change", () => {
  const [file] = input.files ?? [];
  if (file !== undefined) void show(file);
  // The same file, changed meanwhile, may be chosen again.
  input.value = "";
});
for (const name of ["dragenter", "dragover"] as const) {
  drop.addEventListener(name, (event) => {
    event.preventDefault();
    drop.dataset.over = "";
  });
}
for (const name of ["dragleave", "drop"] as const) {
  drop.addEventListener(name, () => delete drop.dataset.over);
}
// A file that is dropped beside the field would leave the page.
for (const name of ["dragover", "drop"] as const) {
  addEventListener(name, (event) => event.preventDefault());
}
drop.addEventListener("drop", (event) => {
  const [file] = event.dataTransfer?.files ?? [];
  if (file !== undefined) void show(file);
});
