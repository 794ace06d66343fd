/**
 * Names of the parts of schemas, for generated clients: without one, a generator makes up its own from the way to the
 * part. A schema that has a name in its contract needs none here.
 */
import { CATALOGUE } from "../benchmarks/catalogue.ts";
import { CLASSES } from "../benchmarks/methods.ts";
import {
  ACTOR_KINDS,
  ARCHITECTURES,
  AUDIT_ACTIONS,
  GROUPINGS,
  JOB_EVENT_KINDS,
  OPERATING_SYSTEMS,
  PAPER_SIZES,
  RATED_METRICS,
  ROLES,
  RUNNER_STATES,
  SUBJECT_KINDS,
  TOKEN_SCOPES,
} from "../lib/enums.ts";
import { ERRORS } from "./errors.ts";

/** Objects within schemas, and members of alternatives, by their place: see `shapes.ts`. */
export const PART_NAMES: Readonly<Record<string, string>> = {
  "Error.error": "ErrorBody",
  "Error.error.details[]": "FieldFault",
  "NodeView.benchmark_sequence[]": "SequenceEntry",
  "CreateJob.benchmarks[]": "BenchmarkChoice",
  "CreateJob.benchmarks[]|0": "BenchmarkName",
  "CreateJob.benchmarks[]|1": "BenchmarkWithConfig",
  "CreateAnonymousJob.benchmarks[]": "AnonymousBenchmarkChoice",
  "CreateAnonymousJob.benchmarks[]|0": "AnonymousBenchmarkId",
  "CreateAnonymousJob.benchmarks[]|1": "AnonymousBenchmark",
  "DeleteJob.id": "AnyJobId",
  "DeleteJob.id|0": "JobIdNumber",
  "DeleteJob.id|1": "JobIdDigits",
  "LoginReply.data": "LoginToken",
  "AuditEvent.actor": "AuditActor",
  "AuditEvent.subject": "AuditSubject",
  "Baselines.thresholds": "RatingThresholds",
  "Baseline.fleet": "FleetBaseline",
  "Baseline.shipped": "ShippedBaseline",
  "Baseline.pinned": "PinnedBaseline",
};

const ENUMS: Readonly<Record<string, readonly string[]>> = {
  ErrorCode: Object.keys(ERRORS),
  OAuthErrorCode: ["invalid_request", "invalid_grant", "unsupported_grant_type"],
  Directive: ["join", "wait", "run", "stop"],
  StepOutcome: ["completed", "failed"],
  JobEventKind: JOB_EVENT_KINDS,
  JobSortKey: [
    ...["created_at", "started_at", "ended_at", "expires_at"],
    ...["name", "state", "node_count", "current_nodes"],
  ],
  JobExpansion: ["performance", "performance_nodes"],
  NamedSortKey: ["name", "created"],
  SortDirection: ["asc", "desc"],
  BenchmarkId: CATALOGUE.map(({ id }) => id),
  BenchmarkType: ["node", "cluster"],
  RatedMetric: RATED_METRICS,
  Grouping: GROUPINGS,
  PaperSize: PAPER_SIZES,
  BaselineClass: CLASSES,
  ReferenceSource: ["shipped", "data_sheet"],
  OperatingSystem: OPERATING_SYSTEMS,
  Architecture: ARCHITECTURES,
  RunnerState: RUNNER_STATES,
  Role: ROLES,
  TokenScope: TOKEN_SCOPES,
  AuditAction: AUDIT_ACTIONS,
  ActorKind: ACTOR_KINDS,
  SubjectKind: SUBJECT_KINDS,
};

/** Enumerations, by their values with spaces between. Those that a contract names are found without it. */
export const ENUM_NAMES: Readonly<Record<string, string>> = Object.fromEntries(
  Object.entries(ENUMS).map(([name, values]) => [values.join(" "), name]),
);
