/** What the platform bills. All parts of a Worker share an isolate locally, so one set of counters serves all. */
export const counts = {
  /** Requests of the Worker, upgrades included. */
  requests: 0,
  /** Calls of objects. */
  objectRequests: 0,
  /** Alarms of objects that have fired. */
  alarms: 0,
  /** WebSocket messages that clients have sent and an object was woken for. */
  messages: 0,
  /** Rows that objects have written, with index entries and alarms set. */
  objectRows: 0,
  d1Reads: 0,
  d1Rows: 0,
  logLines: 0,
  /** R2: writes and reads. */
  r2Writes: 0,
  r2Reads: 0,
};

/** Traffic between a Worker and its storage: the platform limits it without billing it. */
export const traffic = {
  /** Calls of D1, a batch being one. */
  d1Calls: 0,
  /** Calls of D1 that have written. */
  d1Writes: 0,
  d1Statements: 0,
  /** Bound parameters as JSON, bytes. */
  d1SentBytes: 0,
  /** Rows of replies as JSON, bytes. */
  d1ReadBytes: 0,
  /** Of the database after the last call, bytes. */
  d1Size: 0,
  r2WrittenBytes: 0,
};

/** Calls of D1 and R2 that have not been answered yet: while there is one, no step is over. */
export const underway = { calls: 0 };

export async function during<T>(call: Promise<T>): Promise<T> {
  underway.calls++;
  try {
    return await call;
  } finally {
    underway.calls--;
  }
}
