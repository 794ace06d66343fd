import { api, call, type Schemas } from "../../lib/api.ts";
import { type Loaded, useLoaded } from "../../lib/load.ts";

export type Benchmark = Schemas["Benchmark"];
export type Fields = Readonly<Record<string, { display_name: string; unit: string }>>;

/** The benchmarks: their forms, and the names and units of their figures. */
export function useCatalogue(): Loaded<Schemas["BenchmarkCatalogue"]> {
  return useLoaded("benchmarks", (signal) =>
    call((both) => api.GET("/api/silicon-mark/v1/benchmarks", { signal: both }), signal),
  );
}
