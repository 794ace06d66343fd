import type { AuditAction, SubjectKind } from "../../lib/enums.ts";

/** API tokens and keys are rows of one table, and differ by their secret and by the words for them. */
export type CredentialKind = "token" | "key";

interface Words {
  /** In messages that name one. */
  name: string;
  plural: string;
  subject: SubjectKind;
  created: AuditAction;
  updated: AuditAction;
  revoked: AuditAction;
}

export const WORDS: Readonly<Record<CredentialKind, Words>> = {
  token: {
    name: "Token",
    plural: "API tokens",
    subject: "api_token",
    created: "api_token_created",
    updated: "api_token_updated",
    revoked: "api_token_revoked",
  },
  key: {
    name: "Key",
    plural: "API keys",
    subject: "user_key",
    created: "user_key_created",
    updated: "user_key_updated",
    revoked: "user_key_revoked",
  },
};
