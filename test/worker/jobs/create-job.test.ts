/** POST /jobs: every constraint of the page on both sides, and what the contract adds. */
import { describe, test } from "vitest";
import { createJobRoute, getJobRoute, listJobsRoute } from "../../../src/jobs/contract.ts";
import { call, detail, expectContract, expectError } from "../harness/client.ts";
import { createJob, createPerson } from "../harness/factories.ts";
import { jobRow, setJob } from "../harness/rows.ts";

const owner = await createPerson();

function create(body: unknown, token = owner.token) {
  return call("POST", "/jobs", { token, body });
}

const minimal = { benchmarks: ["quick_mark"] };

test("the page's own example", async ({ expect }) => {
  const reply = await create({
    name: "GPU Benchmark Test",
    description: "Testing new cluster",
    benchmarks: ["quick_mark", { benchmark_id: "cluster_network", config: {} }],
    node_count: 4,
    tags: ["production", "gpu"],
  });
  expectContract(expect, reply, createJobRoute, 201);
  expect(reply.body).toMatchObject({
    name: "GPU Benchmark Test",
    description: "Testing new cluster",
    node_count: 4,
    benchmarks: ["quick_mark", "cluster_network"],
    tags: ["production", "gpu"],
  });
  const { id, created_at, expires_at } = reply.body;
  expect(Number(id) % 512).toBe(0);
  expect(Number(id)).toBeLessThan(2 ** 53);
  expect(Date.parse(expires_at) - Date.parse(created_at)).toBe(24 * 3_600_000);
});

test("left out: name is generated, description null, one node, no tags", async ({ expect }) => {
  const { body } = await create(minimal);
  expect(body.name).toMatch(/^job-\d{8}-\d{6}-[a-z]{4}$/);
  expect(body).toMatchObject({ description: null, node_count: 1, tags: [] });
});

describe("what is accepted", () => {
  test.for([
    ["name of 60 code points, two units each", { name: "😀".repeat(60) }],
    ["name with white space at its ends", { name: "  trimmed  " }],
    ["name null", { name: null }],
    ["description of 512", { description: "x".repeat(512) }],
    ["description empty", { description: "" }],
    ["description with line breaks", { description: "a\nb\tc" }],
    ["one node", { node_count: 1 }],
    ["256 nodes", { node_count: 256 }],
    ["4.0 nodes is 4", { node_count: 4.0 }],
    ["10 tags", { tags: Array.from({ length: 10 }, (_, i) => `t${i}`) }],
    ["a tag of 50", { tags: ["x".repeat(50)] }],
    ["every character a tag may have", { tags: ["a _-.:/@+=#b", "provider: aws"] }],
    ["tags of any script", { tags: ["größe", "日本語", "नमस्ते", "٣"] }],
    ["tags null", { tags: null }],
    ["unknown keys", { surprise: 1 }],
  ] as const)("%s", async ([, change], { expect }) => {
    const reply = await create({ ...minimal, ...change });
    expectContract(expect, reply, createJobRoute, 201);
  });

  test("repeated tags collapse, and are counted after that", async ({ expect }) => {
    const nine = Array.from({ length: 9 }, (_, i) => `t${i}`);
    const { body } = await create({ ...minimal, tags: [...nine, "t0", " t1 ", "t2", "last"] });
    expect(body.tags).toEqual([...nine, "last"]);
  });

  test("a trimmed name is the name", async ({ expect }) => {
    const { body } = await create({ ...minimal, name: " \t spaced name  " });
    expect(body.name).toBe("spaced name");
  });
});

