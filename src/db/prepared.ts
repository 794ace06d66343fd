/** Queries whose SQL is made once in an isolate: drizzle takes longer to write a statement than D1's client to send it. */
import { is, Param, Placeholder } from "drizzle-orm";
import type { BatchItem } from "drizzle-orm/batch";
import { drizzle } from "drizzle-orm/d1";
import type { Database } from "./client.ts";

/** What drizzle knows of a query: its text, its parameters, and how rows are read. */
interface Preparable extends BatchItem<"sqlite"> {
  prepare(): {
    getQuery(): { sql: string; params: unknown[] };
    mapResult(response: unknown, isFromBatch?: boolean): unknown;
  };
}

/** Writes SQL, and never runs it. */
const writer: Database = drizzle({ prepare: () => null } as unknown as D1Database);

/**
 * A statement of batches, to be given the values of its placeholders.
 *
 * @param write makes the query; each value that differs between requests is an `sql.placeholder`
 */
export function prepareQuery<Query extends Preparable, Values extends Record<string, unknown>>(
  write: (db: Database) => Query,
): (db: Database, values: Values) => Pick<Query, "_"> {
  let written: ReturnType<Preparable["prepare"]> | undefined;
  return (db, values) => {
    written ??= write(writer).prepare();
    const query = written;
    const { sql, params } = query.getQuery();
    const bound = {
      stmt: db.$client.prepare(sql),
      getQuery: () => ({ sql, params: params.map((param) => filled(param, values)) }),
      mapResult: (response: unknown) => query.mapResult(response, true),
    };
    // A batch calls `_prepare` alone, and of that these three (drizzle-orm/d1/session.js).
    return { _prepare: () => bound } as unknown as Pick<Query, "_">;
  };
}

function filled(param: unknown, values: Record<string, unknown>): unknown {
  const encoder = is(param, Param) ? param.encoder : null;
  const placeholder = is(param, Param) ? param.value : param;
  if (!is(placeholder, Placeholder)) return param;
  const value = values[placeholder.name];
  if (value === undefined) throw new TypeError(`No value for ${placeholder.name}`);
  return encoder === null || value === null ? value : encoder.mapToDriverValue(value);
}
