/** What --help prints. docs/agent.md shows the same. */

/** A step that runs longer than this after the first signal is given up. */
export const DRAIN_SECONDS = 60;

export const HELP = `Usage: node agent.mjs --host URL --token TOKEN [options]
       node agent.mjs --host URL --runner RUNNER --key KEY [options]
       node agent.mjs --probe-only [--json]
       node agent.mjs verify FILE [--keys FILE | --host URL]

Joins a benchmark job as one of its nodes, runs its steps and sends the results. A runner claims and runs
one job after another until it is stopped. --probe-only measures this machine without a server and shows
the figures. verify checks a PDF report with the server that made it or with a file of its keys; without
either it checks only the report's integrity.

  --host URL                control plane, such as https://assay.example (or ASSAY_HOST)
  --token TOKEN             the job's token (or ASSAY_TOKEN; --api-key and -api-key also work)
  --runner RUNNER           UUID or slug of a runner (or ASSAY_RUNNER)
  --key KEY                 the runner's key (or ASSAY_KEY, which other users of the machine cannot see)
  --machine-uuid UUID       identity of this machine (default: made from /etc/machine-id and the network
                            card; in a container from ASSAY_MACHINE_KEY, else kept in the state folder;
                            a runner has its own)
  --cluster-address H:P     address at which other nodes reach this one, [addr]:port for IPv6 (default: this
                            machine's addresses towards the server and the network, port 7117); the port is
                            open only while a cluster step runs
  --cluster-peers CIDR      connect to other nodes only in this network, such as 10.20.0.0/16; for several,
                            separate them by commas or repeat the option (default: any network,
                            but never loopback, link-local, multicast or metadata addresses)
  --probe-only              measure this machine's GPUs and show the figures
  --engine NAME             engine for matrix products: cublaslt, ptx (this agent's own kernel) or torch (an
                            installed PyTorch); default: cublaslt if the machine has it
  --cublas FOLDER           folder with libcublasLt (default: search PyTorch and CUDA toolkits)
  --fetch-cublas            fetch this agent's pinned cuBLASLt from PyPI (590 MB, kept in ~/.cache) and
                            measure with it, so that all machines use the same version
  --busy-ok                 measure GPUs even if other processes use them; such figures are never rated
  --disk-path FOLDER        folder of the disk that host_mark measures (default: the working directory)
  --replay FILE             answer quick_mark with a recorded result, marked as replayed
  --ca FILE                 also trust the certificates in this PEM file, such as a company's own CA
  --give-up-after DURATION  end if the server does not answer for this time, such as 90s, 30m, 12h or 2d
                            (default: 10m for the first answer; then a node tries until its job
                            expires, a runner for ever)
  --transport NAME          how a node learns of changes, and a runner of jobs: channel (an open WebSocket),
                            poll (asking) or auto (default: a channel, or polling if it cannot be opened)
  --json                    print each ending as one JSON line on standard output: the final task with figures
                            and reasons, or the figures of --probe-only
  --help, --version

HTTPS_PROXY, HTTP_PROXY and NO_PROXY name a proxy as for curl; lower-case names take precedence.

SIGINT or SIGTERM stops a node at once; its task stays open for a restarted agent. A runner
finishes its running step, for at most ${DRAIN_SECONDS} seconds, sends its result, gives up the rest of its task
and exits with 0; a second signal stops it at once.

Exit code: 0 task completed, runner stopped or all figures measured, 1 anything else, 2 bad usage, 130
and 143 interrupted. For verify: 0 valid, 1 not valid, 2 signed by an unknown key, 64 bad usage.
`;
