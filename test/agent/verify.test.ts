/** `node agent.mjs verify`: which reports it takes for genuine, and what it says of the others. */
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { deflateSync } from "node:zlib";
import { PDFDocument } from "@cantoo/pdf-lib";
import { describe, expect, onTestFinished, test } from "vitest";
import { runVerify } from "../../agent/src/verify.ts";
import { ROOT } from "../../scripts/lib/project.ts";
import { embeddedFiles, readEmbedded } from "../../src/reports/check/embedded-files.ts";
import type { PublicJwk } from "../../src/reports/check/keys.ts";
import { packData } from "../../src/reports/drawing/attachment.ts";
import { drawReport } from "../../src/reports/drawing/draw-report.ts";
import { reportJson } from "../../src/reports/report-json.ts";
import { openKey, type Signer, signData } from "../../src/reports/signing.ts";
import { sampleReport } from "../reports/samples.ts";

const HASH = "0123456789abcdef".repeat(4);
const data = sampleReport({ nodes: 1, gpus: 1 });
const font = (name: string) => new Uint8Array(readFileSync(join(ROOT, "public/fonts", name)));
const fonts = { regular: font("DejaVuSans.ttf"), bold: font("DejaVuSans-Bold.ttf") };
const newSeed = () => Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString("base64url");
const signer = await openKey(newSeed());
const other = await openKey(newSeed());
const genuine = await makeReport(signer);

async function makeReport(
  by: Signer | null,
  hash = HASH,
  shown = data,
): Promise<Uint8Array<ArrayBuffer>> {
  const json = await signData(reportJson(shown, hash), by);
  const drawn = await drawReport(data, { hash, fonts, kid: by?.kid ?? null, data: packData(json) });
  return new Uint8Array(drawn.bytes);
}

/** A PDF of its own with these embedded files. */
async function pdfWith(...files: (Uint8Array | string)[]): Promise<Uint8Array> {
  const document = await PDFDocument.create();
  document.addPage();
  for (const file of files) {
    const bytes = typeof file === "string" ? Buffer.from(file) : file;
    const { context } = document;
    context.register(context.flateStream(bytes, { Type: "EmbeddedFile" }));
  }
  return document.save({ useObjectStreams: false });
}

interface Jws {
  payload: string;
  protected: string | null;
  signature: string | null;
}

async function jwsOf(pdf: Uint8Array<ArrayBuffer>): Promise<Jws> {
  const [extent] = embeddedFiles(pdf);
  if (extent === undefined) throw new Error("no embedded file");
  const bytes = await readEmbedded(pdf, extent, 1e8);
  return JSON.parse(Buffer.from(bytes ?? []).toString());
}

const decode = (text: string | null) => JSON.parse(Buffer.from(text ?? "", "base64url").toString());
const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");

