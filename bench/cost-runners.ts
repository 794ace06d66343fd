/** Runners that wait for jobs: all offer one spec, and nobody makes a job for it. */
import { SECOND_MS } from "../src/lib/clock.ts";
import { PING_MS, type Transport } from "./cost-nodes.ts";
import { type CostStage, hours } from "./cost-stage.ts";
import { type NodeSocket, openSocket } from "./node-socket.ts";

/** Between the two claims after opening. */
const AGAIN_MS = 7 * SECOND_MS;
/** How long the model's runner waits, and a socket stays open, hours. */
const WAITS = { polling: 1, channel: 24 };

/** @returns the hours that were counted, of all runners together */
export async function runIdleRunners(
  stage: CostStage,
  transport: Transport,
  runners: number,
): Promise<number> {
  const owner = await stage.signIn();
  const hardware = { architecture: "x86_64", cpu: 26, memory: 2 ** 38, disk: 2 ** 40 };
  const spec = await stage.call("POST", "/v0/specs", owner, {
    body: { name: "H100 node", ...hardware },
  });
  const [start, end] = [stage.now, stage.now + hours(WAITS[transport])];
  for (let n = 0; n < runners; n++) {
    const made = await stage.call("POST", "/v0/runners", owner, { body: { name: `Rack ${n}` } });
    const { uuid, key } = made.body;
    const offer = { body: { spec: spec.body.uuid } };
    await stage.call("POST", `/v0/runners/${uuid}/specs`, owner, offer);
    const begin = () => (transport === "polling" ? claim(uuid, key) : wait(uuid, key));
    stage.at(start + n * 7 * SECOND_MS, "contact", begin);
  }
  await stage.quiet();
  await stage.run(end);
  return runners * WAITS[transport];

  async function claim(uuid: string, key: string): Promise<void> {
    const { headers } = await stage.call("POST", `/v0/runners/${uuid}/jobs`, key);
    const next = stage.now + Number(headers.get("retry-after")) * SECOND_MS;
    stage.at(next, "contact", () => claim(uuid, key));
  }

  /** As the agent does: it opens the socket, asks twice, since a job may have come in between, and then once an hour. */
  async function wait(uuid: string, key: string): Promise<void> {
    const socket = await openSocket(stage.url, `/v0/runners/${uuid}/channel`, key);
    await stage.call("POST", `/v0/runners/${uuid}/jobs`, key);
    stage.at(stage.now + AGAIN_MS, "contact", () => ask(uuid, key));
    stage.at(stage.now + PING_MS, "contact", () => ping(socket));
  }

  async function ask(uuid: string, key: string): Promise<void> {
    await stage.call("POST", `/v0/runners/${uuid}/jobs`, key);
    stage.at(stage.now + hours(1), "contact", () => ask(uuid, key));
  }

  async function ping(socket: NodeSocket): Promise<void> {
    if (!socket.isOpen) throw new Error("the server has closed a waiting runner's socket");
    socket.send("ping");
    await socket.next();
    stage.at(stage.now + PING_MS, "contact", () => ping(socket));
  }
}
