import { useState } from "preact/hooks";
import { words } from "../words.ts";
import { Icon } from "./icon.tsx";

/** A text to take elsewhere, with a button that copies it. */
export function Copy({ text, label }: { text: string; label: string }) {
  const [outcome, setOutcome] = useState("");
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setOutcome(words.actions.copied);
    } catch {
      // Without https, or refused by the person.
      setOutcome(words.actions.notCopied);
    }
  };
  return (
    <div class="copy">
      <textarea
        class="copied-text"
        rows={3}
        readOnly
        aria-label={label}
        value={text}
        onFocus={(event) => event.currentTarget.select()}
      />
      <button type="button" onClick={copy} aria-label={words.actions.copyNamed(label)}>
        <Icon name="copy" />
        {words.actions.copy}
      </button>
      <span role="status">{outcome}</span>
    </div>
  );
}
