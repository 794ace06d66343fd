/** The form of a benchmark's options, made from its JSON Schema. */
import type { SchemaField, Typed } from "../../lib/schema-form.ts";
import { describedBy, Field } from "../../parts/field.tsx";
import { words } from "../../words.ts";

const text = words.newJob;

interface SchemaFieldsProps {
  /** Begins the ids of the fields. */
  id: string;
  fields: readonly SchemaField[];
  typed: Typed;
  faults: Readonly<Record<string, string>>;
  set: (name: string, value: string) => void;
}

export function SchemaFields({ id, fields, typed, faults, set }: SchemaFieldsProps) {
  return (
    <div class="form-grid">
      {fields.map((field) => {
        const fieldId = `${id}-${field.name}`;
        const hint = hintOf(field);
        const fault = faults[field.name] ?? null;
        return (
          <Field key={field.name} id={fieldId} label={field.title} hint={hint} fault={fault}>
            <Input
              field={field}
              value={typed[field.name] ?? field.initial}
              set={(value) => set(field.name, value)}
              common={{
                id: fieldId,
                "aria-invalid": fault !== null,
                ...describedBy(fieldId, hint, fault),
              }}
            />
          </Field>
        );
      })}
    </div>
  );
}

function hintOf(field: SchemaField): string | null {
  const { description, min, max, kind, isRequired } = field;
  const range = min === null && max === null ? null : text.range(min, max);
  const form = kind === "list" ? text.listHint : kind === "json" ? text.jsonHint : null;
  const optional = isRequired ? null : text.optional;
  const parts = [description, range, form, optional].filter((part) => part !== null);
  return parts.length === 0 ? null : parts.join(" ");
}

interface InputProps {
  field: SchemaField;
  value: string;
  set: (value: string) => void;
  common: { id: string; "aria-invalid": boolean; "aria-describedby"?: string };
}

function Input({ field, value, set, common }: InputProps) {
  const { kind, min, max, maxLength, choices } = field;
  if (kind === "choice" || kind === "flag") {
    return (
      <select {...common} value={value} onChange={(event) => set(event.currentTarget.value)}>
        <option value="">{text.byDefault}</option>
        {(kind === "flag" ? ["true", "false"] : choices).map((choice) => (
          <option key={choice} value={choice}>
            {kind === "flag" ? text.flags[choice as "true" | "false"] : choice}
          </option>
        ))}
      </select>
    );
  }
  if (kind === "json") {
    return (
      <textarea
        {...common}
        rows={3}
        value={value}
        onInput={(event) => set(event.currentTarget.value)}
      />
    );
  }
  if (kind === "integer" || kind === "number") {
    return (
      <input
        {...common}
        type="number"
        inputMode={kind === "integer" ? "numeric" : "decimal"}
        step={kind === "integer" ? 1 : "any"}
        {...(min === null ? {} : { min })}
        {...(max === null ? {} : { max })}
        value={value}
        onInput={(event) => set(event.currentTarget.value)}
      />
    );
  }
  return (
    <input
      {...common}
      type="text"
      {...(maxLength === null ? {} : { maxLength })}
      value={value}
      onInput={(event) => set(event.currentTarget.value)}
    />
  );
}
