/** D1 and R2 with counters of what the platform bills. */
import { counts, during, traffic } from "./counts.ts";

const READS = /^\s*(?:select|with)\b/i;
const WRITES = /\b(?:insert|update|delete|replace)\b/i;

/** Counts the rows of every statement. */
export function countedDatabase(d1: D1Database): D1Database {
  return {
    ...wrap(d1),
    exec: (query: string) => d1.exec(query),
    dump: () => d1.dump(),
    withSession: (start?: D1SessionBookmark | D1SessionConstraint) => {
      const session = d1.withSession(start);
      return { ...wrap(session), getBookmark: () => session.getBookmark() };
    },
  } as D1Database; // drizzle uses no more of it
}

/** Counts what a call has done: a batch has several results. */
function noteAll<T extends { meta: D1Meta; results?: unknown[] }>(
  results: T[],
  sent: readonly unknown[],
): T[] {
  const written = results.reduce((rows, { meta }) => rows + meta.rows_written, 0);
  counts.d1Rows += written;
  traffic.d1Calls++;
  traffic.d1Writes += written > 0 ? 1 : 0;
  traffic.d1Statements += results.length;
  traffic.d1SentBytes += bytesOf(sent);
  for (const { meta, results: rows = [] } of results) {
    counts.d1Reads += meta.rows_read;
    traffic.d1ReadBytes += bytesOf(rows);
    traffic.d1Size = meta.size_after;
  }
  return results;
}

const bytesOf = (values: readonly unknown[]) =>
  values.length === 0 ? 0 : utf8.encode(JSON.stringify(values)).length;
const utf8 = new TextEncoder();

function wrap(d1: Pick<D1Database, "prepare" | "batch">) {
  const inner = new WeakMap<object, { statement: D1PreparedStatement; sent: unknown[] }>();
  const statementOf = (
    statement: D1PreparedStatement,
    query: string,
    sent: unknown[] = [],
  ): D1PreparedStatement => {
    const isRead = READS.test(query) && !WRITES.test(query);
    const note = <T extends { meta: D1Meta; results?: unknown[] }>(result: T): T => {
      noteAll([result], sent);
      return result;
    };
    const own = {
      bind: (...values: unknown[]) => statementOf(statement.bind(...values), query, values),
      run: async () => note(await during(statement.run())),
      all: async () => note(await during(statement.all())),
      /** Raw rows come without their cost: reads are repeated for it, and the rows of writes taken apart. */
      raw: async () => {
        const result = note(await during(statement.all<Record<string, unknown>>()));
        return isRead ? statement.raw() : result.results.map((row) => Object.values(row));
      },
    } as unknown as D1PreparedStatement; // drizzle calls no more of it
    inner.set(own, { statement, sent });
    return own;
  };
  return {
    prepare: (query: string) => statementOf(d1.prepare(query), query),
    batch: async (statements: D1PreparedStatement[]) => {
      const all = statements.map((each) => inner.get(each) ?? { statement: each, sent: [] });
      const results = await during(d1.batch(all.map(({ statement }) => statement)));
      return noteAll(
        results,
        all.flatMap(({ sent }) => sent),
      );
    },
  };
}

function noteSize(stored: R2Object | null): R2Object | null {
  traffic.r2WrittenBytes += stored?.size ?? 0;
  return stored;
}

export function countedBucket(bucket: R2Bucket): R2Bucket {
  return new Proxy(bucket, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name);
      if (typeof value !== "function") return value;
      return (...args: unknown[]) => {
        // Deletions are free.
        if (name === "get" || name === "head") counts.r2Reads++;
        else if (name !== "delete") counts.r2Writes++;
        const call = Promise.resolve(value.apply(target, args));
        return during(name === "put" ? call.then(noteSize) : call);
      };
    },
  });
}
