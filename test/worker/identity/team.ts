/** A customer with its administrator, a root administrator, a stranger, and what they ask for people. */

import { signInFailures } from "../../../src/db/schema.ts";
import { hashPassword } from "../../../src/identity/password-hash.ts";
import type { Role } from "../../../src/lib/enums.ts";
import { call, V0 } from "../harness/client.ts";
import { createCustomer, createPerson, type Person } from "../harness/factories.ts";
import { customerUuid, db } from "../harness/rows.ts";

export const PASSWORD = "correct horse battery";
export const PASSWORD_HASH = await hashPassword(PASSWORD);
export const UNKNOWN = "00000000-0000-4000-8000-000000000000";

/** There is always another one: nobody here is the last. */
export const root = await createPerson({ role: "root_admin" });
export const customerId = await createCustomer();
export const admin = await createPerson({ role: "customer_admin", customerId });
export const foreign = await createPerson();
export const ownCustomer = await customerUuid(customerId);
export const otherCustomer = await customerUuid(foreign.customerId);

let serial = 0;

/** A slug, or part of a name, that nobody has yet. */
export const fresh = (prefix: string) => `${prefix}-${serial++}`;
export const newEmail = () => `${fresh("person")}@example.com`;
export const colleague = (role: Role = "user") => createPerson({ role, customerId });

type Options = { body?: unknown; headers?: Record<string, string> };
export const send = (who: Person, method: string, path: string, options: Options = {}) =>
  call(method, `${V0}/users${path}`, { token: who.token, ...options });
export const patch = (who: Person, whom: string, body: unknown, headers = {}) =>
  send(who, "PATCH", `/${whom}`, { body, headers });
export const create = (who: Person, body: Record<string, unknown>, headers = {}) =>
  send(who, "POST", "", { body: { ...minimal(), ...body }, headers });
export const minimal = () => ({
  email: newEmail(),
  name: "Ada Lovelace",
  password: PASSWORD,
  customer: ownCustomer,
});
export const setPassword = (token: string, password: string) =>
  call("POST", "https://assay.test/password", { body: { token, password } });
export const isIn = async ({ token }: { token: string }) =>
  (await call("GET", `${V0}/users/me`, { token })).status === 200;

export async function signIn(username: string, password: string): Promise<number> {
  // As if the last try were long ago.
  await db.delete(signInFailures);
  const form = new URLSearchParams({ grant_type: "password", username, password }).toString();
  const headers = { "content-type": "application/x-www-form-urlencoded" };
  return (await call("POST", "https://assay.test/token", { body: form, headers })).status;
}
