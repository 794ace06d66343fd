/**
 * Closed sets of values that tables store, models decide on and schemas show. They stand here because all
 * three import them: a value outside its set is a type error wherever it is written.
 */

/** States of jobs and tasks, in the order of a job's life; the last four are final. */
export const JOB_STATES = [
  "created",
  "starting",
  "running",
  "completed",
  "aborted",
  "failed",
  "completed_with_warnings",
] as const;
export type JobState = (typeof JOB_STATES)[number];

/** States in which a job still takes nodes. */
export const JOINABLE_STATES = ["created", "starting"] as const satisfies readonly JobState[];
/** States of a gang: its runners have yet to meet, or have met. */
export const GANG_STATES = ["waiting", "met"] as const;
/** States of jobs that are not final. */
export const UNSETTLED_STATES = [
  ...JOINABLE_STATES,
  "running",
] as const satisfies readonly JobState[];

/** A step is `created` until it is released to its node. */
export const STEP_STATES = ["created", "running", "completed", "failed", "aborted"] as const;
export type StepState = (typeof STEP_STATES)[number];

export const JOB_EVENT_KINDS = [
  "joined",
  "lost",
  "returned",
  "step_started",
  "step_ended",
  "settled",
] as const;
export type JobEventKind = (typeof JOB_EVENT_KINDS)[number];

/** Outcomes of a metric, a node or a job, compared with baselines. */
export const PERFORMANCE_STATUSES = [
  "underperforming",
  "expected",
  "outperforming",
  "unrated",
] as const;
export type PerformanceStatus = (typeof PERFORMANCE_STATUSES)[number];

export const BASELINE_SOURCES = ["pinned", "own_fleet", "fleet", "shipped"] as const;
export type BaselineSource = (typeof BASELINE_SOURCES)[number];

/** Metrics that have baselines, per GPU. */
export const RATED_METRICS = ["bf16_tflops", "memory_bandwidth_gbs"] as const;
export type RatedMetric = (typeof RATED_METRICS)[number];

/** What the figures of a comparison are grouped by. */
export const GROUPINGS = ["job", "machine", "model", "provider", "region", "spec"] as const;
export type Grouping = (typeof GROUPINGS)[number];

/** What a finding is about, the most urgent first (docs/scoreboard.md, "Findings"). */
export const FINDING_KINDS = [
  "health",
  "gpu_count",
  "spec_differs",
  "above_data_sheet",
  "gpu_straggler",
  "node_straggler",
  "network",
  "asymmetry",
  "drop",
] as const;
export type FindingKind = (typeof FINDING_KINDS)[number];

/** Roles of people (docs/contract.md, "Sign-in and people"), the weakest first. */
export const ROLES = ["user", "customer_admin", "staff", "root_admin"] as const;
export type Role = (typeof ROLES)[number];

/** Scopes of API tokens and keys: those that `read` send GET and HEAD alone. */
export const TOKEN_SCOPES = ["read", "write"] as const;
export type TokenScope = (typeof TOKEN_SCOPES)[number];

/** Actions in the audit log: changes first, then refusals. */
export const AUDIT_ACTIONS = [
  "signed_in",
  "signed_out",
  "customer_created",
  "customer_updated",
  "user_created",
  "user_updated",
  "user_deleted",
  "password_changed",
  "password_link_created",
  "api_token_created",
  "api_token_updated",
  "api_token_revoked",
  "user_key_created",
  "user_key_updated",
  "user_key_revoked",
  "token_secret_retired",
  "job_deleted",
  "job_share_created",
  "job_share_revoked",
  "spec_created",
  "spec_updated",
  "spec_deleted",
  "runner_created",
  "runner_updated",
  "runner_key_rotated",
  "runner_spec_offered",
  "runner_spec_withdrawn",
  "baseline_pinned",
  "baseline_unpinned",
  "sign_in_failed",
  "refresh_token_reused",
  "wrong_token_kind",
  "permission_denied",
] as const;
export type AuditAction = (typeof AUDIT_ACTIONS)[number];

/**
 * `account`: a caller who failed to sign in to an account. `operator`: a command of this project, run by the
 * person who runs the deployment.
 */
export const ACTOR_KINDS = ["user", "node", "runner", "account", "anonymous", "operator"] as const;
export type ActorKind = (typeof ACTOR_KINDS)[number];

export const SUBJECT_KINDS = [
  "customer",
  "user",
  "api_token",
  "user_key",
  "session",
  "account",
  "job",
  "job_share",
  "spec",
  "runner",
  "baseline",
  "operation",
  "secret",
] as const;
export type SubjectKind = (typeof SUBJECT_KINDS)[number];

/** States of runners. Their order is part of the entity tags of runners. */
export const RUNNER_STATES = ["online", "offline", "busy"] as const;
export type RunnerState = (typeof RUNNER_STATES)[number];

/** Outcomes of the comparison of a machine with its spec, the worst first. */
export const SPEC_CHECK_STATUSES = ["differs", "unknown", "matches"] as const;
export type SpecCheckStatus = (typeof SPEC_CHECK_STATUSES)[number];

export const OPERATING_SYSTEMS = ["linux", "macos", "windows"] as const;
export type OperatingSystem = (typeof OPERATING_SYSTEMS)[number];
export const ARCHITECTURES = ["x86_64", "aarch64"] as const;
export type Architecture = (typeof ARCHITECTURES)[number];

/** Sizes of paper that reports are made for. */
export const PAPER_SIZES = ["a4", "letter"] as const;
export type PaperSize = (typeof PAPER_SIZES)[number];
