/** States and verdicts: a word and a shape, and a colour that says nothing the word does not. */
import type { Schemas } from "../lib/api.ts";
import { words } from "../words.ts";
import { Icon, type IconName } from "./icon.tsx";

export type Tone = "good" | "bad" | "warn" | "busy" | "quiet" | "great";
export type JobState = Schemas["JobState"];
export type Verdict = Schemas["PerformanceStatus"];
export type SpecStatus = Schemas["SpecCheckStatus"];

const STATES: Record<JobState, [Tone, IconName]> = {
  created: ["quiet", "ring"],
  starting: ["busy", "half"],
  running: ["busy", "half"],
  completed: ["good", "check"],
  completed_with_warnings: ["warn", "warning"],
  failed: ["bad", "cross"],
  aborted: ["quiet", "slash"],
};
const VERDICTS: Record<Verdict, [Tone, IconName]> = {
  underperforming: ["bad", "down"],
  expected: ["good", "check"],
  outperforming: ["great", "up"],
  unrated: ["quiet", "ring"],
};
const SPECS: Record<SpecStatus, [Tone, IconName]> = {
  differs: ["bad", "cross"],
  unknown: ["quiet", "ring"],
  matches: ["good", "check"],
};

interface BadgeProps {
  tone: Tone;
  icon: IconName;
  text: string;
}

export function Badge({ tone, icon, text }: BadgeProps) {
  return (
    <span class={`badge ${tone}`}>
      <Icon name={icon} />
      {text}
    </span>
  );
}

export function StateBadge({ state }: { state: JobState }) {
  const [tone, icon] = STATES[state];
  return <Badge tone={tone} icon={icon} text={words.states[state]} />;
}

interface VerdictProps {
  verdict: Verdict;
  /** Made of recordings. */
  replayed: boolean | null;
}

export function VerdictBadge({ verdict, replayed }: VerdictProps) {
  const [tone, icon] = VERDICTS[verdict];
  const word = words.verdicts[verdict];
  return <Badge tone={tone} icon={icon} text={replayed ? words.verdict.ofReplay(word) : word} />;
}

export function SpecBadge({ status }: { status: SpecStatus }) {
  const [tone, icon] = SPECS[status];
  return <Badge tone={tone} icon={icon} text={words.specChecks[status]} />;
}

export const LIVE_STATES: ReadonlySet<JobState> = new Set(["created", "starting", "running"]);
export const IDLE_STATES: ReadonlySet<JobState> = new Set([
  "created",
  "completed",
  "completed_with_warnings",
  "failed",
  "aborted",
]);
