/**
 * The methods that figures are made by, and which of them compare (docs/scoreboard.md, "Methods and classes"). An
 * agent names the method of each figure; figures of one class are compared with each other and with nothing else. Pure.
 */
import { RATED_METRICS, type RatedMetric } from "../lib/enums.ts";
import type { Provenance } from "../lib/stored-json.ts";

export interface Method {
  /** The metrics that it measures. */
  metrics: readonly string[];
  class: string;
  /** The release of the agent that first used it. */
  since: string;
}

/** The class of results without `measurement`, and of the recorded runs that the project ships. */
export const QUICKMARK = "quickmark";
/** The class of methods that this server does not know. Nothing in it compares. */
export const UNKNOWN = "unknown";

const PRODUCTS = ["bf16_tflops", "fp16_tflops"];
const MEMORY = ["memory_bandwidth_gbs"];

/**
 * By id. What `npm run calibrate` has not shown to be equal has a class of its own, sizes of a copy too: an agent takes
 * a smaller one only where the memory is too small for the larger.
 */
export const METHODS: ReadonlyMap<string, Method> = new Map([
  method("gemm.cublaslt.4096.nn.normal/1", PRODUCTS, "library-gemm"),
  method("gemm.ptx.4096.nt.normal/1", PRODUCTS, "mma-gemm"),
  method("gemm.torch.4096.nn.normal/1", PRODUCTS, "torch-gemm"),
  method("copy.ptx.4gib/1", MEMORY, "copy"),
  method("copy.ptx.1gib/1", MEMORY, "copy-1gib"),
  method("copy.ptx.256mib/1", MEMORY, "copy-256mib"),
  method("fma.ptx/1", ["fp32_cuda_core_tflops"], "fma"),
  method("h2d.pinned.128mib/1", ["host_to_device_bandwidth_gbs"], "pinned"),
  method("d2h.pinned.128mib/1", ["device_to_host_bandwidth_gbs"], "pinned"),
  method("launch.events/1", ["kernel_launch_overhead_us"], "launch"),
  method("peer.64mib/1", ["gpu_bandwidth_matrix"], "peer"),
]);

function method(id: string, metrics: readonly string[], name: string): [string, Method] {
  return [id, { metrics, class: name, since: "0.1.0" }];
}

/** Classes that a rated metric can have a baseline of, those of recorded runs first. */
export function classesOf(metric: RatedMetric): string[] {
  const own = [...METHODS.values()].filter(({ metrics }) => metrics.includes(metric));
  return [QUICKMARK, ...new Set(own.map((each) => each.class))];
}

/** All of them. */
export const CLASSES: readonly string[] = [...new Set(RATED_METRICS.flatMap(classesOf))];

/** The class of a node's figure. A method counts for its own metrics alone. */
export function classOf(metric: RatedMetric, provenance: Provenance | null): string {
  const id = provenance?.methods?.[metric];
  if (id === undefined) return QUICKMARK;
  const known = METHODS.get(id);
  return known?.metrics.includes(metric) ? known.class : UNKNOWN;
}

/** The id of a figure's method; null for QuickMark's own, which has no other. */
export function methodOf(metric: RatedMetric, provenance: Provenance | null): string | null {
  return provenance?.methods?.[metric] ?? null;
}
