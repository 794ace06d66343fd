/**
 * Random lives of a job whose nodes hold channels, with sleep, restarts and closed sockets between any two messages: what
 * a node was told last is what a poll would tell it.
 */
import { evictDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import fc from "fast-check";
import { test } from "vitest";
import { patient } from "../../patience.ts";
import { askFor, CHANNEL, holdOpen, type TestSocket } from "../harness/channel.ts";
import {
  call,
  heartbeat,
  type Json,
  join,
  joinSecret,
  machineUuid,
  poll,
  putResult,
} from "../harness/client.ts";
import { createJob } from "../harness/factories.ts";
import { coordinatorOf } from "../harness/instruments.ts";
import { eventually } from "../harness/time.ts";

/** Of `npm run test:long`; `npm run fuzz` draws others, and more. */
const { seed, lives: numRuns, minutes } = env.FUZZ ?? { seed: 1, lives: 30, minutes: 5 };
const NODES = 3;
const MAX_EVENTS = 25;
const NONCE = "n".repeat(22);

interface Member {
  uuid: string;
  secret: string;
  id: string | null;
  token: string;
  socket: TestSocket | null;
  /** What the node has been told last. */
  etag: string | null;
  view: Json;
  /** Messages of its socket that were read. */
  read: number;
}

type Act =
  | { kind: "join" | "open" | "progress" | "drop" | "leave" | "result"; node: number }
  | { kind: "sleep" | "restart" | "abort"; node?: undefined };

const ofNode = fc.record({
  kind: fc.constantFrom<"join" | "open" | "progress" | "drop" | "leave" | "result">(
    "join",
    "join",
    "join",
    "open",
    "open",
    "open",
    "progress",
    "drop",
    "result",
    "result",
    "result",
    "leave",
  ),
  node: fc.nat(NODES - 1),
});
const ofAll = fc.record({
  kind: fc.constantFrom<"sleep" | "restart" | "abort">(
    "sleep",
    "sleep",
    "sleep",
    "sleep",
    "restart",
    "restart",
    "abort",
  ),
});
const acts: fc.Arbitrary<Act[]> = fc.array(
  fc.oneof({ weight: 7, arbitrary: ofNode }, { weight: 3, arbitrary: ofAll }),
  { minLength: 8, maxLength: MAX_EVENTS },
);

test("whatever happens, an open channel has told its node what a poll would", {
  timeout: patient((minutes + 2) * 60_000),
}, async ({ expect }) => {
  let pushes = 0;
  let events = 0;
  const live = async (script: Act[]): Promise<void> => {
    const job = await createJob({ node_count: NODES, benchmarks: ["cluster_network"] });
    const members = Array.from({ length: NODES }, (): Member => {
      const uuid = machineUuid();
      return {
        uuid,
        secret: joinSecret(),
        id: null,
        token: "",
        socket: null,
        etag: null,
        view: null,
        read: 0,
      };
    });
    const asNode = ({ token }: Member) => ({ token: job.token, taskToken: token });
    const hangUp = (member: Member): void => {
      member.socket?.close();
      member.socket = null;
    };

    const play: Record<
      "join" | "open" | "progress" | "drop" | "leave" | "result",
      (member: Member) => Promise<unknown>
    > = {
      async join(member) {
        const joined = await join(job, { machine_uuid: member.uuid, join_secret: member.secret });
        if (joined.status >= 300) return;
        member.id = joined.body.id;
        member.token = joined.body.task_token;
      },
      async open(member) {
        if (member.id === null) return;
        const reply = await askFor(CHANNEL, { token: job.token });
        // The job has ended.
        if (reply.status !== 101) return void (await reply.body?.cancel());
        const socket = holdOpen(reply);
        const { id, token, etag } = member;
        socket.send({
          type: "hello",
          task_id: id,
          task_token: token,
          known_etag: etag,
          nonce: NONCE,
        });
        await socket.hear(1);
        expect(socket.heard[0]).toMatchObject({ type: "view", nonce: NONCE });
        if (member.socket !== null) expect((await member.socket.end()).code).toBe(4001);
        Object.assign(member, { socket, read: 0 });
      },
      async progress({ socket }) {
        socket?.send({ type: "progress", progress: 0.5, message: "half" });
      },
      async drop(member) {
        hangUp(member);
      },
      async leave(member) {
        if (member.id === null) return;
        await heartbeat(asNode(member), member.id, { state: "failed", failed_message: "no more" });
      },
      async result(member) {
        if (member.id === null) return;
        const { body } = await poll(asNode(member), member.id);
        if (body.directive === "run")
          await putResult(asNode(member), member.id, body.step.position, {
            state: "failed",
            error_message: "x",
            started_at: "2026-01-01T00:00:00Z",
            ended_at: "2026-01-01T00:05:00Z",
          });
      },
    };

    for (const act of script) {
      events++;
      if (act.kind === "abort")
        await call("POST", `/jobs/${job.id}/abort`, { token: job.owner.token });
      else if (act.kind === "sleep") await evictDurableObject(coordinatorOf(job)).catch(ifNotAwake);
      else if (act.kind === "restart") {
        await evictDurableObject(coordinatorOf(job), { webSockets: "close" }).catch(ifNotAwake);
        for (const member of members) member.socket = null;
      } else if (act.node !== undefined) {
        const member = members[act.node];
        if (member !== undefined) await play[act.kind](member);
      }
      for (const member of members) await compare(member);
    }
    for (const member of members) hangUp(member);

    async function compare(member: Member): Promise<void> {
      const { socket, id } = member;
      if (socket === null || id === null) return;
      await eventually(async () => {
        for (const { etag, view } of socket.heard.slice(member.read)) {
          if (view !== null) pushes++;
          Object.assign(member, { etag, view: view ?? member.view });
        }
        member.read = socket.heard.length;
        const polled = await poll(asNode(member), id);
        expect(seen(member.view)).toEqual(seen(polled.body));
        if (polled.body.state !== "running" && polled.body.ended_at)
          expect(socket.ended?.code).toBe(1000);
      });
    }
  };
  await fc.assert(fc.asyncProperty(acts, live), {
    seed,
    numRuns,
    interruptAfterTimeLimit: minutes * 60_000,
    markInterruptAsFailure: false,
    endOnFailure: true,
  });
  console.info(`${events} events, ${pushes} views pushed, seed ${seed}`);
  expect(pushes).toBeGreaterThan(numRuns);
});

/** Before the first contact there is no object. */
function ifNotAwake(error: unknown): void {
  if (!String(error).includes("not running")) throw error;
}

/** What a node acts on: others' news and progress, which it has sent itself, are not pushed. */
function seen(view: Json) {
  if (view === null) return null;
  const { state, directive, step, nodes, task } = view;
  return { state, directive, step, nodes, task: task && { id: task.id, state: task.state } };
}
