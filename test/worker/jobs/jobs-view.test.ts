/** Jobs as their owners see them: list, detail, results, and who sees what. */
import { describe, test } from "vitest";
import { listBenchmarksRoute } from "../../../src/jobs/catalogue-contract.ts";
import { getJobResultsRoute, getJobRoute, listJobsRoute } from "../../../src/jobs/contract.ts";
import {
  call,
  detail,
  expectContract,
  expectError,
  join,
  putResult,
  resultBody,
} from "../harness/client.ts";
import { createJob, createPerson, createSpec, type TestJob } from "../harness/factories.ts";
import { flushed } from "../harness/instruments.ts";
import { jobCountsOf, setJob } from "../harness/rows.ts";

function list(token: string, query = "") {
  return call("GET", `/jobs${query}`, { token });
}

const idsOf = (reply: { body: { results: { id: string }[] } }) =>
  reply.body.results.map((job) => job.id);

async function clusterJob(): Promise<{ job: TestJob; ids: string[] }> {
  const job = await createJob({
    node_count: 2,
    benchmarks: [
      "cluster_network",
      { benchmark_id: "cluster_network", config: { duration_seconds: 2 } },
    ],
    tags: ["production"],
    description: "Testing cluster",
  });
  const ids: string[] = [];
  for (const rank of [0, 1]) {
    const reply = await join(job, {
      machine_ip: `192.168.1.${rank}`,
      gpu_model: "NVIDIA A100-SXM4-80GB",
      gpu_count: 8,
    });
    ids.push(reply.body.id);
  }
  return { job, ids };
}

function link(source: number, bandwidth_gbps: number) {
  return { source_rank: source, target_rank: 1 - source, bandwidth_gbps, latency_ms: 0.5 };
}

describe("GET /jobs", () => {
  test("newest first, in the page's shape, with exact pagination", async ({ expect }) => {
    const owner = await createPerson();
    const jobs: string[] = [];
    for (let n = 0; n < 5; n++) jobs.unshift((await createJob({}, owner)).id);
    const all = await list(owner.token);
    expectContract(expect, all, listJobsRoute, 200);
    expect(idsOf(all)).toEqual(jobs);
    expect(all.body.pagination).toEqual({
      total: 5,
      page: 1,
      per_page: 20,
      total_pages: 1,
      has_next: false,
      has_prev: false,
      next_cursor: null,
    });
    const second = await list(owner.token, "?page=2&per_page=2");
    expect(idsOf(second)).toEqual(jobs.slice(2, 4));
    expect(second.body.pagination).toMatchObject({
      total: 5,
      total_pages: 3,
      has_next: true,
      has_prev: true,
    });
    const beyond = await list(owner.token, "?page=4&per_page=2");
    expect(beyond.body).toMatchObject({
      results: [],
      pagination: { total: 5, page: 4, has_next: false },
    });
    expect(all.body.results[0].token).toBe((await detail({ id: jobs[0] ?? "", owner })).body.token);
  });

  test("nobody's jobs: total 0 and no pages", async ({ expect }) => {
    const { body } = await list((await createPerson()).token);
    expect(body).toMatchObject({
      results: [],
      pagination: { total: 0, total_pages: 0, has_next: false },
    });
  });

  test.for([
    ["page=0", "page must be an integer between 1 and 2147483647"],
    ["page=-1", "page must be an integer between 1 and 2147483647"],
    ["page=1.0", "page must be an integer between 1 and 2147483647"],
    ["page=x", "page must be an integer between 1 and 2147483647"],
    ["page=", "page must be an integer between 1 and 2147483647"],
    ["page=1&page=2", "page must be given once"],
    ["per_page=0", "per_page must be an integer between 1 and 300"],
    ["per_page=301", "per_page must be an integer between 1 and 300"],
    ["per_page=1e2", "per_page must be an integer between 1 and 300"],
  ] as const)("?%s: 400", async ([query, message], { expect }) => {
    const reply = await list((await createPerson()).token, `?${query}`);
    expectError(expect, reply, 400, "PARAMETER_INCORRECT_VALUE", message);
  });

  test.for(["?per_page=1", "?per_page=300", "?page=2147483647", "?unknown=1"])(
    "%s is accepted",
    async (query, { expect }) => {
      expectContract(expect, await list((await createPerson()).token, query), listJobsRoute, 200);
    },
  );

  test("totals follow every change of state and deletion", async ({ expect }) => {
    const owner = await createPerson();
    const total = async () => (await list(owner.token)).body.pagination.total;
    const job = await createJob({}, owner);
    await createJob({}, owner);
    const taskId = (await join(job)).body.id;
    await putResult(job, taskId, 0);
    await flushed(job);
    expect(await total()).toBe(2);
    const counts = await jobCountsOf(`user:${owner.id}:${owner.customerId}`);
    expect(counts.filter(({ jobs }) => jobs > 0)).toEqual([
      { state: "completed", jobs: 1 },
      { state: "created", jobs: 1 },
    ]);
    await setJob(job, { deletedAt: 1 });
    expect(await total()).toBe(1);
    await setJob(job, { deletedAt: null });
    expect(await total()).toBe(2);
  });
});

