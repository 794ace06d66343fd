/** What the keys of a comparison name. */
import { normalizeModel } from "../benchmarks/models.ts";
import { type ApiError, invalidField } from "../http/errors.ts";
import type { Grouping } from "../lib/enums.ts";
import { parseReference, type Reference } from "../lib/references.ts";
import { foldedText } from "../lib/text.ts";
import { parseUuid } from "../lib/uuids.ts";

export type Key = { text: string } & (
  | { by: "job"; jobId: number }
  | { by: "machine"; machineUuid: string }
  | { by: "model"; model: string }
  | { by: "provider" | "region"; folded: string }
  | { by: "spec"; spec: Reference }
);

/** The keys, each once. Throws 400 for a key that can name nothing, and for two that name the same. */
export function readKeys(by: Grouping, texts: readonly string[]): Key[] {
  const keys = texts.map((text) => readKey(by, text));
  const seen = new Map<string, string>();
  for (const { text, ...rest } of keys) {
    const name = JSON.stringify(rest);
    const other = seen.get(name);
    if (other !== undefined) throw namedTwice(by, other, text);
    seen.set(name, text);
  }
  return keys;
}

function namedTwice(by: Grouping, one: string, other: string): ApiError {
  return invalidField("key", `must name each ${by} once: ${one} and ${other} are the same`);
}

/**
 * Throws 400 for a spec that two keys name, one by its slug and one by its UUID.
 *
 * @param uuids of the specs of all keys; null for those that the caller does not see
 */
export function expectDifferentSpecs(
  keys: readonly Key[],
  uuids: readonly (string | null)[],
): void {
  for (const [at, uuid] of uuids.entries()) {
    const first = uuids.indexOf(uuid);
    const [one, other] = [keys[first], keys[at]];
    if (uuid !== null && first < at && one !== undefined && other !== undefined) {
      throw namedTwice("spec", one.text, other.text);
    }
  }
}

function readKey(by: Grouping, text: string): Key {
  switch (by) {
    case "job": {
      const jobId = Number(text);
      if (!/^[0-9]{1,16}$/.test(text) || !Number.isSafeInteger(jobId)) {
        throw invalidField("key", "must be the id of a job: decimal digits below 2^53");
      }
      return { text, by, jobId };
    }
    case "machine": {
      const machineUuid = parseUuid(text);
      if (machineUuid === null) throw invalidField("key", "must be the UUID of a machine");
      return { text, by, machineUuid };
    }
    case "model":
      return { text, by, model: readModel("key", text) };
    case "provider":
    case "region":
      return { text, by, folded: foldedText(text) };
    case "spec":
      return { text, by, spec: parseReference(text) };
  }
}

/** The normalised model of a parameter. */
export function readModel(parameter: "key" | "gpu_model", text: string): string {
  const model = normalizeModel(text);
  if (model === null) throw invalidField(parameter, "must name a GPU model");
  return model;
}
