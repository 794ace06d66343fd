import { bytes } from "../../lib/format.ts";
import { fieldsOf } from "../../lib/schema-form.ts";
import type { Schemas } from "../../lib/schemas.ts";
import { describedBy, Field } from "../../parts/field.tsx";
import { words } from "../../words.ts";
import type { Benchmark } from "../jobs/catalogue.ts";
import type { Form, SpecUse } from "./order.ts";
import { SchemaFields } from "./schema-fields.tsx";

const text = words.newJob;

interface PartProps {
  form: Form;
  set: (changes: Partial<Form>) => void;
  faults: Readonly<Record<string, string>>;
}

type TextName = "name" | "description" | "tags" | "nodes" | "provider" | "region" | "order";

function TextInput({
  name,
  maxLength,
  hint = null,
  part: { form, set, faults },
}: {
  name: TextName;
  maxLength: number;
  hint?: string | null;
  part: PartProps;
}) {
  const fault = faults[name] ?? null;
  const common = {
    id: name,
    name,
    value: form[name],
    "aria-invalid": fault !== null,
    ...describedBy(name, hint, fault),
  };
  return (
    <Field id={name} label={text.labels[name]} hint={hint} fault={fault}>
      {name === "nodes" ? (
        <input
          {...common}
          type="number"
          min={1}
          max={256}
          onInput={(event) => set({ nodes: event.currentTarget.value })}
        />
      ) : (
        <input
          {...common}
          type="text"
          maxLength={maxLength}
          autoComplete="off"
          onInput={(event) => set({ [name]: event.currentTarget.value })}
        />
      )}
    </Field>
  );
}

export function Basics(part: PartProps) {
  return (
    <fieldset class="part">
      <legend>{text.basics}</legend>
      <div class="form-grid">
        <TextInput part={part} name="name" maxLength={60} hint={text.nameHint} />
        <TextInput part={part} name="nodes" maxLength={3} hint={text.nodesHint} />
        <TextInput part={part} name="tags" maxLength={520} hint={words.filters.tagsHint} />
        <TextInput part={part} name="description" maxLength={512} />
      </div>
    </fieldset>
  );
}

export function BenchmarkFields({
  form,
  set,
  faults,
  benchmarks,
}: PartProps & { benchmarks: readonly Benchmark[] }) {
  const toggle = (id: string, isChosen: boolean) =>
    set({
      benchmarks: isChosen
        ? [...form.benchmarks, id]
        : form.benchmarks.filter((each) => each !== id),
    });
  return (
    <fieldset class="part">
      <legend>{text.benchmarks}</legend>
      {benchmarks.map((benchmark) => {
        const { id, name, description, min_nodes: min, config_schema: schema } = benchmark;
        const isFixed = id === "quick_mark";
        const isChosen = isFixed || form.benchmarks.includes(id);
        const fields = fieldsOf(schema);
        const prefix = `${id}.`;
        return (
          <div key={id} class="benchmark">
            <label class="check">
              <input
                type="checkbox"
                checked={isChosen}
                disabled={isFixed}
                aria-describedby={`${id}-about`}
                onChange={(event) => toggle(id, event.currentTarget.checked)}
              />
              <b>{name}</b> <code>{id}</code>
            </label>
            <p id={`${id}-about`} class="soft small">
              {description} {min > 1 && text.needs(min)}
            </p>
            {isChosen && fields.length > 0 && (
              <SchemaFields
                id={id}
                fields={fields}
                typed={form.options[id] ?? {}}
                faults={Object.fromEntries(
                  Object.entries(faults)
                    .filter(([key]) => key.startsWith(prefix))
                    .map(([key, fault]) => [key.slice(prefix.length), fault]),
                )}
                set={(key, value) =>
                  set({ options: { ...form.options, [id]: { ...form.options[id], [key]: value } } })
                }
              />
            )}
          </div>
        );
      })}
    </fieldset>
  );
}

export function SpecFields({
  form,
  set,
  faults,
  specs,
}: PartProps & { specs: readonly Schemas["CatalogueSpec"][] }) {
  const fault = faults.spec ?? null;
  const uses: SpecUse[] = ["none", "compare", "run"];
  return (
    <fieldset class="part">
      <legend>{text.spec}</legend>
      {uses.map((use) => (
        <div key={use}>
          <label class="check">
            <input
              type="radio"
              name="spec-use"
              checked={form.specUse === use}
              disabled={use !== "none" && specs.length === 0}
              onChange={() => set({ specUse: use })}
            />
            {text.specUses[use]}
          </label>
        </div>
      ))}
      {specs.length === 0 && <p class="soft small">{text.noSpecs}</p>}
      {form.specUse !== "none" && (
        <Field id="spec" label={text.spec} fault={fault}>
          <select
            id="spec"
            value={form.spec}
            aria-invalid={fault !== null}
            {...describedBy("spec", null, fault)}
            onChange={(event) => set({ spec: event.currentTarget.value })}
          >
            <option value="">–</option>
            {specs.map((spec) => (
              <option key={spec.uuid} value={spec.slug}>
                {text.specLine(
                  spec.name,
                  spec.cpu,
                  bytes(spec.memory),
                  bytes(spec.disk),
                  spec.runners_online,
                )}
              </option>
            ))}
          </select>
        </Field>
      )}
    </fieldset>
  );
}

export function Origins(part: PartProps) {
  return (
    <fieldset class="part">
      <legend>{text.origin}</legend>
      <div class="form-grid">
        <TextInput part={part} name="provider" maxLength={100} />
        <TextInput part={part} name="region" maxLength={100} />
        <TextInput part={part} name="order" maxLength={100} hint={text.orderHint} />
      </div>
    </fieldset>
  );
}
