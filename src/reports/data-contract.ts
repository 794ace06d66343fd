import { z } from "@hono/zod-openapi";
import { json, operation } from "../api/operation.ts";
import { orNull, timestamp } from "../api/schemas.ts";
import { keyId, ofReport, sha256 } from "./contract.ts";
import { MAX_KEYS } from "./key-store.ts";

const KEY_ID = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k";

const base64url = (maxLength: number, description: string, example: string) =>
  z.string().openapi({ maxLength, pattern: "^[A-Za-z0-9_-]*$", description, example });

const reportData = z
  .strictObject({
    pdf_sha256: sha256("SHA-256 of the report's file."),
    payload: base64url(
      100_000_000,
      "The data as canonical JSON (RFC 8785), base64url. docs/reports.md describes it.",
      "eyJmb3JtYXQiOiJhc3NheS1yZXBvcnQvMSJ9",
    ),
    protected: orNull(
      base64url(
        1_024,
        "The signature's header, base64url: `alg`, `jwk`, `kid` and `typ`; null for an unsigned report.",
        "eyJhbGciOiJFZERTQSJ9",
      ),
    ),
    signature: orNull(
      base64url(
        86,
        "Ed25519 signature of header and payload; null for an unsigned report.",
        "A".repeat(86),
      ),
    ),
  })
  .openapi("ReportData", {
    description: "The data of a report, as a flattened JWS (RFC 7515) beside the hash of its file.",
  });

export const getReportDataRoute = operation({
  method: "get",
  path: "/api/silicon-mark/v1/reports/{hash}/data",
  operationId: "getReportData",
  tags: ["Reports"],
  summary: "Read a report's data",
  description: `Returns everything that the report says, signed: the same \`payload\`, \`protected\` and \`signature\` that its file embeds as \`report.json\`. \`node agent.mjs verify FILE\` and the page \`/verify\` check them.

Open to anyone, since only readers of the report have its hash. The data of reports that a newer one has replaced, and of deleted jobs, is not found.`,
  access: "open",
  single: true,
  request: {
    params: ofReport,
  },
  responses: {
    200: json(reportData, {
      description: "The data.",
      example: {
        pdf_sha256: "9f86d0819f86d0819f86d0819f86d0819f86d0819f86d0819f86d0819f86d081",
        payload: "eyJmb3JtYXQiOiJhc3NheS1yZXBvcnQvMSJ9",
        protected: "eyJhbGciOiJFZERTQSJ9",
        signature: "A".repeat(86),
      },
    }),
  },
  errors: ["RESOURCE_NOT_FOUND"],
});

const reportKey = z
  .strictObject({
    kty: z.literal("OKP").openapi({ description: "Type of the key (RFC 8037)." }),
    crv: z.literal("Ed25519").openapi({ description: "Its curve." }),
    x: keyId.openapi({ description: "The public key: 32 bytes, base64url." }),
    kid: keyId,
    alg: z.literal("EdDSA").openapi({ description: "Algorithm of its signatures." }),
    use: z.literal("sig").openapi({ description: "The key signs." }),
    created: orNull(timestamp).openapi({
      description: "Time of the first report that it signed; null before.",
    }),
    retired: orNull(timestamp).openapi({
      description: "Time since which another key signs; null for the one that signs.",
    }),
  })
  .openapi("ReportKey", { description: "A public key of reports (RFC 7517)." });

const reportKeys = z
  .strictObject({
    keys: z.array(reportKey).max(MAX_KEYS).openapi({ description: "The newest first." }),
  })
  .openapi("ReportKeys", { description: "The public keys of reports, as a JWK set (RFC 7517)." });

export const getReportKeysRoute = operation({
  method: "get",
  path: "/.well-known/assay-report-keys.json",
  operationId: "getReportKeys",
  tags: ["Reports"],
  summary: "List the keys of reports",
  description:
    "Lists the public keys whose signatures this server's reports have, retired ones, too. Save them to check reports without the server.\n\nOpen to anyone.",
  access: "open",
  single: true,
  responses: {
    200: json(reportKeys, {
      description: "The keys.",
      example: {
        keys: [
          {
            kty: "OKP" as const,
            crv: "Ed25519" as const,
            x: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
            kid: KEY_ID,
            alg: "EdDSA" as const,
            use: "sig" as const,
            created: "2024-03-15T11:45:02.000Z",
            retired: null,
          },
        ],
      },
      headers: ["Cache-Control"],
    }),
  },
});
