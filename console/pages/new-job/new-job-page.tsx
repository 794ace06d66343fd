/** A new job: what to run, on how many machines, and what they were promised to be. */
import { useRef, useState } from "preact/hooks";
import { api, call, type Fault, type Schemas } from "../../lib/api.ts";
import { useLoaded } from "../../lib/load.ts";
import { addressOf, go } from "../../lib/router.ts";
import type { Problem } from "../../lib/schema-form.ts";
import { FaultNotice, Skeleton } from "../../parts/notices.tsx";
import { PageHead } from "../../parts/page.tsx";
import { words } from "../../words.ts";
import { type Benchmark, useCatalogue } from "../jobs/catalogue.ts";
import { Basics, BenchmarkFields, Origins, SpecFields } from "./fields.tsx";
import { EMPTY, type Form, type FormFault, fieldOfFault, readOrder } from "./order.ts";

const text = words.newJob;

export function NewJobPage({ query }: { query: URLSearchParams }) {
  const catalogue = useCatalogue();
  const specs = useLoaded<Schemas["SpecCatalogue"]>("specs", (signal) =>
    call(
      (both) =>
        api.GET("/api/silicon-mark/v1/specs", {
          params: { query: { per_page: 100 } },
          signal: both,
        }),
      signal,
    ),
  );
  const { data, fault, reload } = catalogue;
  return (
    <div class="narrow">
      <PageHead title={text.title} above={<a href={addressOf("/jobs")}>{words.job.up}</a>} />
      {data === null ? (
        fault === null ? (
          <Skeleton rows={8} label={words.loading} />
        ) : (
          <FaultNotice fault={fault} retry={reload} />
        )
      ) : (
        <JobForm
          benchmarks={data.benchmarks}
          specs={specs.data?.results ?? []}
          start={startOf(query)}
        />
      )}
    </div>
  );
}

/** An address may fill the form in: `?nodes=4&benchmark=host_mark&provider=Lambda`. */
function startOf(query: URLSearchParams): Form {
  const text = (name: keyof Form) => query.get(name) ?? String(EMPTY[name]);
  return {
    ...EMPTY,
    nodes: text("nodes"),
    tags: query.getAll("tags").join(", "),
    provider: text("provider"),
    region: text("region"),
    order: text("order"),
    benchmarks: [...EMPTY.benchmarks, ...query.getAll("benchmark")],
  };
}

interface JobFormProps {
  benchmarks: readonly Benchmark[];
  specs: readonly Schemas["CatalogueSpec"][];
  start: Form;
}

function JobForm({ benchmarks, specs, start }: JobFormProps) {
  const [form, setForm] = useState<Form>(start);
  const [faults, setFaults] = useState<Readonly<Record<string, string>>>({});
  const [fault, setFault] = useState<Fault | null>(null);
  const [isBusy, setIsBusy] = useState(false);
  // The same order sent twice makes one job, also where the first reply was lost.
  const attempt = useRef({ body: "", key: "" });
  const set = (changes: Partial<Form>) => setForm((old) => ({ ...old, ...changes }));

  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    const read = readOrder(form, benchmarks);
    setFault(null);
    if ("faults" in read) {
      setFaults(mapValues(read.faults, wordOf));
      return focusFault();
    }
    setFaults({});
    setIsBusy(true);
    const body = JSON.stringify(read.order);
    if (attempt.current.body !== body) attempt.current = { body, key: randomKey() };
    const params = { header: { "Idempotency-Key": attempt.current.key } };
    const outcome = await call((signal) =>
      api.POST("/api/silicon-mark/v1/jobs", { params, body: read.order, signal }),
    );
    setIsBusy(false);
    if (outcome.ok) {
      return go(addressOf(`/jobs/${outcome.data.id}`), { replace: true });
    }
    const { details } = outcome.fault;
    const ids = read.order.benchmarks.map((each) =>
      typeof each === "string" ? each : each.benchmark_id,
    );
    setFault(outcome.fault);
    setFaults(
      Object.fromEntries(details.map(({ field, message }) => [fieldOfFault(field, ids), message])),
    );
    focusFault();
  };
  const props = { form, set, faults };
  return (
    <form class="new-job" onSubmit={submit} noValidate>
      <Basics {...props} />
      <BenchmarkFields {...props} benchmarks={benchmarks} />
      <SpecFields {...props} specs={specs} />
      <Origins {...props} />
      {fault !== null && <FaultNotice fault={fault} />}
      <div class="actions">
        <button type="submit" class="primary" disabled={isBusy}>
          {isBusy ? words.actions.busy : text.submit}
        </button>
        <a class="button" href={addressOf("/jobs")}>
          {words.actions.cancel}
        </a>
      </div>
    </form>
  );
}

function mapValues<From, To>(record: Readonly<Record<string, From>>, map: (value: From) => To) {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, map(value)]));
}

function wordOf(fault: FormFault | Problem): string {
  if (fault.kind === "range") return text.range(fault.min, fault.max);
  if (fault.kind === "min_nodes") return text.minNodes(fault.benchmark, fault.min);
  return text.problems[fault.kind];
}

/** The first field that is wrong takes the focus, once it is marked. */
function focusFault(): void {
  requestAnimationFrame(() => {
    document.querySelector<HTMLElement>('[aria-invalid="true"]')?.focus();
  });
}

function randomKey(): string {
  return [...crypto.getRandomValues(new Uint8Array(16))]
    .map((byte) => byte.toString(16).padStart(2, "0"))
    .join("");
}
