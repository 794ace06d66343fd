/** Cheap password hashing for tests: the full cost would dominate every test that signs in. */
import { onTestFinished } from "vitest";
import { scryptParameters } from "../../../src/identity/password-hash.ts";

const DEPLOYED_LOG_N = scryptParameters.logN;

export function hashCheaply(): void {
  scryptParameters.logN = 4;
}

/** Hashes passwords as in production for the rest of the test. */
export function hashAsDeployed(): void {
  scryptParameters.logN = DEPLOYED_LOG_N;
  onTestFinished(hashCheaply);
}
