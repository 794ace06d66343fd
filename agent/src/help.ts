/** What --help prints. docs/agent.md shows the same. */

/** A step that runs longer than this after the first signal is given up. */
export const DRAIN_SECONDS = 60;

export const HELP = `Usage: node agent.mjs --host URL --token TOKEN [options]
       node agent.mjs --host URL --runner RUNNER --key KEY [options]
       node agent.mjs --probe-only [--json]
       node agent.mjs verify FILE [--keys FILE | --host URL]

Joins a benchmark job as one of its nodes, runs its steps and sends the results. As a runner it claims
one job after the other and runs each of them so, until it is stopped. --probe-only measures this machine
and shows its figures, without a server. verify checks a PDF report: by the server that made it, by a
file with its keys, or without either its integrity alone.

  --host URL                control plane, such as https://assay.example (or ASSAY_HOST)
  --token TOKEN             the job's token (or ASSAY_TOKEN; --api-key and -api-key also work)
  --runner RUNNER           UUID or slug of a runner (or ASSAY_RUNNER)
  --key KEY                 the runner's key (or ASSAY_KEY, which other users of the machine do not see)
  --machine-uuid UUID       identity of this machine (default: made from /etc/machine-id and the network
                            card; in a container from ASSAY_MACHINE_KEY, else kept in the state folder;
                            a runner has its own)
  --cluster-address H:P     where the other nodes reach this one, [addr]:port for IPv6 (default: the addresses
                            by which this machine reaches the server and the network, port 7117); listened
                            on only while a cluster step runs
  --cluster-peers CIDR      connect to other nodes only in this network, such as 10.20.0.0/16; more than
                            one separated by commas, or by repeating the option (default: any network,
                            but never loopback, link-local, multicast or metadata addresses)
  --probe-only              measure this machine's GPUs and show the figures
  --engine NAME             what multiplies matrices: cublaslt, ptx (this agent's own kernel) or torch (a
                            PyTorch that is installed here); default: cublaslt where the machine has it
  --cublas FOLDER           folder with libcublasLt (default: looked for in PyTorch and CUDA toolkits)
  --fetch-cublas            fetch the cuBLASLt that this agent pins from PyPI (590 MB, kept in ~/.cache) and
                            measure with it, so that all machines have the same
  --busy-ok                 measure GPUs that others use; such figures are never rated
  --disk-path FOLDER        folder of the disk that host_mark measures (default: the working directory)
  --replay FILE             answer quick_mark with a recorded result, marked as replayed
  --ca FILE                 trust the certificates of this PEM file, too, such as a company's own CA
  --give-up-after DURATION  end when the server has not answered for so long, such as 90s, 30m, 12h or 2d
                            (default: 10m for the first answer; after it a node tries until its job
                            expires, a runner for ever)
  --transport NAME          how a node hears of changes, and a runner of jobs: channel (an open WebSocket),
                            poll (asking) or auto (default: a channel, or polling if it cannot be opened)
  --json                    print each ending as one JSON line on standard output: the final task with figures
                            and reasons, or the figures of --probe-only
  --help, --version

HTTPS_PROXY, HTTP_PROXY and NO_PROXY name a proxy as for curl, https_proxy and so on before them.

SIGINT or SIGTERM stops a node at once; its task stays open for an agent that is started again. A runner
finishes the step that it runs, for at most ${DRAIN_SECONDS} seconds, sends its result, gives up the rest of its task
and exits with 0; a second signal stops it at once.

Exit code: 0 task completed, runner stopped or all figures measured, 1 anything else, 2 bad usage, 130
and 143 interrupted. Of verify: 0 valid, 1 not, 2 signed by an unknown key, 64 bad usage.
`;
