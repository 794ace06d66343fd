/** Fields of filters: each change is a new address. */
import type { TargetedEvent } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { words } from "../words.ts";
import { Icon } from "./icon.tsx";

/** After the last key. */
const TYPING_MS = 350;

interface FilterProps {
  label: string;
  value: string;
  set: (value: string) => void;
}

export function FilterSelect({
  label,
  value,
  options,
  set,
}: FilterProps & { options: readonly (readonly [string, string])[] }) {
  const id = useId();
  const isKnown = options.some(([option]) => option === value);
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <select id={id} value={value} onChange={(event) => set(event.currentTarget.value)}>
        {options.map(([option, title]) => (
          <option key={option} value={option}>
            {title}
          </option>
        ))}
        {/* An address may name what no list offers. */}
        {!isKnown && <option value={value}>{value}</option>}
      </select>
    </div>
  );
}

/** The first option of a filter. */
export const ANY = ["", words.filters.any] as const;

/** Takes effect when somebody leaves it or presses Enter. */
export function FilterText({
  label,
  value,
  set,
  kind = "text",
  hint,
}: FilterProps & { kind?: "text" | "number" | "time"; hint?: string }) {
  const id = useId();
  const common = {
    id,
    defaultValue: value,
    onChange: (event: TargetedEvent<HTMLInputElement>) => {
      if (event.currentTarget.value !== value) set(event.currentTarget.value);
    },
  };
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {kind === "number" && <input key={value} type="number" min={1} max={256} {...common} />}
      {kind === "time" && <input key={value} type="datetime-local" {...common} />}
      {kind === "text" && <input key={value} type="text" placeholder={hint} {...common} />}
    </div>
  );
}

export function FilterCheck({ label, value, set }: FilterProps) {
  return (
    <label class="check">
      <input
        type="checkbox"
        checked={value === "true"}
        onChange={(event) => set(event.currentTarget.checked ? "true" : "")}
      />
      {label}
    </label>
  );
}

/** Searches while somebody types, a moment after the last key. */
export function FilterSearch({ label, value, set }: FilterProps) {
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