describe("who sees a job", () => {
  test("its user, the customer's admins, staff and root; nobody else, in list, detail and results", async ({
    expect,
  }) => {
    const owner = await createPerson();
    const { customerId } = owner;
    const job = await createJob({}, owner);
    const seers = {
      owner,
      colleague: await createPerson({ customerId }),
      customerAdmin: await createPerson({ customerId, role: "customer_admin" }),
      otherAdmin: await createPerson({ role: "customer_admin" }),
      staff: await createPerson({ role: "staff" }),
      root: await createPerson({ role: "root_admin" }),
    };
    const expected = {
      owner: true,
      colleague: false,
      customerAdmin: true,
      otherAdmin: false,
      staff: true,
      root: true,
    };
    for (const [who, sees] of Object.entries(expected)) {
      const { token } = seers[who as keyof typeof seers];
      expect(idsOf(await list(token, "?per_page=300")).includes(job.id), who).toBe(sees);
      const message = `Job with id ${job.id} not found`;
      for (const path of [`/jobs/${job.id}`, `/jobs/${job.id}/results`]) {
        const reply = await call("GET", path, { token });
        if (sees) expect(reply.status, who).toBe(200);
        else expectError(expect, reply, 404, "RESOURCE_NOT_FOUND", message);
      }
    }
  });

  test("an unknown job answers as one that is not visible", async ({ expect }) => {
    const { token } = await createPerson();
    const reply = await call("GET", "/jobs/7554621440", { token });
    expectError(expect, reply, 404, "RESOURCE_NOT_FOUND", "Job with id 7554621440 not found");
  });

  test.for(["abc", "-1", "1.5", "9007199254740992", "99999999999999999", "%20"])(
    "a job id that is none (%s): 400",
    async (id, { expect }) => {
      const reply = await call("GET", `/jobs/${id}`, { token: (await createPerson()).token });
      expectError(expect, reply, 400, "PARAMETER_INCORRECT_VALUE");
      expect(reply.body.error.details[0].field).toBe("job_id");
    },
  );

  test("leading zeros and doubled or trailing slashes name the same job", async ({ expect }) => {
    const job = await createJob();
    for (const path of [`/jobs/00${job.id}`, `//jobs//${job.id}`, `/jobs/${job.id}/`]) {
      if (`00${job.id}`.length > 16 && path.includes("/00")) continue;
      expect((await call("GET", path, { token: job.owner.token })).body.id, path).toBe(job.id);
    }
  });
});

