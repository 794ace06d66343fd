/** A field of a form with its label, its hint, and what is wrong with it. */
import type { ComponentChildren } from "preact";

interface FieldProps {
  id: string;
  label: string;
  hint?: string | null;
  fault?: string | null;
  children: ComponentChildren;
}

/** Ids of the texts that describe a field, for `aria-describedby`. */
export function describedBy(id: string, hint?: string | null, fault?: string | null) {
  const ids = [hint ? `${id}-hint` : "", fault ? `${id}-fault` : ""].filter(Boolean);
  return ids.length === 0 ? {} : { "aria-describedby": ids.join(" ") };
}

export function Field({ id, label, hint, fault, children }: FieldProps) {
  return (
    <div class="form-field">
      <label for={id}>{label}</label>
      {children}
      {hint && (
        <p id={`${id}-hint`} class="hint">
          {hint}
        </p>
      )}
      {fault && (
        <p id={`${id}-fault`} class="field-fault">
          {fault}
        </p>
      )}
    </div>
  );
}
