import type { Role, TokenScope } from "../lib/enums.ts";

/** The credential behind a token of a person: a session, an API token, or a key, which is known by its hash alone. */
export type Credential =
  | { kind: "session"; userUuid: string; uuid: string }
  | { kind: "api_token"; userUuid: string; uuid: string }
  | { kind: "user_key"; hash: string };

/** Tells a credential apart from all others. */
export function credentialId(credential: Credential): string {
  return credential.kind === "user_key" ? credential.hash : credential.uuid;
}

/** The person behind a request, as their row was at most 30 s ago. */
export interface Actor {
  userId: number;
  userUuid: string;
  customerId: number;
  role: Role;
  credential: Credential;
  /** `write` for a session. */
  scope: TokenScope;
  /** Time of the session's sign-in, which refreshing does not move; null for API tokens and keys. */
  signedInAt: number | null;
}

/** The requester of jobs: a person, or `ANONYMOUS` for callers without an account. */
export type Requester = Omit<Actor, "credential" | "scope" | "signedInAt">;

/**
 * The jobs that an actor sees: their own within their present customer, those of the customer, or all. Counter rows have it as their key;
 * queries of jobs know scopes, never roles.
 */
export type Scope =
  | { kind: "user"; userId: number; customerId: number }
  | { kind: "customer"; customerId: number }
  | { kind: "all" };

export function scopeOf(actor: Requester): Scope {
  switch (actor.role) {
    case "user":
      return { kind: "user", userId: actor.userId, customerId: actor.customerId };
    case "customer_admin":
      return { kind: "customer", customerId: actor.customerId };
    case "staff":
    case "root_admin":
      return { kind: "all" };
  }
}

/** The scope's key in counter rows and in `owner` columns; the triggers write the same. */
export function counterKey(scope: Scope): string {
  switch (scope.kind) {
    case "user":
      return `user:${scope.userId}:${scope.customerId}`;
    case "customer":
      return `customer:${scope.customerId}`;
    case "all":
      return "all";
  }
}

/** The beginning of the scope's labels in full-text tables; the views of `triggers.sql` write the same. */
export function labelPrefix(scope: Scope): string {
  switch (scope.kind) {
    case "user":
      return `u${scope.userId}c${scope.customerId}`;
    case "customer":
      return `c${scope.customerId}`;
    case "all":
      return "a";
  }
}
