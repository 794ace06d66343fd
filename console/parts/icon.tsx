/** Shapes beside words: they repeat what the word says, for the eye. */

const PATHS = {
  check: "M3 8.5l3.2 3.2L13 4.8",
  down: "M3 5h10L8 13z",
  up: "M3 11h10L8 3z",
  ring: "M8 2.8a5.2 5.2 0 1 0 0 10.4A5.2 5.2 0 0 0 8 2.8z",
  half: "M8 2.8a5.2 5.2 0 1 0 0 10.4z M8 2.8a5.2 5.2 0 0 1 0 10.4",
  cross: "M4 4l8 8M12 4l-8 8",
  slash: "M8 2.8a5.2 5.2 0 1 0 0 10.4A5.2 5.2 0 0 0 8 2.8zM4.5 11.5l7-7",
  warning: "M8 2.5l6 11H2zM8 6.5v3.2M8 11.4v.6",
  search: "M7 2.8a4.2 4.2 0 1 0 0 8.4A4.2 4.2 0 0 0 7 2.8zM10.2 10.2l3.3 3.3",
  plus: "M8 3v10M3 8h10",
  copy: "M5.5 5.5h7v7h-7zM3.5 10.5v-7h7",
  left: "M10 3.5L5.5 8l4.5 4.5",
  right: "M6 3.5L10.5 8 6 12.5",
  out: "M9 3H3v10h10V7M8 8l5-5M10 3h3v3",
} as const;

export type IconName = keyof typeof PATHS;

const FILLED: ReadonlySet<IconName> = new Set(["down", "up", "half"]);

export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} class={FILLED.has(name) ? "filled" : ""} />
    </svg>
  );
}
