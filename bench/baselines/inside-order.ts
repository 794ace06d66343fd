/** Words between the bench and its Worker that opens sockets within workerd. */

export interface InsideOrder {
  /** Of the channel. */
  url: string;
  nodes: readonly { token: string; taskId: string }[];
}

/** The line that says that all sockets are open; the next has the times when each was told to stop, ms of the epoch. */
export const OPEN = "open";
