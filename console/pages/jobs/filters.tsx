/** The filters of the list. Each change is a new address, so that a list can be shared and the back button undoes it. */
import type { TargetedEvent } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { addressOf, go } from "../../lib/router.ts";
import { Icon } from "../../parts/icon.tsx";
import { words } from "../../words.ts";
import {
  activeFilters,
  DEFAULTS,
  ORIGINS,
  type Origin,
  PAGE_SIZES,
  type Single,
  withFilter,
} from "./query.ts";

const text = words.filters;
/** After the last key. */
const TYPING_MS = 350;

interface FiltersProps {
  query: URLSearchParams;
  benchmarks: readonly { id: string; name: string }[];
}

export function Filters({ query, benchmarks }: FiltersProps) {
  const set = (changes: Record<string, string | string[]>) =>
    go(addressOf("/jobs", withFilter(query, changes)));
  const hidden = activeFilters(query) - (query.has("name") ? 1 : 0) - (query.has("state") ? 1 : 0);
  const select = (name: Single, options: readonly (readonly [string, string])[]) => (
    <Select
      name={name}
      value={query.get(name) ?? DEFAULTS[name] ?? ""}
      options={options}
      set={set}
    />
  );
  const any = ["", text.any] as const;
  return (
    <form class="filters" role="search" aria-label={text.label} onSubmit={(e) => e.preventDefault()}>
      <div class="filter-main">
        <SearchField value={query.get("name") ?? ""} set={(name) => set({ name })} />
        {select("state", [any, ...Object.entries(words.states)])}
        {select("benchmark_id", [any, ...benchmarks.map(({ id, name }) => [id, name] as const)])}
      </div>
      <details open={hidden > 0}>
        <summary>
          {text.more}
          {hidden > 0 && <span class="pill">{text.active(hidden)}</span>}
        </summary>
        <div class="filter-grid">
          <TextField
            name="tags"
            hint={text.tagsHint}
            value={query.getAll("tags").join(", ")}
            set={(value) => set({ tags: splitTags(value) })}
          />
          {(["created_after", "created_before"] as const).map((name) => (
            <TextField
              key={name}
              name={name}
              kind="time"
              value={query.get(name) ?? ""}
              set={(value) => set({ [name]: value })}
            />
          ))}
          {(["node_count_min", "node_count_max"] as const).map((name) => (
            <TextField
              key={name}
              name={name}
              kind="number"
              value={query.get(name) ?? ""}
              set={(value) => set({ [name]: value })}
            />
          ))}
          {ORIGINS.map((name) => (
            <TextField
              key={name}
              name={name}
              value={query.get(name) ?? ""}
              set={(value) => set({ [name]: value })}
            />
          ))}
          {select("spec_check", [any, ...Object.entries(words.specChecks)])}
          {select("sort_by", Object.entries(text.sortKeys))}
          {select("sort_order", [
            ["desc", text.desc],
            ["asc", text.asc],
          ])}
          {select("per_page", PAGE_SIZES.map((size) => [size, size] as const))}
          {(["has_findings", "has_performance_data"] as const).map((name) => (
            <label key={name} class="check">
              <input
                type="checkbox"
                checked={query.get(name) === "true"}
                onChange={(event) => set({ [name]: event.currentTarget.checked ? "true" : "" })}
              />
              {text[name]}
            </label>
          ))}
        </div>
      </details>
    </form>
  );
}

export function splitTags(value: string): string[] {
  return value
    .split(",")
    .map((tag) => tag.trim())
    .filter((tag) => tag !== "");
}

interface SelectProps {
  name: Single;
  value: string;
  options: readonly (readonly [string, string])[];
  set: (changes: Record<string, string>) => void;
}

function Select({ name, value, options, set }: SelectProps) {
  const label = name === "benchmark_id" ? text.benchmark : text[name as keyof typeof text & Single];
  const isKnown = options.some(([option]) => option === value);
  return (
    <label class="field">
      <span>{String(label)}</span>
      <select value={value} onChange={(event) => set({ [name]: event.currentTarget.value })}>
        {options.map(([option, title]) => (
          <option key={option} value={option}>
            {title}
          </option>
        ))}
        {/* An address may name what no list offers. */}
        {!isKnown && <option value={value}>{value}</option>}
      </select>
    </label>
  );
}

interface TextFieldProps {
  name: "tags" | "created_after" | "created_before" | "node_count_min" | "node_count_max" | Origin;
  kind?: "text" | "number" | "time";
  hint?: string;
  value: string;
  set: (value: string) => void;
}

/** Takes effect when somebody leaves it or presses Enter. */
function TextField({ name, kind = "text", hint, value, set }: TextFieldProps) {
  const common = {
    defaultValue: value,
    onChange: (event: TargetedEvent<HTMLInputElement>) => {
      if (event.currentTarget.value !== value) set(event.currentTarget.value);
    },
  };
  return (
    <label class="field">
      <span>{text[name]}</span>
      {kind === "number" && <input key={value} type="number" min={1} max={256} {...common} />}
      {kind === "time" && <input key={value} type="datetime-local" {...common} />}
      {kind === "text" && <input key={value} type="text" placeholder={hint} {...common} />}
    </label>
  );
}

/** Searches while somebody types, a moment after the last key. */
export function SearchField({
  value,
  set,
  label = text.search,
}: {
  value: string;
  set: (name: string) => void;
  label?: string;
}) {
  const [typed, setTyped] = useState(value);
  const latest = useRef(set);
  latest.current = set;
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => {
    // The address has changed by a link or the back button.
    if (document.activeElement !== field.current) setTyped(value);
  }, [value]);
  useEffect(() => {
    if (typed.trim() === value) return;
    const timer = setTimeout(() => latest.current(typed.trim()), TYPING_MS);
    return () => clearTimeout(timer);
  }, [typed, value]);
  return (
    <label class="field search">
      <span>{label}</span>
      <Icon name="search" />
      <input
        ref={field}
        type="search"
        value={typed}
        maxLength={60}
        onInput={(event) => setTyped(event.currentTarget.value)}
      />
    </label>
  );
}
