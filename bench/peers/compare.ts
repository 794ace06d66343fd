/**
 * `npm run bench -- --peers`: the list of jobs, the list of specs and a machine's poll, beside a textbook Worker and a FastAPI
 * service over SQLite. The rows and the bytes of replies are the same, connections stay open, and all is on loopback. Peers
 * check no token and no limit: what they do is the least that their design allows.
 */
import { availableParallelism, loadavg } from "node:os";
import { join } from "node:path";
import { buildBundle } from "../../scripts/lib/bundle.ts";
import { createWorld, type World } from "../../test/fuzz/world.ts";
import { HttpPool, requestBytes } from "../http-pool.ts";
import { type Contender, compare } from "../rounds.ts";
import { type PeerRow, peerTable, writeResults } from "../scale/page.ts";
import { seedDatabase } from "../seed-database.ts";
import { openStage, type Stage } from "../stage.ts";
import { missingForFastApi, startFastApi } from "./fastapi.ts";
import { addSpecs, dropTextbook, fillTextbook, writeSqlite } from "./tables.ts";

const API = "/api/silicon-mark/v1";
const SIZES = [1_000, 100_000, 1_000_000];
const CONNECTIONS = 8;
const REQUESTS = 40;
const ROUNDS = 12;
/** Replies of the lists may differ by so much: ids and times are not equally long. */
const MAX_DIFFERENCE = 0.02;

interface Route {
  name: string;
  product: Buffer;
  peer: Buffer;
  /** A poll tells a machine what to do, not its job's row. */
  isSameReply: boolean;
}

/** Prints the ratios and writes them into docs/performance. There is no floor: it answers true. */
export async function comparePeers(
  folder: string,
  { jobs = 1_000_000 }: { jobs?: number } = {},
): Promise<boolean> {
  const before = loadavg()[0] ?? 0;
  const missing = missingForFastApi();
  if (missing !== null) console.log(missing);
  const textbook = { name: "textbook", file: "textbook" };
  const stage = await openStage(folder, await buildBundle(folder), [textbook]);
  const rows: PeerRow[] = [];
  try {
    const world = await createWorld({ url: stage.url, db: stage.db });
    const poll = await pollOf(world);
    let filled = 0;
    for (const size of SIZES.filter((each) => each <= jobs)) {
      const seed = SIZES.indexOf(size) + 1;
      const more = size - filled;
      await seedDatabase(stage.db, { jobs: more, seed, tasksPerJob: 0, isQuiet: true });
      await addSpecs(stage.db, more);
      filled = size;
      await world.renew();
      await fillTextbook(stage.db, await tokenLike(stage, world));
      const routes = routesOf(world, poll);
      const add = async (peer: string, url: URL) => {
        for (const route of routes) {
          const row = await compareRoute({ peer, route, jobs: size, stage, url });
          rows.push(row);
          console.log(`${peer}, ${route.name}, ${size} rows: ${row.ratio.median.toFixed(2)}`);
        }
      };
      await add("textbook Worker", await stage.urlOf("textbook"));
      if (missing === null) await addFastApi(join(folder, `peer-${size}.sqlite`), stage, add);
      await dropTextbook(stage.db);
    }
    world.close();
  } finally {
    await stage.stop();
  }
  const load = { before, after: loadavg()[0] ?? 0, cores: availableParallelism() };
  const day = new Date().toISOString().slice(0, 10);
  const peers = { day, load, skipped: missing === null ? [] : [missing, ""], rows };
  console.log(peerTable(peers).join("\n"));
  writeResults({ peers });
  return true;
}

async function addFastApi(
  file: string,
  { db }: Stage,
  add: (peer: string, url: URL) => Promise<void>,
): Promise<void> {
  if (!(await writeSqlite(db, file))) throw new Error("this Node has no SQLite");
  const { url, stop } = await startFastApi(file);
  try {
    await add("FastAPI, SQLite", url);
  } finally {
    await stop();
  }
}

async function pollOf(world: World): Promise<{ product: Buffer; jobId: string }> {
  const { job, taskId, taskToken } = await world.freshNode();
  const path = `${API}/jobs/current?task_id=${taskId}`;
  return { product: requestBytes("GET", path, { token: job.token, taskToken }), jobId: job.id };
}

function routesOf(world: World, poll: { product: Buffer; jobId: string }): Route[] {
  const token = world.ownerToken();
  return [
    {
      name: "list of 20 jobs",
      product: requestBytes("GET", `${API}/jobs`, { token }),
      peer: requestBytes("GET", "/jobs"),
      isSameReply: true,
    },
    {
      name: "list of 20 specs",
      product: requestBytes("GET", "/v0/specs?per_page=20", { token }),
      peer: requestBytes("GET", "/specs"),
      isSameReply: true,
    },
    {
      name: "poll of a machine",
      product: poll.product,
      peer: requestBytes("GET", `/current?id=${poll.jobId}`),
      isSameReply: false,
    },
  ];
}

/** Text as long as the tokens of the product's list. */
async function tokenLike({ url }: Stage, world: World): Promise<string> {
  const headers = { authorization: `Bearer ${world.ownerToken()}` };
  const reply = await fetch(new URL(`${API}/jobs`, url), { headers });
  // The product's own list.
  const { results } = (await reply.json()) as { results: { token: string }[] };
  return "t".repeat(results[0]?.token.length ?? 0);
}

async function compareRoute(options: {
  peer: string;
  route: Route;
  jobs: number;
  stage: Stage;
  url: URL;
}): Promise<PeerRow> {
  const { peer, route, jobs, stage, url } = options;
  if (route.isSameReply) await expectSameReply(route, stage.url, url);
  const pools = [
    await HttpPool.open(stage.url, CONNECTIONS),
    await HttpPool.open(url, CONNECTIONS),
  ] as const;
  const side = (pool: HttpPool, request: Buffer): Contender => ({
    prepare: async () => Array<Buffer>(REQUESTS).fill(request),
    run: (requests) => pool.run(requests),
    settle: async () => {},
  });
  const [own, other] = [side(pools[0], route.product), side(pools[1], route.peer)];
  const { ratio, rate } = await compare(own, other, ROUNDS);
  for (const pool of pools) pool.close();
  return { peer, route: route.name, jobs, ratio, rate };
}

async function expectSameReply(route: Route, product: URL, peer: URL): Promise<void> {
  const [own, other] = [await bytesOf(product, route.product), await bytesOf(peer, route.peer)];
  if (Math.abs(own / other - 1) <= MAX_DIFFERENCE) return;
  throw new Error(`${route.name}: the product answers ${own} bytes, the peer ${other}`);
}

async function bytesOf(url: URL, request: Buffer): Promise<number> {
  const [head = ""] = request.toString().split("\r\n\r\n");
  const [, target = ""] = head.split(" ");
  const token = /authorization: (.*)/.exec(head)?.[1];
  const headers = token === undefined ? {} : { authorization: token };
  const reply = await fetch(new URL(target, url), { headers });
  if (!reply.ok) throw new Error(`${target}: ${reply.status} ${await reply.text()}`);
  return (await reply.arrayBuffer()).byteLength;
}
