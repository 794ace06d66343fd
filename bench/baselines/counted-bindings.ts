/** D1 and R2 with counters of what the platform bills. */
import { counts, during } from "./counts.ts";

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

function note<T extends { meta: D1Meta }>(result: T): T {
  counts.d1Reads += result.meta.rows_read;
  counts.d1Rows += result.meta.rows_written;
  return result;
}

function wrap(d1: Pick<D1Database, "prepare" | "batch">) {
  const inner = new WeakMap<object, D1PreparedStatement>();
  const statementOf = (statement: D1PreparedStatement, query: string): D1PreparedStatement => {
    const isRead = READS.test(query) && !WRITES.test(query);
    const own = {
      bind: (...values: unknown[]) => statementOf(statement.bind(...values), query),
      run: async () => note(await during(statement.run())),
      all: async () => note(await during(statement.all())),
      /** Raw rows come without their cost: reads are repeated for it, and the rows of writes taken apart. */
      raw: async () => {
        const result = note(await during(statement.all<Record<string, unknown>>()));
        return isRead ? statement.raw() : result.results.map((row) => Object.values(row));
      },
    } as unknown as D1PreparedStatement; // drizzle calls no more of it
    inner.set(own, statement);
    return own;
  };
  return {
    prepare: (query: string) => statementOf(d1.prepare(query), query),
    batch: async (statements: D1PreparedStatement[]) => {
      const results = await during(d1.batch(statements.map((each) => inner.get(each) ?? each)));
      return results.map(note);
    },
  };
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
        return during(Promise.resolve(value.apply(target, args)));
      };
    },
  });
}
