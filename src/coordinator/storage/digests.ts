/** The digests of results: what a job's summary and its verdict need of each, with the hardware that measured. */
import type { JsonObject, NodeDigest } from "../../benchmarks/benchmark.ts";
import type { Hardware } from "../../benchmarks/gpus.ts";
import type { Implausible } from "../../lib/stored-json.ts";

/** The part of a stored result that its digest is kept with. */
export interface Measured {
  rank: number;
  position: number;
  /** The hardware that measured. */
  hardware: Hardware;
  /** The fields that cannot be true. */
  implausible: readonly Implausible[];
}

/** As it is stored: null for no field. */
export function implausibleText(fields: Measured["implausible"]): string | null {
  return fields.length === 0 ? null : JSON.stringify(fields);
}

export function insertDigest(
  sql: SqlStorage,
  { rank, position, hardware, implausible }: Measured,
  digest: JsonObject,
): void {
  sql.exec(
    "INSERT INTO digest (position, rank, hardware, implausible, body) VALUES (?, ?, ?, ?, ?)",
    position,
    rank,
    JSON.stringify(hardware),
    implausibleText(implausible),
    JSON.stringify(digest),
  );
}

/** Of a step, by rank. */
export function readDigests(sql: SqlStorage, position: number): NodeDigest[] {
  const query = "SELECT rank, hardware, body FROM digest WHERE position = ? ORDER BY rank";
  return sql
    .exec<{ rank: number; hardware: string; body: string }>(query, position)
    .toArray()
    .map(({ rank, hardware, body }) => {
      const stored: Hardware = JSON.parse(hardware);
      return { rank, ...stored, digest: JSON.parse(body) };
    });
}

/** The implausible fields of all results that have any, by rank, then position. */
export function readImplausible(
  sql: SqlStorage,
): { rank: number; position: number; fields: readonly Implausible[] }[] {
  const query =
    "SELECT rank, position, implausible FROM digest WHERE implausible IS NOT NULL ORDER BY rank, position";
  return sql
    .exec<{ rank: number; position: number; implausible: string }>(query)
    .toArray()
    .map(({ implausible, ...place }) => ({ ...place, fields: JSON.parse(implausible) }));
}
