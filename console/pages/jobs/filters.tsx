/** The filters of the list of jobs. */
import { splitTags, withFilter } from "../../lib/list-query.ts";
import { addressOf, go } from "../../lib/router.ts";
import {
  ANY,
  FilterCheck,
  FilterSearch,
  FilterSelect,
  FilterText,
} from "../../parts/filter-fields.tsx";
import { words } from "../../words.ts";
import { activeFilters, DEFAULTS, ORIGINS, PAGE_SIZES, type Single } from "./query.ts";

const text = words.filters;

interface FiltersProps {
  query: URLSearchParams;
  benchmarks: readonly { id: string; name: string }[];
}

export function Filters({ query, benchmarks }: FiltersProps) {
  const set = (changes: Record<string, string | string[]>) =>
    go(addressOf("/jobs", withFilter(query, changes, DEFAULTS)));
  const props = (name: Single) => ({
    key: name,
    label: text[name],
    value: query.get(name) ?? DEFAULTS[name] ?? "",
    set: (value: string) => set({ [name]: value }),
  });
  const shown = ["name", "state", "benchmark_id"].filter((name) => query.has(name)).length;
  const hidden = activeFilters(query) - shown;
  return (
    <search>
      <form class="filters" aria-label={text.label} onSubmit={(e) => e.preventDefault()}>
        <div class="filter-main">
          <FilterSearch {...props("name")} />
          <FilterSelect {...props("state")} options={[ANY, ...Object.entries(words.states)]} />
          <FilterSelect
            {...props("benchmark_id")}
            options={[ANY, ...benchmarks.map(({ id, name }) => [id, name] as const)]}
          />
        </div>
        <details open={hidden > 0}>
          <summary>
            {text.more}
            {hidden > 0 && <span class="pill">{text.active(hidden)}</span>}
          </summary>
          <div class="filter-grid">
            <FilterText
              label={text.tags}
              hint={text.tagsHint}
              value={query.getAll("tags").join(", ")}
              set={(value) => set({ tags: splitTags(value) })}
            />
            {ORIGINS.map((name) => (
              <FilterText {...props(name)} />
            ))}
            <FilterText {...props("created_after")} kind="time" />
            <FilterText {...props("created_before")} kind="time" />
            <FilterText {...props("node_count_min")} kind="number" />
            <FilterText {...props("node_count_max")} kind="number" />
            <FilterSelect
              {...props("spec_check")}
              options={[ANY, ...Object.entries(words.specChecks)]}
            />
            <FilterSelect {...props("sort_by")} options={Object.entries(text.sortKeys)} />
            <FilterSelect {...props("sort_order")} options={Object.entries(text.sortOrders)} />
            <FilterSelect
              {...props("per_page")}
              options={PAGE_SIZES.map((size) => [size, size] as const)}
            />
            <FilterCheck {...props("has_findings")} />
            <FilterCheck {...props("has_performance_data")} />
          </div>
        </details>
      </form>
    </search>
  );
}
