/** docs/measuring.md names what results hold, and why nothing is measured. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { throttleReasons } from "../../../agent/src/gpu/throttle.ts";
import { ROOT } from "../../../scripts/lib/project.ts";
import { METHODS } from "../../../src/benchmarks/methods.ts";
import { measure, telemetryOf } from "./runs.ts";

const page = readFileSync(join(ROOT, "docs/measuring.md"), "utf8");
const scoreboard = readFileSync(join(ROOT, "docs/scoreboard.md"), "utf8");
const missing = (names: readonly string[], text = page) =>
  names.filter((name) => !text.includes(`\`${name}\``));

test("every field of a measurement, of its parts, and of the facts of a GPU", () => {
  const { results, measurement } = measure({ gpus: 2 }, { telemetry: telemetryOf() });
  const { quality, conditions, checks } = measurement;
  const { engine } = results.measurement as { engine: object }; // `as`: results.ts writes it
  const names = [measurement, engine, ...Object.values(quality), conditions, checks].flatMap(
    (part) => Object.keys(part),
  );
  expect(missing([...names, ...Object.keys(conditions.facts[0] ?? {}), "partial"])).toEqual([]);
});

test("every reason that holds clocks down", () => {
  expect(missing(throttleReasons(0x1ffn))).toEqual([]);
});

test("every method, on both pages that list them", () => {
  expect(missing([...METHODS.keys()])).toEqual([]);
  const rated = [...METHODS].flatMap(([id, { metrics, class: name }]) =>
    metrics.some((metric) => /^(bf16_tflops|memory_bandwidth_gbs)$/.test(metric)) ? [id, name] : [],
  );
  expect(missing(rated, scoreboard)).toEqual([]);
});

test("every code of a failure, and of a fault", () => {
  const codes = ["refusals", "probe", "run", "measure-step", "products", "probe-process"].flatMap(
    (name) => {
      const source = readFileSync(join(ROOT, `agent/src/gpu/${name}.ts`), "utf8");
      const places = source.match(/\bcode(?::| =)[^,;]*/g) ?? [];
      return places.flatMap((place) => place.match(/(?<=")[a-z]+(?:_[a-z]+)*(?=")/g) ?? []);
    },
  );
  expect(codes).toEqual(
    expect.arrayContaining(["gpu_busy", "gpu_failed", "probe_failed", "out_of_memory"]),
  );
  expect(missing([...new Set([...codes, "more_faults"])])).toEqual([]);
});