describe("what is refused, and how it says so", () => {
  test.for([
    ["name of 61", { name: "😀".repeat(61) }, "name must have at most 60 characters"],
    ["name empty", { name: "" }, "name must not be empty"],
    ["name only of white space", { name: "   " }, "name must not be empty"],
    ["name a number", { name: 7 }, "name must be a string"],
    ["name with NUL", { name: "a\0b" }, "name must not contain control characters"],
    ["name with a lone surrogate", { name: "a\ud800" }, "name must be well-formed Unicode"],
    [
      "description of 513",
      { description: "x".repeat(513) },
      "description must have at most 512 characters",
    ],
    ["benchmarks left out", { benchmarks: undefined }, "benchmarks is required"],
    ["benchmarks null", { benchmarks: null }, "benchmarks must be an array"],
    ["benchmarks a string", { benchmarks: "quick_mark" }, "benchmarks must be an array"],
    [
      "unknown benchmark",
      { benchmarks: ["unknown_benchmark"] },
      "Benchmark 'unknown_benchmark' not found",
    ],
    [
      "a benchmark that is a number",
      { benchmarks: [7] },
      "benchmarks.0 must be a benchmark id of 1 to 64 characters, or an object with benchmark_id and config",
    ],
    [
      "an empty benchmark id",
      { benchmarks: [""] },
      "benchmarks.0 must be a benchmark id of 1 to 64 characters, or an object with benchmark_id and config",
    ],
    [
      "17 benchmarks",
      { benchmarks: Array(17).fill("quick_mark") },
      "benchmarks must have at most 16 entries",
    ],
    [
      "the same benchmark twice",
      { benchmarks: ["quick_mark", { benchmark_id: "quick_mark", config: {} }] },
      "benchmarks.1 repeats 'quick_mark' with the same config",
    ],
    [
      "the same config with its keys in another order is the same",
      {
        node_count: 2,
        benchmarks: [
          { benchmark_id: "cluster_network", config: { duration_seconds: 1 } },
          { benchmark_id: "cluster_network", config: { duration_seconds: 1.0 } },
        ],
      },
      "benchmarks.1 repeats 'cluster_network' with the same config",
    ],
    [
      "a config key that the benchmark does not know",
      { benchmarks: [{ benchmark_id: "quick_mark", config: { fast: true } }] },
      "benchmarks.0.config.fast is not a known key",
    ],
    [
      "a config value out of range",
      {
        node_count: 2,
        benchmarks: [{ benchmark_id: "cluster_network", config: { duration_seconds: 31 } }],
      },
      "benchmarks.0.config.duration_seconds must be at most 30",
    ],
    [
      "fewer nodes than a benchmark needs",
      { benchmarks: ["cluster_network"] },
      "node_count must be at least 2 for 'cluster_network'",
    ],
    ["0 nodes", { node_count: 0 }, "node_count must be between 1 and 256"],
    ["257 nodes", { node_count: 257 }, "node_count must be between 1 and 256"],
    ["half a node", { node_count: 1.5 }, "node_count must be an integer between 1 and 256"],
    ["nodes as text", { node_count: "4" }, "node_count must be an integer between 1 and 256"],
    ["nodes null", { node_count: null }, "node_count must be an integer between 1 and 256"],
    [
      "11 tags",
      { tags: Array.from({ length: 11 }, (_, i) => `t${i}`) },
      "tags must have at most 10 entries",
    ],
    ["a tag of 51", { tags: ["x".repeat(51)] }, "tags.0 must have at most 50 characters"],
    ["an empty tag", { tags: ["ok", ""] }, "tags.1 must not be empty"],
    ["a tag of white space", { tags: ["  "] }, "tags.0 must not be empty"],
    [
      "a tag with a forbidden character",
      { tags: ["semi;colon"] },
      "tags.0 must not contain ';'; allowed are letters, digits, space and _ - . : / @ + = #",
    ],
    ["a tag that is a number", { tags: [7] }, "tags.0 must be a string"],
  ] as const)("%s", async ([, change, message], { expect }) => {
    const reply = await create({ ...minimal, ...change });
    expectError(expect, reply, 400, "PARAMETER_INCORRECT_VALUE", message);
    expect(reply.body.error.details.length).toBeGreaterThan(0);
  });
});

describe("keys that nearly are known", () => {
  test.for([
    ["nodes", "node_count"],
    ["num_nodes", "node_count"],
    ["nodes_count", "node_count"],
    ["nodeCount", "node_count"],
    ["benchmark", "benchmarks"],
    ["tag", "tags"],
    ["desc", "description"],
    ["title", "name"],
    ["node_cuont", "node_count"],
    ["Benchmarks", "benchmarks"],
    ["descripton", "description"],
    ["specs", "spec"],
    ["expected_spce", "expected_spec"],
  ] as const)("%s is refused: did you mean %s?", async ([sent, meant], { expect }) => {
    // Before what is missing: `benchmark` alone is a body without `benchmarks`.
    const reply = await create({ ...(sent === "benchmark" ? {} : minimal), [sent]: 2 });
    const message = `unknown field '${sent}'; did you mean '${meant}'?`;
    expectError(expect, reply, 400, "PARAMETER_INCORRECT_VALUE", message);
    expect(reply.body.error.details).toEqual([{ field: sent, message }]);
  });

  test("unrelated keys are ignored, and so are those of an inherited name", async ({ expect }) => {
    // Two edits make most of them a key: they are words of their own, which clients may send for themselves.
    const words = "date page task tasks note time rate days args flags owner reason".split(" ");
    const unrelated = {
      ...Object.fromEntries(words.map((word) => [word, 1])),
      ...{ priority: 2, constructor: 3, x: 4, metadata: { nodes: 5 } },
    };
    const reply = await create({ ...minimal, ...unrelated });
    expectContract(expect, reply, createJobRoute, 201);
  });

  test("of very many keys the first are looked at", async ({ expect }) => {
    const many = Object.fromEntries(Array.from({ length: 9_000 }, (_, at) => [`zzz${at}`, 1]));
    expect((await create({ ...minimal, ...many, nodes: 2 })).status).toBe(201);
  });

  test("without an account as well", async ({ expect }) => {
    const reply = await call("POST", "/jobs/anonymous", { body: { nodes: 2 } });
    const message = "unknown field 'nodes'; did you mean 'node_count'?";
    expectError(expect, reply, 400, "PARAMETER_INCORRECT_VALUE", message);
  });
});

