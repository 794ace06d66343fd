/** Hands the bodies of a settled job over to R2, before it is rated and reported. */
import { clusterPositionsOf } from "../../benchmarks/sequence.ts";
import { bodiesKey, clusterCopies, layOut } from "../../db/bodies.ts";
import { type Bucket, openBucket } from "../../db/bucket.ts";
import { createMeter, type Database, openDatabase } from "../../db/client.ts";
import type { BodySizes, SequenceStep } from "../../lib/stored-json.ts";
import type { Live } from "../life/model.ts";
import type { CoordinatorStorage, StoredBody } from "../storage/storage.ts";
import { acknowledgeBodies, findSizes } from "./store.ts";

interface BodiesContext {
  jobId: number;
  env: Env;
  live: Live;
  storage: CoordinatorStorage;
}

/**
 * Writes one R2 object, then records in D1 where everything is. Safe to repeat: a settled job's bodies never change,
 * so another run writes the same object. Readers come to the job's object until D1 has the record.
 */
export const stage = {
  async run({ jobId, env, live, storage }: BodiesContext): Promise<void> {
    const meter = createMeter();
    const bucket = openBucket(env.BUCKET, meter);
    const db = openDatabase(env.DB, meter);
    const stored = storage.bodies();
    if (live.job.nodes.length === 0) return acknowledgeStored(db, bucket, jobId);
    const tasks: BodySizes[] = live.job.nodes.map(() => []);
    for (const [rank, sizes] of Map.groupBy(stored, (body) => body.rank)) {
      tasks[rank] = sizes.map(({ position, bytes }) => [position, bytes]);
    }
    const { offsets, copies, total } = planOf(tasks, live.identity.sequence);
    if (total > 0) {
      await bucket.putParts(bodiesKey(jobId), total, function* () {
        for (const part of [...stored, ...copies] satisfies StoredBody[]) {
          const body = storage.body(part);
          if (body === null) throw new Error(`Body ${part.position} of node ${part.rank} is gone`);
          yield body;
        }
      });
    }
    const isNamed = await acknowledgeBodies(db, jobId, offsets, total);
    // Cron has removed the job: nothing would ever free what no row names.
    if (!isNamed && total > 0) await bucket.delete([bodiesKey(jobId)]);
  },
};

function planOf(tasks: readonly BodySizes[], sequence: readonly SequenceStep[]) {
  const { offsets, bytes } = layOut(tasks);
  const copies = clusterCopies(tasks, clusterPositionsOf(sequence));
  return { offsets, copies, total: copies.reduce((sum, copy) => sum + copy.bytes, bytes) };
}

/**
 * Records bodies that R2 has already. The object knows no nodes: none has ever come, or D1 was restored from a backup
 * after the object had deleted its storage.
 */
async function acknowledgeStored(db: Database, bucket: Bucket, jobId: number): Promise<void> {
  const row = await findSizes(db, jobId);
  if (row === null) return;
  const { offsets, total } = planOf(row.sizes, row.sequence);
  const size = (await bucket.size(bodiesKey(jobId))) ?? 0;
  // The backup had the job while it was live, so its object was aborted: no row says where the bodies are.
  const isLost = size !== total && row.currentNodes === 0;
  if (size === total || isLost) {
    await acknowledgeBodies(db, jobId, isLost ? null : offsets, size);
    return;
  }
  throw new Error(`R2 has ${size} bytes of results, and D1 expects ${total}`);
}
