/** Tokens are signed as jose signs them, to the byte: those derived by an earlier release stay the same. */
import { SignJWT } from "jose";
import { describe, test } from "vitest";
import { keyIdOf } from "../../../src/identity/lifetimes.ts";
import { type Claims, createTokens, type TokenKind } from "../../../src/identity/tokens.ts";
import { DAY_MS, systemClock } from "../../../src/lib/clock.ts";

const SECRETS = ["the present secret, of 32 characters", "the former secret, größer als früher"];

function signedByJose(
  secret: string,
  kind: TokenKind,
  claims: Claims,
  { from, until }: { from: number; until: number | null },
): Promise<string> {
  const token = new SignJWT({ ...claims })
    .setProtectedHeader({ alg: "HS256", typ: `${kind}+jwt`, kid: keyIdOf(secret) })
    .setIssuer("assay")
    .setAudience(`assay:${kind}`)
    .setIssuedAt(Math.floor(from / 1_000));
  if (until !== null) token.setExpirationTime(Math.floor(until / 1_000));
  return token.sign(new TextEncoder().encode(secret));
}

const now = systemClock.now();
const FOR_A_DAY = { from: now - 1, until: now + DAY_MS };
const CASES: [TokenKind, Claims, { from: number; until: number | null }][] = [
  ["user", { sub: "0b9a", sid: "5c1d" }, FOR_A_DAY],
  ["refresh", { sub: "0b9a", sid: "5c1d", gen: 3 }, FOR_A_DAY],
  ["api", { sub: "0b9a", jti: "77aa" }, { from: now, until: null }],
  ["password", { sub: 'ö \u2028 "\\', jti: "1", gen: now }, FOR_A_DAY],
  ["job", { sub: "7554621440", nodes: 256, work_until: 1_900_000_000 }, FOR_A_DAY],
  ["task", { sub: "7554621441", epoch: 0 }, FOR_A_DAY],
];

describe("a token", () => {
  test.for(CASES)(
    "of the kind %s is the one that jose signs, and is verified",
    async ([kind, claims, validity], { expect }) => {
      const tokens = await createTokens(SECRETS, systemClock);
      const [present = "", former = ""] = SECRETS;
      const signed = tokens.sign(kind, claims, validity);
      expect(signed).toBe(await signedByJose(present, kind, claims, validity));
      expect(await tokens.verify(kind, signed)).toEqual(claims);
      const derived = tokens.derive(kind, claims, validity, keyIdOf(former));
      expect(derived).toBe(await signedByJose(former, kind, claims, validity));
      expect(await tokens.verify(kind, derived)).toEqual(claims);
    },
  );

  test("with another signature is refused", async ({ expect }) => {
    const tokens = await createTokens(SECRETS, systemClock);
    const [own, other] = ["1", "2"].map((sub) => tokens.sign("job", { sub }, FOR_A_DAY));
    const [header, payload] = own?.split(".") ?? [];
    const signature = other?.split(".")[2];
    expect(await tokens.verify("job", `${header}.${payload}.${signature}`)).toBeNull();
    expect(await tokens.verify("job", own ?? "")).toEqual({ sub: "1" });
  });
});
