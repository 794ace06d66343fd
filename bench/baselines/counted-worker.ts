/**
 * The product with a counter at each of its bindings, and a clock that the bench moves: an hour passes in the time
 * of its calls. Everything else is the product's own code, on the platform's own storage.
 */
import worker, {
  JobCoordinator as ProductCoordinator,
  Lobby as ProductLobby,
} from "../../src/index.ts";
import { systemClock } from "../../src/lib/clock.ts";
import { countedBucket, countedDatabase } from "./counted-bindings.ts";
import { counts, traffic, underway } from "./counts.ts";

/** The server's clock is ahead of the machine's by this, ms. */
let ahead = 0;
/** When the clock was moved, by the machine's clock, and how far it was ahead from then on. */
const moves: { at: number; ahead: number }[] = [];
/** Alarms that are set, by object: the bench fires them. */
const alarms = new Map<string, { kind: Kind; at: number }>();

/** Bindings of classes of objects. */
type Kind = "COORDINATOR" | "LOBBY";

systemClock.now = () => Date.now() + ahead;

for (const method of ["log", "warn", "error"] as const) {
  console[method] = () => {
    counts.logLines++;
  };
}

/** A time of the machine's clock, by the clock that was the server's at that moment. */
function serverTime(real: number): number {
  return real + (moves.findLast(({ at }) => at <= real)?.ahead ?? 0);
}

/** Puts counters before what an object's state does; alarms wait for the bench. */
function count(ctx: DurableObjectState, kind: Kind): void {
  const { storage } = ctx;
  const exec = storage.sql.exec.bind(storage.sql);
  storage.sql.exec = ((query: string, ...values: unknown[]) => {
    const cursor = exec(query, ...values);
    counts.objectRows += cursor.rowsWritten;
    return cursor;
  }) as typeof exec; // its type names the rows by the caller's wish
  const put = storage.put.bind(storage);
  storage.put = ((...values: Parameters<typeof put>) => {
    counts.objectRows++;
    return put(...values);
  }) as typeof put; // one of its overloads
  const id = ctx.id.toString();
  storage.setAlarm = async (at) => {
    // The platform bills it as a row.
    counts.objectRows++;
    alarms.set(id, { kind, at: Number(at) });
  };
  storage.getAlarm = async () => alarms.get(id)?.at ?? null;
  storage.deleteAlarm = async () => {
    alarms.delete(id);
  };
  const pingedAt = ctx.getWebSocketAutoResponseTimestamp.bind(ctx);
  ctx.getWebSocketAutoResponseTimestamp = (socket) => {
    const at = pingedAt(socket);
    return at === null ? null : new Date(serverTime(at.getTime()));
  };
}

/** Whatever others call of an object is a request to it, but for events of the platform. */
function countCalls(target: { prototype: object }): void {
  const { prototype } = target;
  for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(prototype))) {
    if (name === "constructor" || typeof value !== "function") continue;
    const kind = name === "webSocketMessage" ? "messages" : "objectRequests";
    // Alarms are counted where they are fired; the end of a socket is no request.
    if (name === "alarm" || name === "webSocketClose" || name === "webSocketError") continue;
    Object.defineProperty(prototype, name, {
      configurable: true,
      writable: true,
      value(this: object, ...args: unknown[]) {
        counts[kind]++;
        return value.apply(this, args);
      },
    });
  }
}

function counted(env: Env): Env {
  return { ...env, DB: countedDatabase(env.DB), BUCKET: countedBucket(env.BUCKET) };
}

countCalls(ProductCoordinator);
countCalls(ProductLobby);

export class JobCoordinator extends ProductCoordinator {
  constructor(ctx: DurableObjectState, env: Env) {
    count(ctx, "COORDINATOR");
    super(ctx, counted(env));
  }

  async fire(): Promise<void> {
    await this.alarm();
  }
}

export class Lobby extends ProductLobby {
  constructor(ctx: DurableObjectState, env: Env) {
    count(ctx, "LOBBY");
    super(ctx, counted(env));
  }

  async fire(): Promise<void> {
    await this.alarm();
  }
}

interface Fired {
  fire(): Promise<void>;
}

/** The isolate's one set of bindings. */
let bindings: Env | undefined;

/** What the bench asks for, by path. */
const CONTROLS: Readonly<Record<string, (query: URLSearchParams, env: Env) => unknown>> = {
  "/bench/counts": () => counts,
  "/bench/traffic": () => traffic,
  "/bench/underway": () => underway.calls,
  /** Moves the clock to a time. */
  "/bench/move": (query) => {
    ahead = Number(query.get("to")) - Date.now();
    moves.push({ at: Date.now(), ahead });
    return {};
  },
  /** The time of the earliest alarm; null for none. */
  "/bench/next": () => Math.min(...[...alarms.values()].map(({ at }) => at)),
  /** Fires the alarms that are due. */
  "/bench/fire": async (_query, env) => {
    const due = [...alarms].filter(([, { at }]) => at <= systemClock.now());
    for (const [id, { kind }] of due) {
      alarms.delete(id);
      counts.alarms++;
      const namespace = env[kind];
      // The classes of this file are the namespaces' own.
      const stub = namespace.get(namespace.idFromString(id) as never) as unknown as Fired;
      await stub.fire();
    }
    return due.length;
  },
  "/bench/cron": async (_query, env) => {
    await worker.scheduled?.({} as ScheduledController, env);
    return {};
  },
};

export default {
  async fetch(request, env, ctx) {
    bindings ??= counted(env);
    const { pathname, searchParams } = new URL(request.url);
    const control = CONTROLS[pathname];
    if (control !== undefined)
      return Response.json((await control(searchParams, bindings)) ?? null);
    counts.requests++;
    return worker.fetch(request, bindings, ctx);
  },
} satisfies ExportedHandler<Env>;
