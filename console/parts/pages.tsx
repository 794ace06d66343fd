import { firstPage, firstRow } from "../lib/list-query.ts";
import { addressOf } from "../lib/router.ts";
import { words } from "../words.ts";
import { Icon } from "./icon.tsx";

interface PagesProps {
  path: string;
  query: URLSearchParams;
  rows: number;
  total: number;
  /** Null on the last page. */
  cursor: string | null;
}

/** The ways along a list; the way back is the browser's. */
export function Pages({ path, query, rows, total, cursor }: PagesProps) {
  const from = firstRow(query);
  const to = from + rows - 1;
  const next = new URLSearchParams(query);
  if (cursor !== null) next.set("cursor", cursor);
  next.set("from", String(to + 1));
  const place = words.jobs.pageOf(from, to, total);
  return (
    <nav class="pages" aria-label={place}>
      <span>{place}</span>
      {query.has("cursor") && <a href={addressOf(path, firstPage(query))}>{words.actions.first}</a>}
      {cursor !== null && (
        <a rel="next" href={addressOf(path, next)}>
          {words.actions.next}
          <Icon name="right" />
        </a>
      )}
    </nav>
  );
}