test("an unknown benchmark: the details list the known ones", async ({ expect }) => {
  const reply = await create({ benchmarks: ["fast_mark"] });
  expect(reply.body.error.details).toEqual([
    {
      field: "benchmarks",
      message:
        "Benchmark 'fast_mark' not found; it must be one of quick_mark, host_mark, cluster_network",
    },
  ]);
});

describe("the sequence of a job", () => {
  async function sequenceOf(benchmarks: unknown[]) {
    const job = await createJob({ node_count: 2, benchmarks }, owner);
    const reply = await detail(job);
    expectContractOf(reply);
    return reply.body.benchmark_sequence;
  }
  let expectContractOf: (reply: Awaited<ReturnType<typeof detail>>) => void = () => {};

  test("quick_mark is always there and first; null and {} are no config", async ({ expect }) => {
    expectContractOf = (reply) => expectContract(expect, reply, getJobRoute, 200);
    const quickMark = { benchmark_id: "quick_mark", config: null };
    const network = { benchmark_id: "cluster_network", config: null };
    expect(await sequenceOf([])).toEqual([quickMark]);
    expect(await sequenceOf(["cluster_network"])).toEqual([quickMark, network]);
    expect(await sequenceOf(["cluster_network", "quick_mark"])).toEqual([quickMark, network]);
    expect(await sequenceOf([{ benchmark_id: "cluster_network", config: null }])).toEqual([
      quickMark,
      network,
    ]);
    expect(
      await sequenceOf([
        "cluster_network",
        { benchmark_id: "cluster_network", config: { duration_seconds: 2 } },
      ]),
    ).toEqual([
      quickMark,
      network,
      { benchmark_id: "cluster_network", config: { duration_seconds: 2 } },
    ]);
  });
});

describe("names", () => {
  test("a name is unique within its customer, and free in another", async ({ expect }) => {
    const name = "GPU Test";
    expect((await create({ ...minimal, name })).status).toBe(201);
    const again = await create({ ...minimal, name: ` ${name} ` });
    expectError(
      expect,
      again,
      409,
      "RESOURCE_ALREADY_EXISTS",
      "Job with name 'GPU Test' already exists",
    );
    const colleague = await createPerson({ customerId: owner.customerId });
    expect((await create({ ...minimal, name }, colleague.token)).status).toBe(409);
    const stranger = await createPerson();
    expect((await create({ ...minimal, name }, stranger.token)).status).toBe(201);
  });

  test("100 creations of one name at once: one wins", async ({ expect }) => {
    const name = "race";
    const replies = await Promise.all(
      Array.from({ length: 100 }, () => create({ ...minimal, name })),
    );
    expect(replies.filter((reply) => reply.status === 201)).toHaveLength(1);
    expect(replies.filter((reply) => reply.status === 409)).toHaveLength(99);
  });

  test("the name of a deleted job is free again", async ({ expect }) => {
    const job = await createJob({ name: "reused" }, owner);
    await setJob(job, { deletedAt: 1 });
    expect((await create({ ...minimal, name: "reused" })).status).toBe(201);
    expectError(
      expect,
      await detail(job),
      404,
      "RESOURCE_NOT_FOUND",
      `Job with id ${job.id} not found`,
    );
  });
});

test("100 jobs created at once have 100 ids and 100 names", async ({ expect }) => {
  const person = await createPerson();
  const replies = await Promise.all(
    Array.from({ length: 100 }, () => create(minimal, person.token)),
  );
  expect(new Set(replies.map((reply) => reply.body.id)).size).toBe(100);
  expect(new Set(replies.map((reply) => reply.body.name)).size).toBe(100);
  const list = await call("GET", "/jobs?per_page=300", { token: person.token });
  expectContract(expect, list, listJobsRoute, 200);
  expect(list.body.results.map((job: { id: string }) => job.id).sort()).toEqual(
    replies.map((reply) => reply.body.id).sort(),
  );
});

test("the job's token is the same on every read, and not stored", async ({ expect }) => {
  const job = await createJob({}, owner);
  expect((await detail(job)).body.token).toBe(job.token);
  expect(JSON.stringify(await jobRow(job))).not.toContain(job.token.split(".")[2]);
});