function fileOf(contents: Uint8Array | string): string {
  const folder = mkdtempSync(join(tmpdir(), "assay-verify-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "file");
  writeFileSync(path, contents);
  return path;
}

const keysOf = (...jwks: PublicJwk[]) => fileOf(JSON.stringify({ keys: jwks }));

async function verify(...argv: string[]) {
  let [stdout, stderr] = ["", ""];
  const terminal = {
    stdout: (text: string) => {
      stdout += text;
    },
    stderr: (text: string) => {
      stderr += text;
    },
  };
  const code = await runVerify(argv, {}, terminal, new AbortController().signal);
  return { code, stdout, stderr };
}

/** A server with these keys, which has made these files. */
async function serve(
  { keys, made }: { keys: unknown; made: Record<string, { sha256: string; isLatest: boolean }> },
  { isAssay = true } = {},
): Promise<string> {
  const server = createServer((request, reply) => {
    if (isAssay) reply.setHeader("assay-nonce", request.headers["assay-nonce"] ?? "");
    const hash = request.url?.split("/").at(-1) ?? "";
    const report = made[hash];
    if (request.url === "/.well-known/assay-report-keys.json") reply.end(JSON.stringify({ keys }));
    else if (report === undefined) reply.writeHead(404).end("{}");
    else reply.end(JSON.stringify({ file_sha256: report.sha256, is_latest: report.isLatest }));
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  onTestFinished(() => void server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

describe("by a file with keys", () => {
  test("a report that one of them has signed is valid, also a retired one", async () => {
    const keys = keysOf(other.jwk, signer.jwk);
    const { code, stdout } = await verify(fileOf(genuine), "--keys", keys);
    expect(stdout).toContain("VALID: the data was signed by a key of");
    expect(stdout).toContain(`Report of job ${data.job.id}`);
    expect(stdout).toContain(`Key ${signer.kid}`);
    expect(stdout, "and what was not checked").toContain("pages were not compared");
    expect(code).toBe(0);
  });

  test.for([
    ["expected", "completed, verdict as expected"],
    ["unrated", "completed with warnings, verdict not rated"],
    [null, "completed with warnings, verdict not rated"],
  ] as const)("its verdict %s is named in the report's words", async ([status, words]) => {
    const state = status === "expected" ? "completed" : "completed_with_warnings";
    const verdict = status && data.verdict && { ...data.verdict, status };
    const shown = { ...data, job: { ...data.job, state }, verdict };
    const { stdout } = await verify(fileOf(await makeReport(signer, HASH, shown)));
    expect(stdout).toMatch(new RegExp(`^Ended \\S+, ${words}$`, "m"));
  });

  test("after a rotation both are, by the keys of both", async () => {
    const keys = keysOf(signer.jwk, other.jwk);
    const newer = await makeReport(other);
    for (const pdf of [genuine, newer]) {
      expect((await verify(fileOf(pdf), "--keys", keys)).code).toBe(0);
    }
  });

  test("one that none of them has signed is of an unknown key", async () => {
    const keys = keysOf(other.jwk);
    const { code, stdout } = await verify(fileOf(genuine), "--keys", keys);
    expect(stdout).toContain(
      `UNKNOWN KEY: signed by the key ${signer.kid}, which is not among those given by ${keys}`,
    );
    expect(stdout, "nothing it says counts").not.toContain("Report of job");
    expect(code).toBe(2);
    expect((await verify(fileOf(genuine), "--keys", keysOf())).code).toBe(2);
  });

  test("the data as JSON is checked as well", async () => {
    const json = JSON.stringify({ pdf_sha256: "x", ...(await jwsOf(genuine)) });
    const { code, stdout } = await verify(fileOf(json), "--keys", keysOf(signer.jwk));
    expect(stdout).toContain("VALID");
    expect(code).toBe(0);
  });
});

const jws = await jwsOf(genuine);

describe("what is not valid", () => {
  const keys = () => keysOf(signer.jwk);
  const payload = decode(jws.payload);
  const forged = { ...payload, job: { ...payload.job, name: "Better" } };
  const header = decode(jws.protected);
  const signedBy = async (by: Signer, head: object, body: object = payload) => {
    const parts = { payload: encode(body), protected: encode(head) };
    const input = Buffer.from(`${parts.protected}.${parts.payload}`);
    const signature = Buffer.from(await crypto.subtle.sign("Ed25519", by.key, input));
    return JSON.stringify({ ...parts, signature: signature.toString("base64url") });
  };

  const CASES: [name: string, file: () => Promise<Uint8Array | string>, reason: RegExp][] = [
    [
      "a changed payload",
      () => pdfWith(JSON.stringify({ ...jws, payload: encode(forged) })),
      /changed after it was signed/,
    ],
    [
      "a changed header",
      () => pdfWith(JSON.stringify({ ...jws, protected: encode({ ...header, note: 1 }) })),
      /changed after it was signed/,
    ],
    [
      "a cut signature",
      () => pdfWith(JSON.stringify({ ...jws, signature: jws.signature?.slice(4) })),
      /changed after it was signed/,
    ],
    [
      "another's signature in the name of a trusted key",
      () => signedBy(other, header, forged),
      /changed after it was signed/,
    ],
    [
      "another's key under a trusted id",
      () => signedBy(other, { ...header, jwk: other.jwk }),
      /names another key/,
    ],
    ["no algorithm", () => signedBy(signer, { ...header, alg: "none" }), /signature of this form/],
    [
      "a token of another type",
      () => signedBy(signer, { ...header, typ: "JWT" }),
      /signature of this form/,
    ],
    [
      "a critical extension",
      () => signedBy(signer, { ...header, crit: ["b64"], b64: false }),
      /signature of this form/,
    ],
    [
      "a form of later versions",
      () => signedBy(signer, header, { ...payload, format: "assay-report/2" }),
      /does not know the form/,
    ],
    ["an unsigned report", () => makeReport(null), /unsigned/],
    ["a removed signature", () => pdfWith(JSON.stringify({ payload: jws.payload })), /unsigned/],
    ["a report without its data", async () => withoutData(genuine), /no report\.json/],
    ["a PDF of something else", () => pdfWith(), /no report\.json/],
    ["two embedded files", async () => twice(genuine), /several embedded files/],
    ["damaged compression", async () => damaged(genuine), /damaged/],
    [
      "data that grows beyond any report",
      () => pdfWith(new Uint8Array(101_000_000)),
      /damaged or too large/,
    ],
    ["an embedded text", () => pdfWith("hello"), /not a JSON object/],
    ["a list", () => pdfWith("[]"), /no payload/],
    ["a text file", async () => "hello", /neither a PDF/],
    ["an empty file", async () => "", /neither a PDF/],
    ["JSON that is cut", async () => '{"payload":', /not a JSON object/],
    ["a PDF that is cut", async () => genuine.subarray(0, 2_000), /no report\.json/],
  ];

  test.for(CASES)("%s", { timeout: 60_000 }, async ([, file, reason]) => {
    const { code, stdout } = await verify(fileOf(await file()), "--keys", keys());
    expect(stdout).toMatch(/^NOT VALID: /m);
    expect(stdout).toMatch(reason);
    expect(code).toBe(1);
  });

  test("a file larger than any report is not even read", async () => {
    const path = fileOf("%PDF-1.7");
    truncateSync(path, 64 * 2 ** 20 + 1);
    const { code, stderr } = await verify(path);
    expect(stderr).toContain("larger than 64 MiB");
    expect(code).toBe(1);
  });

  test("a file that is not there, and a folder", async () => {
    for (const path of [join(tmpdir(), "assay-nothing-here"), tmpdir()]) {
      const { code, stderr } = await verify(path);
      expect(stderr).toContain("cannot be read");
      expect(code).toBe(1);
    }
  });

  test("texts of a stranger do not reach the terminal as they are", async () => {
    const evil = { ...payload, job: { ...payload.job, name: "\u001b[2J\u202efake\nVALID" } };
    const { stdout } = await verify(fileOf(await signedBy(signer, header, evil)), "--keys", keys());
    for (const sign of ["\u001b", "\u202e"]) expect(stdout).not.toContain(sign);
    expect(stdout).not.toMatch(/^VALID$/m);
  });
});

describe("without keys and host", () => {
  test("integrity alone is proved, and said so", async () => {
    const { code, stdout } = await verify(fileOf(genuine));
    expect(stdout).toMatch(/^INTEGRITY ONLY: /m);
    expect(stdout).toContain("The signer was not checked");
    expect(stdout).not.toMatch(/^VALID/m);
    expect(code).toBe(0);
  });

  test("a stranger's own report passes as that, and as no more", async () => {
    const { code, stdout } = await verify(fileOf(await makeReport(other)));
    expect(stdout).toMatch(/^INTEGRITY ONLY: /m);
    expect(code).toBe(0);
  });
});

describe("by the server that made it", () => {
  const made = { [HASH]: { sha256: sha256(genuine), isLatest: true } };

  test("the very file is valid", async () => {
    const host = await serve({ keys: [signer.jwk], made });
    const { code, stdout } = await verify(fileOf(genuine), "--host", host);
    expect(stdout).toContain(`VALID: the file is the one that ${host} made`);
    expect(stdout).not.toContain("newer report");
    expect(code).toBe(0);
  });

  test("an older one is valid, and it is said that there is a newer", async () => {
    const old = { [HASH]: { sha256: sha256(genuine), isLatest: false } };
    const host = await serve({ keys: [signer.jwk], made: old });
    const { code, stdout } = await verify(fileOf(genuine), "--host", host);
    expect(stdout).toContain("There is a newer report.");
    expect(code).toBe(0);
  });

  test("genuine data in another file is not: one byte, or other pages", async () => {
    const host = await serve({ keys: [signer.jwk], made });
    const padded = new Uint8Array([...genuine, 10]);
    const moved = await pdfWith(JSON.stringify(await jwsOf(genuine)));
    for (const pdf of [padded, moved]) {
      const { code, stdout } = await verify(fileOf(pdf), "--host", host);
      expect(stdout).toContain("NOT VALID: the data is genuine, but the file is not the one");
      expect(code).toBe(1);
    }
  });

  test("a report that the server does not know any more is not", async () => {
    const host = await serve({ keys: [signer.jwk], made: {} });
    const { code, stdout } = await verify(fileOf(genuine), "--host", host);
    expect(stdout).toContain("no longer has this report");
    expect(code).toBe(1);
  });

  test("a report of another server has an unknown key", async () => {
    const host = await serve({ keys: [other.jwk], made });
    expect((await verify(fileOf(genuine), "--host", host)).code).toBe(2);
  });

  test("nobody else can answer for it", async () => {
    const host = await serve({ keys: [signer.jwk], made }, { isAssay: false });
    const { code, stdout, stderr } = await verify(fileOf(genuine), "--host", host);
    expect(stdout).toBe("");
    expect(stderr).toContain("is not an Assay server");
    expect(code).toBe(1);
  });

  test("a server that cannot be reached proves nothing", async () => {
    const { code, stdout, stderr } = await verify(fileOf(genuine), "--host", "http://127.0.0.1:1");
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toContain("http://127.0.0.1:1 cannot be reached: ");
  });
});

test.for([
  [[]],
  [["one", "two"]],
  [["file", "--keys", "a", "--host", "http://assay.test"]],
  [["file", "--host", "assay.test"]],
  [["file", "--token", "x"]],
])("verify %j is bad usage", async ([argv = []]) => {
  const { code, stdout, stderr } = await verify(...argv);
  expect({ code, stdout }).toEqual({ code: 64, stdout: "" });
  expect(stderr).toContain("Usage: node agent.mjs verify FILE");
});

test("keys that are no JWK set prove nothing", async () => {
  for (const text of ["", "{}", "[]", '{"keys":7}']) {
    const { code, stderr } = await verify(fileOf(genuine), "--keys", fileOf(text));
    expect(stderr).toContain("has no JWK set");
    expect(code).toBe(1);
  }
});

/** The same file, whose embedded file is none any more. */
function withoutData(pdf: Uint8Array): Uint8Array {
  return Buffer.from(
    Buffer.from(pdf)
      .toString("latin1")
      .replaceAll(/\/EmbeddedFile(?!s)/g, "/NothingAtAll"),
    "latin1",
  );
}

/** The same file, with another embedded file at its end. */
function twice(pdf: Uint8Array): Uint8Array {
  const stored = deflateSync("{}");
  const head = `\n99 0 obj\n<< /Type /EmbeddedFile /Length ${stored.length} /Filter /FlateDecode >>\nstream\n`;
  return Buffer.concat([pdf, Buffer.from(head), stored, Buffer.from("\nendstream\nendobj\n")]);
}

function damaged(pdf: Uint8Array): Uint8Array {
  const copy = Buffer.from(pdf);
  const [extent] = embeddedFiles(pdf);
  copy.fill(0x55, (extent?.offset ?? 0) + 10, (extent?.offset ?? 0) + 60);
  return copy;
}
