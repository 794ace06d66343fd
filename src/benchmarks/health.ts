/** What a measurement says of the health of the machine, whatever its figures are. Pure. */
import { isObject } from "../lib/json.ts";
import { percent } from "../lib/percent.ts";
import type { HealthWarning } from "../lib/stored-json.ts";

/** The parts of a `measurement` that are read here, of the right types. */
export interface CheckedMeasurement {
  methods: Readonly<Record<string, string>>;
  quality?: Readonly<Record<string, { settled: boolean }>> | null | undefined;
  conditions?:
    | { busy?: boolean | null | undefined; facts?: readonly object[] | null | undefined }
    | null
    | undefined;
  checks?:
    | { gemm_repeatable?: boolean | null | undefined; gemm_error?: number | null | undefined }
    | null
    | undefined;
  faults?:
    | readonly { metric: string; gpu?: number | null | undefined; code: string; message: string }[]
    | null
    | undefined;
}

/** Bound of the warnings of one node. */
const MAX_WARNINGS = 64;
/** Bound of a warning's text. */
const MAX_MESSAGE = 200;
/** Larger than any rounding of 16 bits, and smaller than one wrong product in a sum. */
const MOST_ERROR = 0.01;
/** Faults of the machine: codes of the agent for wrong products and wrong clocks, and of the driver. */
const WRONG_PRODUCT = /^product_/;
const WRONG_CLOCK = "clock_disagrees";
const DRIVER_FAULT = /^cuda_[0-9]+$/;
/** Reasons that hold clocks down because the hardware must; a power limit that is reached is every healthy machine's. */
const HARDWARE_THROTTLE = /^hw_/;

/** Its GPUs have computed wrongly: no figure of it is worth anything. */
export function hasFailedChecks({ checks, faults }: CheckedMeasurement): boolean {
  return (
    checks?.gemm_repeatable === false ||
    (checks?.gemm_error ?? 0) > MOST_ERROR ||
    (faults ?? []).some(({ code }) => WRONG_PRODUCT.test(code))
  );
}

/** Its GPUs and its host count different times: no rate is to be trusted. */
export function hasClockFault({ faults }: CheckedMeasurement): boolean {
  return (faults ?? []).some(({ code }) => code === WRONG_CLOCK);
}

/** Warnings, the worst first: wrong products, wrong clocks, faults of the driver, then each GPU's own. */
export function healthOf(measurement: CheckedMeasurement): HealthWarning[] {
  const facts = measurement.conditions?.facts ?? [];
  const warnings = [
    ...wrongProducts(measurement),
    ...wrongClocks(measurement),
    ...(measurement.faults ?? [])
      .filter(({ code }) => DRIVER_FAULT.test(code))
      .map(({ metric, gpu = null, message }) => warning(gpu, metric, message)),
    ...facts.flatMap((each, gpu) => gpuWarnings(each, gpu)),
  ];
  return warnings.slice(0, MAX_WARNINGS);
}

/** Each GPU once, whichever of its checks failed, where the agent names GPUs. */
function wrongProducts({ checks, faults }: CheckedMeasurement): HealthWarning[] {
  const wrong = (faults ?? []).filter(({ code }) => WRONG_PRODUCT.test(code));
  const text =
    "computes wrong results without reporting an error (silent corruption): its products failed a check";
  if (wrong.length > 0) {
    const byGpu = new Map(wrong.map(({ metric, gpu = null }) => [gpu, metric]));
    return [...byGpu].map(([gpu, metric]) =>
      warning(gpu, metric, gpu === null ? `a GPU ${text}` : text),
    );
  }
  if (checks?.gemm_repeatable === false)
    return [
      warning(null, "gemm_repeatable", `a GPU ${text}: repeated, one of them gave another result`),
    ];
  const error = checks?.gemm_error ?? 0;
  if (error <= MOST_ERROR) return [];
  const message = `a GPU ${text}: elements are off by up to ${percent(error)}`;
  return [warning(null, "gemm_error", message, error, MOST_ERROR)];
}

/** Each GPU once, with the first figure that shows it. */
function wrongClocks({ faults }: CheckedMeasurement): HealthWarning[] {
  const wrong = (faults ?? []).filter(({ code }) => code === WRONG_CLOCK);
  return [...Map.groupBy(wrong, ({ gpu = null }) => gpu)].flatMap(([gpu, [first]]) => {
    const clock = gpu === null ? "a GPU's clock" : "its clock";
    const message = `${clock} and the host's tell different times: rates are not to be trusted`;
    return first === undefined ? [] : [warning(gpu, first.metric, message)];
  });
}

type Facts = { readonly [name: string]: unknown };

function gpuWarnings(sent: object, gpu: number): HealthWarning[] {
  const facts = sent as Facts; // JSON: keys are strings
  const rows = isObject(facts.remapped_rows) ? facts.remapped_rows : {};
  const ecc = numberIn(facts, "uncorrected_ecc_errors");
  const errors = ecc === 1 ? "error" : "errors";
  const throttle = Array.isArray(facts.throttle) ? facts.throttle.slice(0, 16) : [];
  const reasons = throttle.filter(
    (each): each is string => typeof each === "string" && HARDWARE_THROTTLE.test(each),
  );
  return [
    ...(ecc !== null && ecc > 0
      ? [
          warning(
            gpu,
            "uncorrected_ecc_errors",
            `${ecc} memory ${errors} could not be corrected`,
            ecc,
            0,
          ),
        ]
      : []),
    ...(rows.failed === true
      ? [warning(gpu, "remapped_rows", "a broken memory row could not be replaced")]
      : []),
    ...(rows.pending === true
      ? [warning(gpu, "remapped_rows", "a broken memory row is replaced only after a reset")]
      : []),
    ...below(facts, gpu, {
      metric: "power_limit_watts",
      of: "default_power_limit_watts",
      say: (value, whole) => `its power limit is ${value} W, below its default of ${whole} W`,
    }),
    ...below(facts, gpu, {
      metric: "pcie_width",
      of: "pcie_max_width",
      say: (value, whole) => `its PCIe link has ${value} of ${whole} lanes under load`,
    }),
    ...below(facts, gpu, {
      metric: "pcie_generation",
      of: "pcie_max_generation",
      say: (value, whole) =>
        `its PCIe link has generation ${value} under load, but ${whole} is possible`,
    }),
    ...(reasons.length > 0
      ? [warning(gpu, "throttle", `the hardware throttled its clocks: ${reasons.join(", ")}`)]
      : []),
  ];
}

function below(
  facts: Facts,
  gpu: number,
  fact: { metric: string; of: string; say: (value: number, whole: number) => string },
): HealthWarning[] {
  const value = numberIn(facts, fact.metric);
  const whole = numberIn(facts, fact.of);
  if (value === null || whole === null || value <= 0 || value >= whole) return [];
  return [warning(gpu, fact.metric, fact.say(value, whole), value, whole)];
}

function numberIn(facts: Facts, name: string): number | null {
  const value = facts[name];
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

/** A message may repeat what an agent has sent. */
function warning(
  gpu: number | null,
  metric: string,
  message: string,
  value: number | null = null,
  expected: number | null = null,
): HealthWarning {
  const text = [...message.replaceAll(/[\p{Cc}\s]+/gu, " ")].slice(0, MAX_MESSAGE).join("");
  return { gpu, metric, value, expected, message: text };
}
