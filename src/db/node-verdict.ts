/** The verdict on a node, for queries of `tasks`: what the task says of the node is not stored again with it. */
import { sql } from "drizzle-orm";
import type { NodeVerdict, StoredNodeVerdict } from "../lib/stored-json.ts";
import { nullable, number, record, text } from "./forms.ts";
import { fromJson } from "./json.ts";
import { measuredHardware } from "./measured-hardware.ts";
import * as packed from "./packed-verdicts.ts";
import { tasks } from "./schema/tasks.ts";

const { gpuModel, gpuCount } = measuredHardware;

/** JSON for `readNodeVerdict`; null before the task is rated. */
export const nodeVerdictText = sql<
  string | null
>`iif(${tasks.verdict} is null, null, json_array(${tasks.rank}, ${tasks.machineUuid}, ${gpuModel.sql}, ${gpuCount.sql}, json(${tasks.verdict})))`;

const form = record<Omit<NodeVerdict, keyof StoredNodeVerdict> & { stored: StoredNodeVerdict }>({
  rank: number,
  machineUuid: text,
  gpuModel: nullable(text),
  gpuCount: nullable(number),
  stored: packed.nodeVerdict,
});

export function readNodeVerdict(value: unknown): NodeVerdict {
  const { stored, ...node } = form.unpack(value);
  return { ...node, ...stored };
}

/** Null before the task is rated. */
export const nodeVerdict = fromJson<NodeVerdict | null>(nodeVerdictText, readNodeVerdict).as(
  "node_verdict",
);
