/** A machine beside its spec, as stored with its task. */
import type { Architecture, OperatingSystem, SpecCheckStatus } from "./enums.ts";

/** The hardware that a spec promises; it never changes. */
export interface PromisedHardware {
  uuid: string;
  os: OperatingSystem;
  architecture: Architecture;
  cpu: number;
  /** bytes */
  memory: number;
  /** bytes */
  disk: number;
  network: boolean;
}

/** One field of a spec beside what the machine has (`benchmarks/spec-check.ts`). */
export interface SpecCheckField {
  field: string;
  /** As text, sizes in bytes; null for a field that only informs. */
  promised: string | null;
  /** As text, sizes in bytes; null if it could not be read. */
  found: string | null;
  status: SpecCheckStatus;
  /** For people; null where both are the same. */
  reason: string | null;
}

export interface SpecCheck {
  status: SpecCheckStatus;
  fields: SpecCheckField[];
}
