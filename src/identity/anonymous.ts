/** Whom jobs belong to that were made without an account: rows that a migration makes. */
import type { Asker } from "./actor.ts";

/** No row of the tables' own gets the id 0: they count from 1. */
export const ANONYMOUS: Asker = {
  userId: 0,
  userUuid: "a9d0b1e5-0000-4000-8000-000000000001",
  customerId: 0,
  role: "user",
};

/** Whether a job was made without an account. */
export function isAnonymous({ userId }: { userId: number }): boolean {
  return userId === ANONYMOUS.userId;
}
