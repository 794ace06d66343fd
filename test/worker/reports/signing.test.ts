/** The signed data of reports: canonical JSON, keys, signatures, and the file they are embedded in. */
import { env } from "cloudflare:workers";
import { createHash } from "node:crypto";
import { describe, test } from "vitest";
import { createApp } from "../../../src/app.ts";
import { openBucket } from "../../../src/db/bucket.ts";
import { createMeter, openDatabase } from "../../../src/db/client.ts";
import { readConfig } from "../../../src/lib/config.ts";
import { canonicalJson } from "../../../src/lib/json.ts";
import { fromBase64url, toBase64url } from "../../../src/reports/check/base64url.ts";
import { embeddedFiles, readEmbedded } from "../../../src/reports/check/embedded-files.ts";
import { publicJwkOf, thumbprintOf } from "../../../src/reports/check/keys.ts";
import { getReportRoute } from "../../../src/reports/contract.ts";
import { getReportDataRoute, getReportKeysRoute } from "../../../src/reports/data-contract.ts";
import { makeReports } from "../../../src/reports/make.ts";
import { openKey, openSigner, signData } from "../../../src/reports/signing.ts";
import { readPdf } from "../../reports/read-pdf.ts";
import { appDeps, call, detail, expectContract, expectError } from "../harness/client.ts";
import { measureJob } from "../harness/factories.ts";
import { costOf, reported } from "../harness/instruments.ts";
import { jobRow } from "../harness/rows.ts";
import { open } from "./report-files.ts";

/** RFC 8785, appendix B: the bits of a number, and its JSON. */
const NUMBERS: [bits: string, json: string][] = [
  ["0000000000000000", "0"],
  ["8000000000000000", "0"],
  ["0000000000000001", "5e-324"],
  ["8000000000000001", "-5e-324"],
  ["7fefffffffffffff", "1.7976931348623157e+308"],
  ["ffefffffffffffff", "-1.7976931348623157e+308"],
  ["4340000000000000", "9007199254740992"],
  ["c340000000000000", "-9007199254740992"],
  ["4430000000000000", "295147905179352830000"],
  ["44b52d02c7e14af5", "9.999999999999997e+22"],
  ["44b52d02c7e14af6", "1e+23"],
  ["44b52d02c7e14af7", "1.0000000000000001e+23"],
  ["444b1ae4d6e2ef4e", "999999999999999700000"],
  ["444b1ae4d6e2ef4f", "999999999999999900000"],
  ["444b1ae4d6e2ef50", "1e+21"],
  ["3eb0c6f7a0b5ed8c", "9.999999999999997e-7"],
  ["3eb0c6f7a0b5ed8d", "0.000001"],
  ["41b3de4355555553", "333333333.3333332"],
  ["41b3de4355555554", "333333333.33333325"],
  ["41b3de4355555555", "333333333.3333333"],
  ["41b3de4355555556", "333333333.3333334"],
  ["41b3de4355555557", "333333333.33333343"],
  ["becbf647612f3696", "-0.0000033333333333333333"],
  ["43143ff3c1cb0959", "1424953923781206.2"],
];

/** RFC 8785, 3.2.3 and the test data of its authors: what is sent, and its canonical form. */
const TEXTS: [sent: string, canonical: string][] = [
  [
    '{"\\u20ac":"Euro Sign","\\r":"Carriage Return","\\ufb33":"Hebrew Letter Dalet With Dagesh","1":"One","\\ud83d\\ude00":"Emoji: Grinning Face","\\u0080":"Control","\\u00f6":"Latin Small Letter O With Diaeresis"}',
    '{"\\r":"Carriage Return","1":"One","\u0080":"Control","ö":"Latin Small Letter O With Diaeresis","€":"Euro Sign","😀":"Emoji: Grinning Face","\ufb33":"Hebrew Letter Dalet With Dagesh"}',
  ],
  [
    '{"numbers":[1E30,4.50,333333333.33333329,2e-3,0.000000000000000000000000001],"escaping":"\\u20ac$\\u000F\\u000aA\'\\u0042\\u0022\\u005c\\\\\\"\\/","literals":[null,true,false]}',
    '{"escaping":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/","literals":[null,true,false],"numbers":[1e+30,4.5,333333333.3333333,0.002,1e-27]}',
  ],
  [
    '{"1":{"f":{"f":"hi","F":5},"\\n":56.0},"10":{},"":"empty","a":{},"111":[{}],"A":{}}',
    '{"":"empty","1":{"\\n":56,"f":{"F":5,"f":"hi"}},"10":{},"111":[{}],"A":{},"a":{}}',
  ],
];

describe("canonical JSON (RFC 8785)", () => {
  test.for(NUMBERS)("the number %s is %s", ([bits, json], { expect }) => {
    const bytes = new DataView(new ArrayBuffer(8));
    bytes.setBigUint64(0, BigInt(`0x${bits}`));
    expect(canonicalJson(bytes.getFloat64(0))).toBe(json);
  });

  test.for(TEXTS)("%s", ([sent, canonical], { expect }) => {
    expect(canonicalJson(JSON.parse(sent))).toBe(canonical);
  });
});

