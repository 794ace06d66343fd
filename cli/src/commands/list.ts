/** Lists: filters as the API has them, pages, cursors, and tables. */
import { InvalidArgumentError, Option } from "@commander-js/extra-typings";
import type { Api } from "../api/client.ts";
import type { operations, QueryParameters } from "../api/types.ts";
import { usage } from "../failure.ts";
import type { Output } from "../output/output.ts";
import { type Column, createTable } from "../output/table.ts";
import { DATE_FORMS, parseDate } from "../values/time.ts";
import { type AnyCommand, collect, integer, type Open, verb } from "./open.ts";

/** The values that a filter takes: of a list of words, or of a kind. */
export type FilterKind = "text" | "texts" | "date" | "flag" | "number" | readonly string[];

export interface Page<Row> {
  rows: readonly Row[];
  total: number;
  nextCursor: string | null;
}

export type Query = Record<string, string | number | boolean | string[]>;

export interface ListVerb<Row> {
  summary: string;
  examples: readonly string[];
  /** Parameters of the list in the API, except those of paging and order. */
  filters: Readonly<Record<string, FilterKind>>;
  /** Orders, and the names of the API's parameters. */
  order?: { keys: readonly string[]; by: string; direction: string };
  mostPerPage: number;
  columns: readonly Column<Row>[];
  /** An argument or an option that is part of the list's path. */
  place?: { argument: string; description: string } | { option: Option };
  /** `place` is the value of the argument or option of that name, else empty. */
  read: (api: Api, query: Query, place: string) => Promise<Page<Row>>;
}

/** Options of the list itself. */
interface ListOptions extends Record<string, unknown> {
  page?: number;
  perPage?: number;
  cursor?: string;
  all?: boolean;
  filter?: string[];
  sort?: string;
  direction?: string;
}

const DIRECTIONS = ["asc", "desc"] as const;
/** With `--all` fewer requests do. */
const ALL_PER_PAGE = 255;

/** A verb that lists. */
export function listVerb<Row>(open: Open, list: ListVerb<Row>, name = "list"): AnyCommand {
  const command: AnyCommand = verb(name, list.summary, list.examples);
  if (name === "list") command.alias("ls");
  const { place } = list;
  if (place !== undefined && "argument" in place)
    command.argument(place.argument, place.description);
  if (place !== undefined && "option" in place) command.addOption(place.option);
  for (const [name, kind] of Object.entries(list.filters))
    command.addOption(filterOption(name, kind));
  command
    .addOption(
      new Option(
        "--filter <name=value>",
        `a filter of the API by its own name: ${Object.keys(list.filters).join(", ")}`,
      ).argParser(collect),
    )
    .addOption(new Option("--page <number>", "page of the list").argParser(integer(1, 2 ** 31)))
    .addOption(
      new Option("--per-page <count>", `rows on a page, up to ${list.mostPerPage}`).argParser(
        integer(1, list.mostPerPage),
      ),
    )
    .addOption(new Option("--cursor <cursor>", "continue where a page ended: its next_cursor"))
    .addOption(new Option("--all", "every page, along the cursors").conflicts(["page", "cursor"]));
  if (list.order !== undefined) {
    command
      .addOption(new Option("--sort <by>", "order of the rows").choices(list.order.keys))
      .addOption(new Option("--direction <direction>", "asc or desc").choices(DIRECTIONS));
  }
  return command.action(async (...args: unknown[]) => {
    // `as`: commander passes the arguments, the options declared above, and the command.
    const [options, self] = args.slice(-2) as [ListOptions, AnyCommand];
    const { output, api } = open(self);
    const query = queryOf(list, options);
    const where = placeOf(list, args, options);
    await print(
      output,
      list,
      (more) => list.read(api(), { ...query, ...more }, where),
      options.all === true,
    );
  });
}

function placeOf<Row>(
  { place }: ListVerb<Row>,
  args: readonly unknown[],
  options: ListOptions,
): string {
  if (place === undefined) return "";
  return String("argument" in place ? args[0] : options[place.option.attributeName()]);
}

/** Such as `--created-after`, for the API's `created_after`. */
function filterOption(name: string, kind: FilterKind): Option {
  const flag = `--${name.replaceAll("_", "-")}`;
  const said = `filter by ${name}`;
  if (kind === "flag") return new Option(flag, said);
  if (kind === "texts")
    return new Option(`${flag} <text>`, `${said}; may be repeated`).argParser(collect);
  if (kind === "date")
    return new Option(`${flag} <time>`, `${said}: ${DATE_FORMS}`).argParser((text: string) =>
      readFilter(name, kind, text),
    );
  if (kind === "number")
    return new Option(`${flag} <number>`, said).argParser((text: string) =>
      readFilter(name, kind, text),
    );
  if (kind === "text") return new Option(`${flag} <text>`, said);
  return new Option(`${flag} <${name}>`, said).choices(kind);
}

function readFilter(name: string, kind: FilterKind, text: string): string | number | boolean {
  const fault = (allowed: string) => new InvalidArgumentError(`${name} must be ${allowed}.`);
  if (kind === "date") {
    const date = parseDate(text, Date.now());
    if (date === null) throw fault(DATE_FORMS);
    return date;
  }
  if (kind === "number") {
    if (!/^\d{1,15}$/.test(text)) throw fault("a whole number");
    return Number(text);
  }
  if (kind === "flag") {
    if (text !== "true" && text !== "false") throw fault("true or false");
    return text === "true";
  }
  if (typeof kind !== "string" && !kind.includes(text)) throw fault(`one of ${kind.join(", ")}`);
  return text;
}

