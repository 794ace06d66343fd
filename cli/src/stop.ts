/** Signals: the first one stops what runs, the second ends the program at once. */
import { EXIT } from "./exit-codes.ts";
import { stopped } from "./failure.ts";
import { whenUnlocked } from "./session/lock.ts";

export type StopHandler = () => Promise<void>;

export class Stop {
  readonly #abort = new AbortController();
  #handler: StopHandler | undefined;
  #count = 0;
  #name: NodeJS.Signals | undefined;

  /** Aborted by the first signal. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** The first signal; undefined before it. */
  get name(): NodeJS.Signals | undefined {
    return this.#name;
  }

  listen(): void {
    for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
      process.on(name, () => void this.#onSignal(name));
    }
  }

  /** Lets a verb end in its own way at the first signal, instead of at once. */
  handle(handler: StopHandler | undefined): void {
    this.#handler = handler;
  }

  async #onSignal(name: NodeJS.Signals): Promise<void> {
    this.#count += 1;
    if (this.#count > 1) process.exit(EXIT.stopped);
    this.#name = name;
    this.#abort.abort(stopped());
    if (this.#handler !== undefined) return this.#handler();
    await whenUnlocked();
    process.exit(EXIT.stopped);
  }
}