describe("keys", () => {
  test("the public key of a seed, and its id (RFC 8037, appendix A)", async ({ expect }) => {
    const { kid, jwk } = await openKey("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A");
    expect(jwk).toEqual({
      kty: "OKP",
      crv: "Ed25519",
      x: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    });
    expect(kid).toBe("kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    expect(await thumbprintOf(jwk)).toBe(kid);
  });

  test("no seed, no signer; the first of several signs", async ({ expect }) => {
    expect(await openSigner([])).toBeNull();
    const [one, other] = [seed(), seed()];
    expect((await openSigner([one, other]))?.kid).toBe((await openKey(one)).kid);
  });

  test.for([
    [
      "another curve",
      { kty: "OKP", crv: "X25519", x: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" },
    ],
    [
      "another type",
      { kty: "EC", crv: "Ed25519", x: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" },
    ],
    ["a short key", { kty: "OKP", crv: "Ed25519", x: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcH" }],
    ["no text", { kty: "OKP", crv: "Ed25519", x: 7 }],
    ["null", null],
  ] as const)("%s is no key of reports", ([, value], { expect }) => {
    expect(publicJwkOf(value)).toBeNull();
  });
});

test("base64url has one spelling for each bytes", ({ expect }) => {
  for (let length = 0; length < 70; length++) {
    const bytes = crypto.getRandomValues(new Uint8Array(length));
    const text = Buffer.from(bytes).toString("base64url");
    expect(toBase64url(bytes)).toBe(text);
    expect(fromBase64url(text)).toEqual(bytes);
  }
  for (const text of ["A", "AB", "AAB", "AA==", "A+", "A/", "A A", "Ä"]) {
    expect(fromBase64url(text), text).toBeNull();
  }
});

const figures = { aggregate_results: { bf16_tflops: 700, memory_bandwidth_gbs: 4_000 } };

describe("signing", () => {
  test.for([0, 1, 2, 3, 49_151, 49_152, 49_153, 200_000])(
    "%i bytes in any parts: the signature is that of the protected header and the payload",
    async (length, { expect }) => {
      const text = "ä".repeat(length >> 1) + "x".repeat(length & 1);
      const cut = text.length >> 1;
      const signer = await openKey(seed());
      const bytes = await signData([text.slice(0, cut), text.slice(cut)], signer);
      const jws = JSON.parse(new TextDecoder().decode(bytes));
      expect(Object.keys(jws)).toEqual(["payload", "protected", "signature"]);
      expect(Buffer.from(jws.payload, "base64url").toString()).toBe(text);
      const header = JSON.parse(Buffer.from(jws.protected, "base64url").toString());
      const { kid, jwk } = signer;
      expect(header).toEqual({ alg: "EdDSA", typ: "assay-report+jws", kid, jwk });
      const key = await crypto.subtle.importKey("jwk", jwk, "Ed25519", false, ["verify"]);
      const signature = Buffer.from(jws.signature, "base64url");
      const input = Buffer.from(`${jws.protected}.${jws.payload}`);
      expect(await crypto.subtle.verify("Ed25519", key, signature, input)).toBe(true);
    },
  );

  test("without a key the data says that it is unsigned", async ({ expect }) => {
    const bytes = await signData(['{"a"', ":1}"], null);
    const payload = Buffer.from('{"a":1}').toString("base64url");
    expect(JSON.parse(new TextDecoder().decode(bytes))).toEqual({
      payload,
      protected: null,
      signature: null,
    });
  });
});

test("a report's file holds its data, as canonical JSON that the deployment's key has signed", async ({
  expect,
}) => {
  const job = await measured();
  const { bytes } = await open((await detail(job)).body.pdf_report_url);
  const files = embeddedFiles(bytes);
  expect(files).toHaveLength(1);
  const [extent] = files;
  if (extent === undefined) return;
  const json = await readEmbedded(bytes, extent, 1e6);
  const { payload, ...jws } = JSON.parse(new TextDecoder().decode(json ?? new Uint8Array()));
  const text = Buffer.from(payload, "base64url").toString();
  const data = JSON.parse(text);
  expect(text).toBe(canonicalJson(data));
  expect(data).toMatchObject({
    format: "assay-report/1",
    subject: { kind: "job", id: job.id },
    job: { id: job.id, state: "completed", created_at: expect.stringMatching(/^\d{4}-.*Z$/) },
    nodes: [{ rank: 0, quick_mark: { aggregate: {} } }],
  });
  expect((await call("GET", `/reports/${data.content_hash}`)).body.job_id).toBe(job.id);
  const [configured = ""] = env.REPORT_SIGNING_KEY.split(",");
  const { kid } = await openKey(configured);
  expect(JSON.parse(Buffer.from(jws.protected, "base64url").toString()).kid).toBe(kid);
});

describe("what the server answers of a report", () => {
  const deps = { thresholds: readConfig(env).rating, now: 1 };
  const remake = (job: { id: string }, seeds: readonly string[]) =>
    makeReports(
      {
        ...deps,
        seeds,
        assets: env.ASSETS,
        db: openDatabase(env.DB, createMeter()),
        bucket: openBucket(env.BUCKET, createMeter()),
      },
      Number(job.id),
    );
  const keys = () => call("GET", "https://assay.test/.well-known/assay-report-keys.json");
  const kidsOf = ({ body }: Awaited<ReturnType<typeof keys>>) =>
    body.keys.map(({ kid }: { kid: string }) => kid);
  const hashOf = async (job: { id: string }) => (await jobRow(job)).reportHash ?? "";

  test("its data: what the file embeds, beside the file's hash, in one read of D1 and of R2", async ({
    expect,
  }) => {
    const job = await measured();
    const { bytes } = await open((await detail(job)).body.pdf_report_url);
    const [extent] = embeddedFiles(bytes);
    const json = extent && (await readEmbedded(bytes, extent, 1e6));
    const embedded = JSON.parse(new TextDecoder().decode(json ?? new Uint8Array()));
    const hash = await hashOf(job);
    const ask = (headers = {}, method = "GET") =>
      call(method, `/reports/${hash}/data`, { headers });
    const reply = await ask();
    expectContract(expect, reply, getReportDataRoute, 200);
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    expect(reply.body).toEqual({ pdf_sha256: sha256, ...embedded });
    const facts = await call("GET", `/reports/${hash}`);
    expectContract(expect, facts, getReportRoute, 200);
    const header = JSON.parse(Buffer.from(embedded.protected, "base64url").toString());
    expect(facts.body).toMatchObject({ file_sha256: sha256, signed_by: header.kid });
    const etag = reply.headers.get("etag") ?? "";
    expect((await ask({ "if-none-match": etag })).status).toBe(304);
    expect(await costOf(() => ask())).toMatchObject({ d1_round_trips: 1, r2_calls: 1 });
    expectError(
      expect,
      await call("GET", `/reports/${"0".repeat(64)}/data`),
      404,
      "RESOURCE_NOT_FOUND",
    );
    await call("DELETE", `/jobs/${job.id}`, { token: job.owner.token });
    expectError(expect, await ask(), 404, "RESOURCE_NOT_FOUND");
  });

  test("its key: kept for ever, with the time since which another signs", async ({ expect }) => {
    const job = await measured();
    const [first] = [await hashOf(job)];
    const [old, next] = [seed(), seed()];
    const [oldKey, nextKey] = [await openKey(old), await openKey(next)];
    expect(await remake(job, [old])).toBe(2);
    const second = await hashOf(job);
    expect(second, "another key makes another report").not.toBe(first);
    expect(await remake(job, [old]), "the same key the same one").toBe(0);
    expect(await remake(job, [next, old])).toBe(2);
    const reply = await keys();
    expectContract(expect, reply, getReportKeysRoute, 200);
    expect(kidsOf(reply).slice(0, 2)).toEqual([nextKey.kid, oldKey.kid]);
    expect(reply.body.keys[0]).toMatchObject({ ...nextKey.jwk, alg: "EdDSA", retired: null });
    expect(reply.body.keys[1].retired, "its seed is still there").not.toBeNull();
    // The seed is gone: neither this deployment nor this job has it any more.
    expect((await call("GET", `/reports/${second}`)).body.signed_by).toBe(oldKey.kid);
    expectError(expect, await call("GET", `/reports/${second}/data`), 404, "RESOURCE_NOT_FOUND");
    expect(await remake(job, [old])).toBe(2);
    const [again] = (await keys()).body.keys.filter(
      ({ kid }: { kid: string }) => kid === oldKey.kid,
    );
    expect(again.retired, "it signs again").toBeNull();
  });

  test("a key that has signed nothing yet is listed, too", async ({ expect }) => {
    const fresh = seed();
    const config = { ...appDeps().config, reportSeeds: [fresh] };
    const app = await createApp(appDeps({ config }));
    const reply = await app.request("https://assay.test/.well-known/assay-report-keys.json");
    expect(reply.headers.get("cache-control")).toBe("public, max-age=300");
    const { keys: listed } = await reply.json<{
      keys: { kid: string; created: string | null }[];
    }>();
    expect(listed[0]).toMatchObject({ kid: (await openKey(fresh)).kid, created: null });
  });

  test("without a key: unsigned, and it says so in data, facts and pages", async ({ expect }) => {
    const job = await measured();
    await remake(job, []);
    const hash = await hashOf(job);
    const reply = await call("GET", `/reports/${hash}/data`);
    expectContract(expect, reply, getReportDataRoute, 200);
    expect(reply.body).toMatchObject({ protected: null, signature: null });
    expect((await call("GET", `/reports/${hash}`)).body.signed_by).toBeNull();
    const { bytes } = await open((await detail(job)).body.pdf_report_url);
    expect((await readPdf(bytes)).text).toContain("UNSIGNED");
  });
});

async function measured() {
  const job = await measureJob([{ gpu_model: "NVIDIA H200", gpu_count: 1, results: figures }]);
  await reported(job);
  return job;
}

function seed(): string {
  return Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString("base64url");
}
