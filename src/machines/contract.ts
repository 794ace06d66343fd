import { z } from "@hono/zod-openapi";
import { pageParameters, paginationExample } from "../api/lists.ts";
import { uuidParameter } from "../api/names.ts";
import { json, operation } from "../api/operation.ts";
import { queryBoolean, queryChoice, queryText } from "../api/query-parameters.ts";
import { INDEXED_SEARCH_LENGTH } from "../db/named-search.ts";
import { PERFORMANCE_STATUSES, RATED_METRICS, SPEC_CHECK_STATUSES } from "../lib/enums.ts";
import { MAX_HOST_NAME } from "../lib/host-name.ts";
import {
  type HistoryWire,
  MAX_PLACE,
  MAX_POINTS,
  type MachineWire,
  machine,
  machineHistory,
  machinePage,
} from "./schemas.ts";

const BASE = "/api/silicon-mark/v1/machines";
const TAGS: [string] = ["Machines"];

/** A name of one or two characters is searched in so many machines, those seen last. */
export const MAX_SHORT_NAME_MACHINES = 1_000;

const params = z.object({ machine_uuid: uuidParameter("machine_uuid", "machine") });

const example: MachineWire = {
  machine_uuid: "550e8400-e29b-41d4-a716-446655440000",
  host_name: "gpu-node-17",
  gpu_models: [{ model: "NVIDIA A100-SXM4-80GB", count: 8 }],
  provider: "Lambda",
  region: "us-east-1",
  jobs: 12,
  last_job_id: "7554621440",
  last_seen_at: "2024-03-15T10:35:00.000Z",
  status: "expected",
  replayed: false,
  findings: 0,
  spec_check: "matches",
};

const historyExample: HistoryWire = {
  machine_uuid: "550e8400-e29b-41d4-a716-446655440000",
  points: [
    {
      job_id: "7554621440",
      task_id: "7554621441",
      at: "2024-03-15T10:40:00.000Z",
      metric: "bf16_tflops",
      gpu_model: "NVIDIA A100-SXM4-80GB",
      class: "library-gemm",
      method: "gemm.cublaslt.4096.nn.normal/1",
      value: 265.2,
      ratio: 1,
      gpu_count: 7,
    },
  ],
  events: [
    {
      job_id: "7554621440",
      task_id: "7554621441",
      at: "2024-03-15T10:35:00.000Z",
      before: [{ model: "NVIDIA A100-SXM4-80GB", count: 8 }],
      after: [{ model: "NVIDIA A100-SXM4-80GB", count: 7 }],
      message: "8 × NVIDIA A100-SXM4-80GB before, 7 × NVIDIA A100-SXM4-80GB now",
    },
  ],
};

const placeParameter = (name: string) =>
  queryText({
    isName: true,
    trim: true,
    max: MAX_PLACE,
    description: `Only machines with exactly this ${name}, without regard to case. An empty value is ignored.`,
  });

const SCOPE =
  "Regular users see the machines of their own jobs, customer admins those of all jobs of their customer, staff and root admins all.";

export const listMachinesRoute = operation({
  method: "get",
  path: BASE,
  operationId: "listMachines",
  tags: TAGS,
  summary: "List machines",
  description: `Lists the machines that joined the jobs you may see, last seen first. ${SCOPE} Other people's jobs on the same machine are left out, and so are deleted jobs.

Filters combine. A page beyond the last one is empty.

**Cost.** The first page and the pages along \`next_cursor\` or the links of \`Link\` cost the same with any filters, however many machines there are. So does the total with at most one filter other than \`name\`; with several, or with \`name\`, it reads all matches.`,
  access: "user",
  list: true,
  request: {
    query: z.object({
      ...pageParameters({ max: 300, default: 20 }),
      gpu_model: queryText({
        max: 128,
        description:
          "Only machines with GPUs of this model, in any common spelling. An empty value is ignored.",
        example: "a100-sxm4-80gb",
      }),
      provider: placeParameter("provider"),
      region: placeParameter("region"),
      status: queryChoice(PERFORMANCE_STATUSES, "Only machines with this verdict.").optional(),
      spec_check: queryChoice(
        SPEC_CHECK_STATUSES,
        "Only machines whose comparison with the expected spec has this outcome.",
      ).optional(),
      has_findings: queryBoolean({
        default: false,
        description: "True: only machines with findings. False is ignored.",
      }),
      name: queryText({
        isName: true,
        max: MAX_HOST_NAME,
        description: `Only machines whose host name contains this text. ASCII letters match in either case; no wildcards. An empty value is ignored. A text of fewer than ${INDEXED_SEARCH_LENGTH} characters is searched in the ${MAX_SHORT_NAME_MACHINES.toLocaleString("en")} machines seen last.`,
        example: "gpu-node",
      }),
    }),
  },
  responses: {
    200: json(machinePage, {
      description: "A page of machines.",
      example: { results: [example], pagination: paginationExample },
    }),
  },
});

export const getMachineRoute = operation({
  method: "get",
  path: `${BASE}/{machine_uuid}`,
  operationId: "getMachine",
  tags: TAGS,
  summary: "View a machine",
  description: `Returns a machine as in the list. ${SCOPE} Others get 404.`,
  access: "user",
  single: true,
  request: { params },
  responses: { 200: json(machine, { description: "The machine.", example }) },
  errors: ["RESOURCE_NOT_FOUND"],
});

export const getMachineHistoryRoute = operation({
  method: "get",
  path: `${BASE}/{machine_uuid}/history`,
  operationId: "getMachineHistory",
  tags: TAGS,
  summary: "View a machine's history",
  description: `Returns the figures of the machine's last ${MAX_POINTS} jobs, newest first, at most ${MAX_POINTS}, and the changes of its GPUs between them. Figures are per GPU. Figures of recordings, busy GPUs, unfinished measurements, failed checks and jobs without a verdict are left out, and so are implausible figures.

Figures of different classes cannot be compared. ${SCOPE} Others get 404.`,
  access: "user",
  single: true,
  counts: true,
  request: {
    params,
    query: z.object({
      metric: queryChoice(RATED_METRICS, "Only this metric. By default both.").optional(),
    }),
  },
  responses: {
    200: json(machineHistory, { description: "The history.", example: historyExample }),
  },
  errors: ["RESOURCE_NOT_FOUND"],
});

export type ListMachinesQuery = z.infer<typeof listMachinesRoute.request.query>;
