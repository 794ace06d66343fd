import { versionTag } from "../../http/entity-tag.ts";
import { toTimestamp } from "../../lib/clock.ts";
import {
  type ApiTokenWire,
  type CreatedApiTokenWire,
  type CreatedUserKeyWire,
  TOKEN_MASK,
  type UserKeyWire,
} from "./schemas.ts";
import type { CredentialRow, NewCredential } from "./store.ts";

export function toApiToken(row: CredentialRow): ApiTokenWire {
  return { ...toUserKey(row), token: TOKEN_MASK };
}

export function toUserKey(row: CredentialRow): UserKeyWire {
  return {
    ...factsOf(row),
    revoked: toTimestamp(row.revokedAt),
    last_used: toTimestamp(row.lastUsedAt),
  };
}

export function toCreatedApiToken(row: NewCredential, token: string): CreatedApiTokenWire {
  return { ...factsOf(row), token };
}

export function toCreatedUserKey(row: NewCredential, key: string | null): CreatedUserKeyWire {
  return { ...factsOf(row), key };
}

function factsOf(row: NewCredential | CredentialRow) {
  return {
    uuid: row.uuid,
    user: row.user,
    name: row.name,
    scope: row.scope,
    creation: toTimestamp(row.createdAt),
    expiration: toTimestamp(row.expiresAt),
  };
}

/** The tag includes the time of the last use, which does not change the version. */
export function credentialTag(row: CredentialRow): string {
  return versionTag(row, row.lastUsedAt ?? 0);
}
