import { versionTag } from "../../http/entity-tag.ts";
import { toTimestamp } from "../../lib/clock.ts";
import type { ApiTokenWire, NewApiTokenWire } from "./schemas.ts";
import type { ApiTokenRow, NewApiToken } from "./store.ts";

export function toApiToken(row: ApiTokenRow): ApiTokenWire {
  return {
    uuid: row.uuid,
    user: row.user,
    name: row.name,
    scope: row.scope,
    creation: toTimestamp(row.createdAt),
    expiration: toTimestamp(row.expiresAt),
    last_used: toTimestamp(row.lastUsedAt),
  };
}

export function toNewApiToken(row: NewApiToken, token: string): NewApiTokenWire {
  return {
    uuid: row.uuid,
    user: row.user,
    name: row.name,
    scope: row.scope,
    token,
    creation: toTimestamp(row.createdAt),
    expiration: toTimestamp(row.expiresAt),
  };
}

/** The version of every token: only the time of its last use changes, which `apiTokenTag` adds. */
export const API_TOKEN_VERSION = 1;

export function apiTokenTag({ uuid, lastUsedAt }: ApiTokenRow): string {
  return versionTag({ uuid, version: API_TOKEN_VERSION }, lastUsedAt ?? 0);
}
