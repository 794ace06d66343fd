/**
 * Shortcuts of the keyboard. Those of a single character can be turned off (WCAG 2.1.4), and none acts while somebody
 * types.
 */
import { useEffect, useRef } from "preact/hooks";

const OFF = "assay.shortcuts";
/** Time for the second key of two. */
const SEQUENCE_MS = 1_000;

export type Shortcuts = Readonly<Record<string, () => void>>;

const layers: { current: Shortcuts }[] = [];
let pending: { key: string; at: number } | null = null;

export function areShortcutsOn(): boolean {
  return localStorage.getItem(OFF) === null;
}

export function turnShortcuts(on: boolean): void {
  if (on) localStorage.removeItem(OFF);
  else localStorage.setItem(OFF, "off");
}

/** Shortcuts of what is on the screen; those added last come first. Names are keys, or two with a space. */
export function useShortcuts(shortcuts: Shortcuts): void {
  const layer = useRef(shortcuts);
  layer.current = shortcuts;
  useEffect(() => {
    layers.unshift(layer);
    return () => {
      layers.splice(layers.indexOf(layer), 1);
    };
  }, []);
}

/** Listens for the whole page. */
export function hearKeys(): void {
  document.addEventListener("keydown", (event) => {
    const isModified = event.ctrlKey || event.metaKey || event.altKey;
    if (isModified || event.defaultPrevented || event.isComposing) return;
    if (isTyping(event.target) || document.querySelector("dialog[open]") !== null) {
      if (event.key === "Escape" && isTyping(event.target)) event.target.blur();
      return;
    }
    if (!areShortcutsOn()) return;
    const isSecond = pending !== null && event.timeStamp - pending.at < SEQUENCE_MS;
    const names = isSecond ? [`${pending?.key} ${event.key}`, event.key] : [event.key];
    pending = { key: event.key, at: event.timeStamp };
    for (const name of names) {
      const found = layers.find(({ current }) => Object.hasOwn(current, name));
      if (found === undefined) continue;
      event.preventDefault();
      pending = null;
      found.current[name]?.();
      return;
    }
  });
}

const TEXTLESS = new Set(["checkbox", "radio", "button", "submit", "range"]);

function isTyping(target: EventTarget | null): target is HTMLElement {
  if (target instanceof HTMLInputElement) return !TEXTLESS.has(target.type);
  return (
    target instanceof HTMLTextAreaElement ||
    target instanceof HTMLSelectElement ||
    (target instanceof HTMLElement && target.isContentEditable)
  );
}

/** Moves the focus along the elements that `selector` names, from wherever it is. */
export function moveAlong(selector: string, step: 1 | -1): void {
  const all = [...document.querySelectorAll<HTMLElement>(selector)];
  const row = document.activeElement?.closest("tr");
  const at = all.findIndex(
    (each) => each === document.activeElement || (row != null && each.closest("tr") === row),
  );
  const next = at === -1 ? (step === 1 ? 0 : all.length - 1) : at + step;
  all[Math.max(0, Math.min(next, all.length - 1))]?.focus();
}
