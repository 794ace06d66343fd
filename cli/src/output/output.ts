import type { WriteStream } from "node:tty";
import { openPager, type Pager } from "./pager.ts";

export interface OutputOptions {
  json: boolean;
  quiet: boolean;
  pager: boolean;
}

const CODES = { red: "31", green: "32", yellow: "33" } as const;
type Colour = keyof typeof CODES;

/** The two streams of the program: results on the standard output, all else on the standard error. */
export class Output {
  readonly json: boolean;
  readonly quiet: boolean;
  readonly #env: NodeJS.ProcessEnv;
  readonly #pager: boolean;
  readonly #stdout: WriteStream;
  readonly #stderr: WriteStream;

  constructor(
    { json, quiet, pager }: OutputOptions,
    env: NodeJS.ProcessEnv,
    { stdout, stderr }: { stdout: WriteStream; stderr: WriteStream } = process,
  ) {
    this.json = json;
    this.quiet = quiet;
    this.#pager = pager && !json;
    this.#env = env;
    this.#stdout = stdout;
    this.#stderr = stderr;
  }

  /** One result: the document with `--json`, else lines for people. A pager shows those that only a reader asks for. */
  async result(
    document: unknown,
    lines: () => readonly string[],
    { isForReading = false } = {},
  ): Promise<void> {
    const text = this.json ? JSON.stringify(document, null, 2) : lines().join("\n");
    if (text === "") return;
    const isLong =
      isForReading && text.split("\n").length >= (this.#stdout.rows ?? Number.POSITIVE_INFINITY);
    await this.paged(isLong, (write) => write(`${text}\n`));
  }

  /** Writes to a pager where the output is a terminal and the text is long. `write` answers false once nobody reads any more. */
  async paged(
    isLong: boolean,
    print: (write: (text: string) => boolean | Promise<boolean>) => unknown,
  ): Promise<void> {
    const pager: Pager | null =
      isLong && this.#pager && this.#stdout.isTTY ? openPager(this.#env) : null;
    if (pager === null) {
      await print((text) => this.#write(text));
      return;
    }
    try {
      await print(pager.write);
    } finally {
      await pager.end();
    }
  }

  /** Rows of the terminal; none where the output is no terminal. */
  get rows(): number | undefined {
    return this.#stdout.isTTY ? this.#stdout.rows : undefined;
  }

  #write(text: string): Promise<boolean> {
    return new Promise((done) => this.#stdout.write(text, () => done(!this.#stdout.destroyed)));
  }

  /** A remark for people; not with `--quiet`. */
  note(text: string): void {
    if (!this.quiet) this.#stderr.write(`${text}\n`);
  }

  /** Text that nobody should miss, with `--quiet` too. */
  say(text: string): void {
    this.#stderr.write(`${text}\n`);
  }

  /** Colours text of the standard output. */
  paint(colour: Colour, text: string): string {
    return this.#isColoured(this.#stdout) ? `\x1b[${CODES[colour]}m${text}\x1b[0m` : text;
  }

  #isColoured(stream: WriteStream): boolean {
    const { NO_COLOR, FORCE_COLOR, TERM } = this.#env;
    if (this.json || (NO_COLOR !== undefined && NO_COLOR !== "")) return false;
    if (FORCE_COLOR !== undefined && FORCE_COLOR !== "" && FORCE_COLOR !== "0") return true;
    return stream.isTTY === true && TERM !== "dumb";
  }
}
