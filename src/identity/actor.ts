/** What a person may do (contract §3). */
export const ROLES = ["user", "customer_admin", "staff", "root_admin"] as const;
export type Role = (typeof ROLES)[number];

/** What a user token stands for: a session of a person, or one of their API tokens. */
export type Credential =
  | { kind: "session"; userUuid: string; uuid: string }
  | { kind: "api_token"; userUuid: string; uuid: string };

/** The person behind a request, as their row says it within the last 30 s. */
export interface Actor {
  userId: number;
  userUuid: string;
  customerId: number;
  role: Role;
  credential: Credential;
}

/** Whoever asks for jobs: a person, or what stands for all who have no account. */
export type Asker = Omit<Actor, "credential">;

/**
 * Which jobs an actor sees: own ones, those of the customer, or all (contract §3). Also the key of
 * the counter rows, and the only way a query learns about roles.
 */
export type Scope =
  | { kind: "user"; userId: number }
  | { kind: "customer"; customerId: number }
  | { kind: "all" };

export function scopeOf(actor: Asker): Scope {
  switch (actor.role) {
    case "user":
      return { kind: "user", userId: actor.userId };
    case "customer_admin":
      return { kind: "customer", customerId: actor.customerId };
    case "staff":
    case "root_admin":
      return { kind: "all" };
  }
}
