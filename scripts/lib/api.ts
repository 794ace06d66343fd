/** The few calls the demo makes, as any script would make them. */

/** The part of a job's detail that the demo reads. */
export interface JobDetail {
  id: string;
  state: string;
  node_count: number;
  ended_at: string | null;
  benchmarks: string[];
  pdf_report_url: string | null;
  report_error: string | null;
  tasks: TaskDetail[];
  scoreboard_summary: {
    status: string;
    replayed: boolean;
    metrics: { reason: string | null }[];
    nodes: NodeVerdict[];
  } | null;
  benchmark_results: Record<string, { results: Record<string, number | null> | null }>;
}

export interface NodeVerdict {
  rank: number;
  status: string;
  metrics: {
    metric: string;
    value: number | null;
    baseline: number | null;
    ratio: number | null;
    status: string;
  }[];
}

export interface TaskDetail {
  rank: number;
  machine_uuid: string;
  state: string;
  gpu_model: string | null;
  gpu_count: number | null;
  gpu_models: { model: string; count: number | null }[];
  progress: number;
  message: string | null;
  failed_message: string | null;
  benchmark_results: Record<
    string,
    {
      state: string;
      results: ({ aggregate_results?: Record<string, number> } & Record<string, unknown>) | null;
    }
  >;
}

/** The part of a runner that the fleet demo reads. */
export interface RunnerDetail {
  uuid: string;
  name: string;
  state: "online" | "offline" | "busy";
}

export function createApiClient(host: string, signal: AbortSignal) {
  let token = "";
  const request = async <T>(method: string, path: string, body?: unknown): Promise<T> => {
    const form = body instanceof URLSearchParams;
    const response = await fetch(`${host}${path}`, {
      method,
      signal: AbortSignal.any([signal, AbortSignal.timeout(30_000)]),
      headers: {
        ...(token === "" ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined || form ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: form ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path} answered ${response.status}: ${text}`);
    // The routes called here answer what their contracts say; the caller names it.
    return JSON.parse(text) as T;
  };
  const jobs = "/api/silicon-mark/v1/jobs";
  return {
    async signIn(username: string, password: string): Promise<void> {
      const form = new URLSearchParams({ grant_type: "password", username, password });
      ({ access_token: token } = await request<{ access_token: string }>("POST", "/token", form));
    },
    createJob: (job: Record<string, unknown>) =>
      request<{ id: string; token: string }>("POST", jobs, job),
    createSpec: (spec: Record<string, unknown>) =>
      request<{ uuid: string; slug: string }>("POST", "/v0/specs", spec),
    createRunner: (runner: Record<string, unknown>) =>
      request<{ uuid: string; key: string }>("POST", "/v0/runners", runner),
    createUserKey: (key: Record<string, unknown>) =>
      request<{ uuid: string; key: string }>("POST", "/v0/users/me/keys", key),
    offerSpec: (runner: string, spec: string) =>
      request<unknown>("POST", `/v0/runners/${runner}/specs`, { spec }),
    runners: () => request<RunnerDetail[]>("GET", "/v0/runners?per_page=255"),
    /** @param link `pdf_report_url`, absolute or a path */
    async report(link: string): Promise<Uint8Array> {
      const response = await fetch(new URL(link, host), { signal });
      if (!response.ok) throw new Error(`the report answered ${response.status}`);
      return new Uint8Array(await response.arrayBuffer());
    },
    job: (id: string) => request<JobDetail>("GET", `${jobs}/${id}`),
  };
}
