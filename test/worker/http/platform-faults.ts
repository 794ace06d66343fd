/** D1 and objects that fail as the platform says they can, when a test says so. */
import { env } from "cloudflare:workers";
import type { ServiceDeps } from "../../../src/services.ts";

/** It breaks before anything has happened, or after all of it has, so that only the answer is lost. */
export type Phase = "before" | "after";

/** How: with an error, or without any answer. */
export type Fault = { phase: Phase; error: () => Error } | { phase: Phase; error: "hang" };

/** "Debug D1", its list of errors. */
export const D1_ERRORS = [
  "Network connection lost.",
  "D1_ERROR: Network connection lost.",
  "D1_ERROR: internal error; reference = 0123456789abcdef",
  "D1_ERROR: D1 DB reset because its code was updated.",
  "D1_ERROR: Internal error while starting up D1 DB storage caused object to be reset.",
  "D1_ERROR: Internal error in D1 DB storage caused object to be reset.",
  "D1_ERROR: D1 DB storage operation exceeded timeout which caused object to be reset.",
  "D1_ERROR: Cannot resolve D1 DB due to transient issue on remote node.",
  "D1_ERROR: Can't read from request stream because client disconnected.",
  "D1_ERROR: D1 DB is overloaded. Requests queued for too long.",
  "D1_ERROR: D1 DB is overloaded. Too many requests queued.",
  "D1_ERROR: D1 DB's isolate exceeded its memory limit and was reset.",
  "D1_ERROR: D1 DB exceeded its CPU time limit and was reset.",
  "D1_ERROR: Exceeded maximum DB size",
  "D1_ERROR: something that no list has",
] as const;

/** "Durable Objects: Error handling" and "Troubleshooting": what a stub throws. */
export const OBJECT_ERRORS = [
  ["Network connection lost.", { retryable: true }],
  ["internal error; reference = 0123456789abcdef", { retryable: true }],
  ["Durable Object reset because its code was updated.", {}],
  ["Durable Object storage operation exceeded timeout which caused object to be reset.", {}],
  ["Internal error in Durable Object storage write caused object to be reset.", {}],
  ["Cannot resolve Durable Object due to transient issue on remote node.", { retryable: true }],
  ["Durable Object is overloaded. Requests queued for too long.", { overloaded: true }],
  ["Durable Object is overloaded. Too many requests queued.", { overloaded: true }],
  ["Durable Object's isolate exceeded its memory limit and was reset.", {}],
  ["Durable Object exceeded its CPU time limit and was reset.", {}],
  ["something that no list has", {}],
] as const;

export function objectError([message, marks]: (typeof OBJECT_ERRORS)[number]): () => Error {
  return () => Object.assign(new Error(message), { remote: true, ...marks });
}

/** Breaks calls while it is armed, and tells how often it did. */
export class Breaker {
  fault: Fault | null = null;
  /** Number of calls that it breaks, from the first on. */
  left = Number.POSITIVE_INFINITY;
  broken = 0;
  /** Called when a call begins to hang. */
  onHang = () => {};
  /** Of calls that nobody hears the end of. */
  unheard: Promise<unknown> = Promise.resolve();

  arm(fault: Fault, times = Number.POSITIVE_INFINITY): void {
    this.fault = fault;
    this.left = times;
    this.broken = 0;
  }

  disarm(): Promise<unknown> {
    this.fault = null;
    return this.unheard;
  }

  async strike<T>(call: () => Promise<T>): Promise<T> {
    const { fault } = this;
    if (fault === null || this.left-- <= 0) return call();
    this.broken++;
    if (fault.phase === "after") {
      const done = call();
      this.unheard = done.catch(() => {});
      await done;
    }
    if (fault.error === "hang") {
      this.onHang();
      return new Promise(() => {});
    }
    throw fault.error();
  }
}

/** The test's database, whose reads or writes break. */
export function breakingD1(breaker: Breaker, which: "reads" | "writes"): D1Database {
  const known = new WeakMap<object, { statement: D1PreparedStatement; writes: boolean }>();
  const isStruck = (writes: boolean) => writes === (which === "writes");
  const strike = <T>(writes: boolean, call: () => Promise<T>) =>
    isStruck(writes) ? breaker.strike(call) : call();
  const wrap = (statement: D1PreparedStatement, writes: boolean): D1PreparedStatement => {
    const wrapped = {
      bind: (...values: unknown[]) => wrap(statement.bind(...values), writes),
      run: () => strike(writes, () => statement.run()),
      all: () => strike(writes, () => statement.all()),
      raw: () => strike(writes, () => statement.raw()),
    } as unknown as D1PreparedStatement; // has all of a statement that the database handle uses
    known.set(wrapped, { statement, writes });
    return wrapped;
  };
  const handle = (d1: Pick<D1Database, "prepare" | "batch">) => ({
    prepare: (query: string) => wrap(d1.prepare(query), /\b(insert|update|delete)\b/i.test(query)),
    batch: (statements: D1PreparedStatement[]) => {
      const parts = statements.flatMap((statement) => known.get(statement) ?? []);
      return strike(
        parts.some(({ writes }) => writes),
        () => d1.batch(parts.map(({ statement }) => statement)),
      );
    },
  });
  return {
    ...handle(env.DB),
    withSession: (from: string) => {
      const session = env.DB.withSession(from);
      return { ...handle(session), getBookmark: () => session.getBookmark() };
    },
  } as unknown as D1Database; // has all of a database that the application uses
}

/** The jobs' objects, whose calls break. */
export function breakingObjects(breaker: Breaker): ServiceDeps["coordinators"] {
  const broken = (stub: Record<string, (...args: unknown[]) => Promise<unknown>>) =>
    new Proxy(stub, {
      get:
        (_target, method) =>
        (...args: unknown[]) =>
          breaker.strike(async () => stub[String(method)]?.(...args)),
    });
  return {
    idFromName: (name: string) => env.COORDINATOR.idFromName(name),
    get: (id: DurableObjectId) =>
      broken(env.COORDINATOR.get(id) as unknown as Parameters<typeof broken>[0]),
  } as unknown as ServiceDeps["coordinators"]; // has all of a namespace that the client uses
}