describe("GET /jobs/{job_id}", () => {
  test("has the line that joins while nodes are missing", async ({ expect }) => {
    const job = await createJob({ node_count: 2 });
    const lineOf = async (each: TestJob) => (await detail(each)).body.join_command;
    const created = await call("POST", "/jobs", {
      token: job.owner.token,
      body: { benchmarks: [] },
    });
    const { token, join_command: command } = created.body;
    expect(await lineOf(job)).toBe(command.replace(token, job.token));
    await join(job);
    expect(await lineOf(job)).toContain(job.token);
    await join(job);
    expect(await lineOf(job)).toBeNull();
    const aborted = await createJob();
    await call("POST", `/jobs/${aborted.id}/abort`, { token: aborted.owner.token });
    expect(await lineOf(aborted)).toBeNull();
    const { slug: spec } = await createSpec();
    expect(await lineOf(await createJob({ spec })), "runners claim it").toBeNull();
  });

  test("has the page's keys and ours, in every state", async ({ expect }) => {
    const { job, ids } = await clusterJob();
    const fresh = await createJob();
    for (const reply of [await detail(fresh), await detail(job)]) {
      expectContract(expect, reply, getJobRoute, 200);
      expect(Object.keys(reply.body).sort()).toEqual(
        [
          ..."id name token description state node_count current_nodes benchmark_sequence tags".split(
            " ",
          ),
          ..."created_at started_at expires_at ended_at benchmarks tasks benchmark_results".split(
            " ",
          ),
          ..."pdf_report_url report_error scoreboard_summary spec expected_spec spec_check".split(
            " ",
          ),
          ..."quickmark_aggregate_results events provider region order findings join_command".split(
            " ",
          ),
        ].sort(),
      );
    }
    await putResult(job, ids[0] ?? "", 0);
    expectContract(expect, await detail(job), getJobRoute, 200);
    await call("POST", `/jobs/${job.id}/abort`, { token: job.owner.token });
    await flushed(job);
    expectContract(expect, await detail(job), getJobRoute, 200);
  });

  test("shows a live job's progress and results at once", async ({ expect }) => {
    const { job, ids } = await clusterJob();
    const before = (await detail(job)).body;
    expect(before).toMatchObject({
      state: "running",
      description: "Testing cluster",
      tags: ["production"],
      current_nodes: 2,
      benchmarks: ["quick_mark", "cluster_network", "cluster_network"],
      benchmark_results: {},
      quickmark_aggregate_results: null,
      pdf_report_url: null,
      scoreboard_summary: null,
      findings: null,
      spec: null,
    });
    expect(before.started_at).not.toBeNull();
    expect(before.tasks[0]).toMatchObject({
      id: ids[0],
      machine_ip: "192.168.1.0",
      gpu_model: "NVIDIA A100-SXM4-80GB",
      gpu_count: 8,
      state: "running",
      benchmark_results: { quick_mark: { state: "running", results: null, ended_at: null } },
    });
    const sent = {
      aggregate_results: { bf16_tflops: 2_120, memory_bandwidth_gbs: 13_900, own_field: [1, null] },
    };
    await putResult(job, ids[0] ?? "", 0, resultBody(sent));
    const after = (await detail(job)).body;
    expect(after.tasks[0].benchmark_results.quick_mark).toMatchObject({
      state: "completed",
      results: sent,
    });
    expect(after.quickmark_aggregate_results).toMatchObject({ node_count: 1, gpu_count: 8 });
  });

  test("the same benchmark twice: keys id and id:2, benchmark_id stays plain", async ({
    expect,
  }) => {
    const { job, ids } = await clusterJob();
    for (const id of ids) await putResult(job, id, 0);
    for (const [rank, id] of ids.entries()) {
      await putResult(job, id, 1, resultBody({ measurements: [link(rank, 10)] }));
    }
    const running = (await detail(job)).body;
    expect(Object.keys(running.benchmark_results)).toEqual([
      "cluster_network",
      "cluster_network:2",
    ]);
    expect(running.benchmark_results["cluster_network:2"]).toMatchObject({
      benchmark_id: "cluster_network",
      benchmark_name: "Cluster Network",
      config: { duration_seconds: 2 },
      state: "running",
      results: null,
      ended_at: null,
      error_message: null,
    });
    for (const [rank, id] of ids.entries()) {
      await putResult(job, id, 2, resultBody({ measurements: [link(rank, 20 + rank)] }));
    }
    await flushed(job);
    const settled = (await detail(job)).body;
    expect(settled.state).toBe("completed");
    expect(settled.benchmark_results.cluster_network.results).toEqual({
      avg_bandwidth_gbps: 10,
      avg_latency: 0.5,
      min_bandwidth_gbps: 10,
      total_links_tested: 2,
    });
    expect(settled.benchmark_results["cluster_network:2"].results).toMatchObject({
      avg_bandwidth_gbps: 20.5,
      min_bandwidth_gbps: 20,
    });
    expect(settled.tasks[1].benchmark_results["cluster_network:2"].results).toEqual({
      measurements: [link(1, 21)],
    });
  });

  test("results pass through as they were sent, whatever characters are in them", async ({
    expect,
  }) => {
    const job = await createJob();
    const taskId = (await join(job)).body.id;
    const odd = {
      aggregate_results: {
        bf16_tflops: 1e-7,
        memory_bandwidth_gbs: -0.5,
        'a"b\\c\u2028': 'raw:…\n"',
      },
    };
    await putResult(job, taskId, 0, resultBody(odd));
    for (let read = 0; read < 2; read++) {
      expect((await detail(job)).body.tasks[0].benchmark_results.quick_mark.results).toEqual(odd);
      await flushed(job);
    }
  });
});

