/**
 * `npm run chaos -- --kills N --seed S --transport poll|channel`: the kill test of the tests for longer. Exits 1 when anything that
 * was acknowledged is lost, or D1 differs from an object.
 */
import { parseArgs } from "node:util";
import { chaos, describeChaos, failuresOf } from "../test/chaos/run.ts";
import { stopSignal } from "./lib/stop-signal.ts";

const { values } = parseArgs({
  options: {
    kills: { type: "string", default: "200" },
    transport: { type: "string", default: "poll" },
    seed: { type: "string", default: String(Date.now() % 2 ** 31) },
  },
});
const kills = Number(values.kills);
const seed = Number(values.seed);
if (!Number.isInteger(kills) || kills < 1 || !Number.isInteger(seed)) {
  console.error("--kills and --seed are whole numbers");
  process.exit(2);
}
const { transport } = values;
if (transport !== "poll" && transport !== "channel") {
  console.error("--transport is poll or channel");
  process.exit(2);
}
const stopping = stopSignal();
console.log(`Seed ${seed}, ${kills} kills, transport ${transport}`);
const onKill = (done: number) => {
  if (done % 20 === 0) console.log(`${done} kills`);
};
try {
  const report = await chaos({ kills, seed, transport, onKill, signal: stopping.signal });
  console.log(describeChaos(report));
  const failures = failuresOf(report);
  for (const failure of failures) console.error(failure);
  if (failures.length > 0) process.exitCode = 1;
} catch (error) {
  console.error(stopping.signal.aborted ? "\nStopped." : error);
  process.exitCode = stopping.exitCode() || 1;
}
