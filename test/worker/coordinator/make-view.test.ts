/** A node's view is made once for each change: what is remembered is what would be made anew. */
import { describe, test } from "vitest";
import { decide } from "../../../src/coordinator/life/lifecycle.ts";
import {
  type Contact,
  type Job,
  type JobIdentity,
  newJob,
} from "../../../src/coordinator/life/model.ts";
import { etagOf, toNodeView, viewText } from "../../../src/coordinator/wire/make-view.ts";

const identity: JobIdentity = {
  jobId: 512,
  name: "Views",
  sequence: [
    { benchmark_id: "quick_mark", config: null },
    { benchmark_id: "cluster_network", config: null },
  ],
  isForRunners: false,
  isAnonymous: false,
  peerKey: "00",
};
const plan = [
  { key: "quick_mark", cluster: false, measures: true },
  { key: "cluster_network", cluster: true },
];
const silent: Contact = {
  at: 1,
  progress: 0,
  message: null,
  clockSkewMs: null,
  toldToStop: false,
  newsAt: 1,
  newsProgress: 0,
  hasSocket: false,
};

function joined(nodes: number): Job {
  return Array.from({ length: nodes }, (_, rank) => rank).reduce(
    (job, rank) => {
      const machine = {
        machineUuid: `00000000-0000-4000-8000-00000000000${rank}`,
        machineIp: null,
        clusterAddresses: [`10.0.0.${rank + 1}:7117`],
        gpuModel: null,
        gpuCount: null,
        gpuModels: null,
        inventoryHash: null,
        bootId: null,
      };
      return decide(job, { type: "join", machine, by: {} }, 1_000).job;
    },
    newJob({ nodeCount: 2, plan, expiresAt: 86_400_000 }),
  );
}

function told(job: Job, rank: number, contact: Contact | undefined, wait = 0.5) {
  return toNodeView(identity, job, job.nodes[rank] ?? null, contact, 150_000, () => wait);
}

/** Of a copy, of which nothing is remembered. */
const anew = (job: Job) => structuredClone(job);

describe("a view", () => {
  test.for([
    ["of a node that runs a step", joined(1)],
    ["of a node of a full job", joined(2)],
  ] as const)("%s says the same each time, but for its next poll", ([, job], { expect }) => {
    const [first, second] = [told(job, 0, silent, 0), told(job, 0, { ...silent, at: 9 }, 1)];
    const fresh = told(anew(job), 0, silent, 1);
    expect(second).toEqual(fresh);
    expect(JSON.parse(viewText(second))).toEqual(fresh);
    expect(viewText(second)).toBe(viewText(fresh));
    expect(etagOf(first)).toBe(etagOf(fresh));
    expect(first.poll_after_seconds).toBeLessThan(second.poll_after_seconds);
    expect(viewText(first)).not.toBe(viewText(second));
  });

  test.for([
    ["progress", { progress: 0.5 }],
    ["a message", { message: "warming up" }],
    ["the clock", { clockSkewMs: 5 }],
  ] as const)("follows %s of its node", ([, change], { expect }) => {
    const job = joined(2);
    const before = told(job, 0, silent);
    const [tag, text] = [etagOf(before), viewText(before)];
    const after = told(job, 0, { ...silent, ...change });
    expect(after).toEqual(told(anew(job), 0, { ...silent, ...change }));
    expect([etagOf(after), viewText(after)]).not.toEqual([tag, text]);
    expect(etagOf(after)).not.toBe(tag);
  });

  test("follows the job", ({ expect }) => {
    const job = joined(2);
    const before = told(job, 1, silent);
    const [tag, text] = [etagOf(before), viewText(before)];
    const aborted = decide(job, { type: "abort" }, 2_000).job;
    const after = told(aborted, 1, silent);
    expect(after).toMatchObject({ directive: "stop", state: "aborted" });
    expect(JSON.parse(viewText(after))).toEqual(after);
    expect([etagOf(after), viewText(after)]).not.toEqual([tag, text]);
    expect(viewText(before)).toBe(text);
  });

  test("of one node is not that of another, or of a caller that has not joined", ({ expect }) => {
    const job = joined(2);
    const views = [0, 1].map((rank) => told(job, rank, silent));
    const stranger = toNodeView(identity, job, null, undefined, 150_000, () => 0.5);
    expect(new Set([...views, stranger].map(etagOf)).size).toBe(3);
    expect(new Set([...views, stranger].map(viewText)).size).toBe(3);
  });
});
