import type { Requester } from "./actor.ts";

/** Owner of jobs created without an account. A migration seeds both rows; other ids count from 1. */
export const ANONYMOUS: Requester = {
  userId: 0,
  userUuid: "a9d0b1e5-0000-4000-8000-000000000001",
  customerId: 0,
  role: "user",
};

/** True for a job that was created without an account. */
export function isAnonymous({ userId }: { userId: number }): boolean {
  return userId === ANONYMOUS.userId;
}
