/** Size of all results of a job together, and of their implausible fields as JSON, bytes. */
export interface ResultBytes {
  results: number;
  implausible: number;
}

const READ =
  "SELECT (SELECT coalesce(sum(length(results)), 0) FROM result) results, (SELECT coalesce(sum(octet_length(implausible)), 0) FROM digest) implausible";

/**
 * These sizes, read once: summing up the results of 255 other nodes would take longer than storing one. A result whose
 * commit fails counts until memory is lost.
 */
export class ResultCounter {
  readonly #sql: SqlStorage;
  #bytes: ResultBytes | null = null;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  get bytes(): ResultBytes {
    this.#bytes ??= this.#sql.exec<{ results: number; implausible: number }>(READ).one();
    return this.#bytes;
  }

  /** Counts a result that is about to be stored. */
  add(more: ResultBytes): void {
    const { results, implausible } = this.bytes;
    this.#bytes = {
      results: results + more.results,
      implausible: implausible + more.implausible,
    };
  }

  /** Notes that the tables were deleted. */
  forget(): void {
    this.#bytes = null;
  }
}