/** The query of a list, without what nobody has asked for. */
function queryOf<Row>(list: ListVerb<Row>, options: ListOptions): Query {
  const query: Query = {};
  for (const name of Object.keys(list.filters)) {
    const value = options[name.replaceAll(/_(\w)/g, (_, letter: string) => letter.toUpperCase())];
    // `as`: filterOption makes these alone.
    if (value !== undefined) query[name] = value as string | number | boolean | string[];
  }
  for (const entry of options.filter ?? []) addFilter(list, query, entry);
  const { page, cursor, sort, direction, all } = options;
  const perPage = options.perPage ?? (all ? Math.min(ALL_PER_PAGE, list.mostPerPage) : undefined);
  if (page !== undefined) query.page = page;
  if (perPage !== undefined) query.per_page = perPage;
  if (cursor !== undefined) query.cursor = cursor;
  if (list.order !== undefined && sort !== undefined) query[list.order.by] = sort;
  if (list.order !== undefined && direction !== undefined) query[list.order.direction] = direction;
  return query;
}

function addFilter<Row>({ filters }: ListVerb<Row>, query: Query, entry: string): void {
  const at = entry.indexOf("=");
  const name = at < 0 ? entry : entry.slice(0, at);
  const kind = Object.hasOwn(filters, name) ? filters[name] : undefined;
  if (at < 1 || kind === undefined) {
    throw usage(
      `--filter takes name=value, with one of ${Object.keys(filters).join(", ")}; not ${entry}`,
    );
  }
  let value: string | number | boolean;
  try {
    value = readFilter(name, kind, entry.slice(at + 1));
  } catch (error) {
    throw error instanceof InvalidArgumentError
      ? usage(`--filter ${entry}: ${error.message}`)
      : error;
  }
  const before = query[name];
  query[name] =
    kind === "texts" ? [...(Array.isArray(before) ? before : []), String(value)] : value;
}

async function print<Row>(
  output: Output,
  list: ListVerb<Row>,
  read: (more: Query) => Promise<Page<Row>>,
  isAll: boolean,
): Promise<void> {
  const first = await read({});
  const length = isAll ? first.total : first.rows.length;
  const isLong = length + 2 >= (output.rows ?? Number.POSITIVE_INFINITY);
  const rest = isAll ? first.nextCursor : null;
  await output.paged(isLong, (write) =>
    output.json ? writeJson(write, first, read, isAll) : writeTable(write, list, first, rest, read),
  );
  const shown = first.rows.length;
  if (!output.json && !isAll && first.nextCursor !== null) {
    output.note(
      `${shown} of ${first.total}: --all shows all, --cursor ${first.nextCursor} the next ones`,
    );
  } else if (!output.json && shown === 0) output.note("nothing found");
}

type Write = (text: string) => boolean | Promise<boolean>;

async function* pagesAfter<Row>(first: Page<Row>, read: (more: Query) => Promise<Page<Row>>) {
  let page = first;
  while (page.nextCursor !== null) {
    const { nextCursor } = page;
    page = await read({ cursor: nextCursor });
    if (page.nextCursor === nextCursor)
      throw usage("the server repeats the same page: report this");
    yield page;
  }
}

/** One document, written page by page, so that a long list takes no more memory than a page. */
async function writeJson<Row>(
  write: Write,
  first: Page<Row>,
  read: (more: Query) => Promise<Page<Row>>,
  isAll: boolean,
): Promise<void> {
  const { total, nextCursor } = first;
  if (!isAll) {
    await write(
      `${JSON.stringify({ results: first.rows, total, next_cursor: nextCursor }, null, 2)}\n`,
    );
    return;
  }
  const items = (rows: readonly Row[]) =>
    rows.map((row) => `    ${JSON.stringify(row)}`).join(",\n");
  await write(`{\n  "results": [\n${items(first.rows)}`);
  let count = first.rows.length;
  for await (const page of pagesAfter(first, read)) {
    if (page.rows.length === 0) continue;
    await write(`${count === 0 ? "" : ",\n"}${items(page.rows)}`);
    count += page.rows.length;
  }
  await write(`\n  ],\n  "total": ${count},\n  "next_cursor": null\n}\n`);
}

async function writeTable<Row>(
  write: Write,
  { columns }: ListVerb<Row>,
  first: Page<Row>,
  rest: string | null,
  read: (more: Query) => Promise<Page<Row>>,
): Promise<void> {
  if (first.rows.length === 0) return;
  const rows = createTable(columns);
  const isRead = await write(`${rows(first.rows).join("\n")}\n`);
  if (rest === null || !isRead) return;
  for await (const page of pagesAfter(first, read)) {
    if (page.rows.length > 0 && !(await write(`${rows(page.rows).join("\n")}\n`))) return;
  }
}

/** A page of a list that is a bare array, as those below /v0 are: its total and its cursor are in headers. */
export function pageOf<Row>({
  data,
  response,
}: {
  data: readonly Row[];
  response: Response;
}): Page<Row> {
  const total = Number(response.headers.get("x-total-count") ?? data.length);
  const next = /<([^>]*)>;\s*rel="?next"?/.exec(response.headers.get("link") ?? "")?.[1];
  const address = next === undefined ? null : new URL(next, "http://assay.invalid");
  return { rows: data, total, nextCursor: address?.searchParams.get("cursor") ?? null };
}

/** Filters of a list, by the names of its operation's parameters. */
export type Filters<Operation extends keyof operations> = Partial<
  Record<keyof QueryParameters<Operation>, FilterKind>
>;

/** The query with the type of its operation. */
export function queryFor<Operation extends keyof operations>(
  query: Query,
): QueryParameters<Operation> {
  // `as`: names and values are those of the operation's filters, which a test compares with the document.
  return query as QueryParameters<Operation>;
}