describe("GET /jobs/{job_id}/results", () => {
  test("a map of the cluster benchmarks that have started, with all that was measured", async ({
    expect,
  }) => {
    const { job, ids } = await clusterJob();
    const results = (query = "") =>
      call("GET", `/jobs/${job.id}/results${query}`, { token: job.owner.token });
    expect((await results()).body).toEqual({});
    for (const id of ids) await putResult(job, id, 0);
    for (const [rank, id] of ids.entries()) {
      await putResult(job, id, 1, resultBody({ measurements: [link(rank, 10 + rank)] }));
    }
    const reply = await results();
    expectContract(expect, reply, getJobResultsRoute, 200);
    expect(Object.keys(reply.body)).toEqual(["cluster_network", "cluster_network:2"]);
    expect(reply.body.cluster_network).toMatchObject({
      state: "completed",
      config: {},
      error_message: null,
    });
    expect(reply.body.cluster_network.results).toEqual({
      avg_bandwidth_gbps: 10.5,
      avg_latency: 0.5,
      min_bandwidth_gbps: 10,
      total_links_tested: 2,
      node_count: 2,
      judgement: {
        asymmetric_links: [],
        below_card: [],
        judged: false,
        median_gbps: 10.5,
        slow_link_count: 0,
        slow_links: [],
        slow_nodes: [],
      },
      measurements: [link(0, 10), link(1, 11)],
    });
    expect(reply.body.cluster_network).not.toHaveProperty("display_names");
    expect((await results("?include_display_names=false")).text).toBe(reply.text);
    const named = await results("?include_display_names=true");
    expectContract(expect, named, getJobResultsRoute, 200);
    expect(named.body.cluster_network.display_names.avg_bandwidth_gbps).toEqual({
      display_name: "Average bandwidth",
      unit: "Gbit/s",
    });
    for (const field of Object.keys(named.body.cluster_network.results)) {
      expect(named.body.cluster_network.display_names).toHaveProperty(field);
    }
  });

  test.for(["yes", "1", "TRUE", "", "true&include_display_names=true"])(
    "include_display_names=%s: 400",
    async (value, { expect }) => {
      const job = await createJob();
      const path = `/jobs/${job.id}/results?include_display_names=${value}`;
      const reply = await call("GET", path, { token: job.owner.token });
      const message = "include_display_names must be true or false, given once";
      expectError(expect, reply, 400, "PARAMETER_INCORRECT_VALUE", message);
    },
  );
});

test("GET /benchmarks: ids, options and fields with units", async ({ expect }) => {
  const reply = await call("GET", "/benchmarks", { token: (await createPerson()).token });
  expectContract(expect, reply, listBenchmarksRoute, 200);
  const [quickMark, host, network] = reply.body.benchmarks;
  expect(host).toMatchObject({ id: "host_mark", type: "node", min_nodes: 1 });
  expect(host.fields.disk_random_read_p99_us.unit).toBe("µs");
  expect(host.config_schema.properties.disk_mib).toMatchObject({ minimum: 64, maximum: 8_192 });
  expect(quickMark).toMatchObject({ id: "quick_mark", type: "node", min_nodes: 1 });
  expect(quickMark.fields.memory_bandwidth_gbs).toEqual({
    display_name: "Memory bandwidth",
    unit: "GB/s",
  });
  expect(network).toMatchObject({ id: "cluster_network", type: "cluster", min_nodes: 2 });
  expect(network.config_schema.properties.duration_seconds).toMatchObject({
    minimum: 0.5,
    maximum: 30,
  });
});
