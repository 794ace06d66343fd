#!/bin/sh
# All that the image does, so that the tests can run it without Docker (docs/guide/deploy.md, "In a container").
#   entrypoint.sh            serves the API: the server of `npm start`, its state in /data
#   entrypoint.sh health     succeeds while the server answers
#   entrypoint.sh run NAME … one of the scripts of package.json, on the same state: run rotate-secret -- --local
#   entrypoint.sh build      makes the image: packages, pages, the agent
set -eu
cd "$(dirname "$0")/.."

data=${ASSAY_DATA:-/data}
# Of the root, which may be read-only, nothing is written. The rest is forgotten with the container.
scratch=/tmp/assay

if [ "${1:-}" = build ]; then
  npm ci
  npm run --silent build
  # Built once: a server would build again at each start, and would need to write.
  sed -i '/^\[build\]$/,/^$/d' wrangler.toml
  rm -rf .wrangler/tmp
  ln -s "$scratch/wrangler" .wrangler/tmp
  exit
fi

if [ "${1:-}" = health ]; then
  exec node -e 'fetch(`http://127.0.0.1:${process.env.PORT ?? 8787}/health`, { signal: AbortSignal.timeout(4000) })
    .then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))'
fi

# Secrets and databases are for this user alone.
umask 077
mkdir -p "$scratch/wrangler" "$scratch/home"
export HOME="$scratch/home" ASSAY_STATE="$data/state" ASSAY_SECRETS="$data/secrets.env" HOST="${HOST:-0.0.0.0}"

if [ "${1:-}" = run ]; then
  shift
  exec npm run --silent "$@"
fi
if [ "$#" -gt 0 ]; then
  echo "Unknown command: $1. Use health, run NAME, or none to serve." >&2
  exit 64
fi

if ! (: > "$data/lock") 2> /dev/null; then
  echo "$data cannot be written by user $(id -u). Mount a volume there that this user may write." >&2
  exit 73
fi
# Two servers on one volume would corrupt it, and the processes of another container cannot be seen. The server, process 1 of
# its container, holds the lock until the container ends.
exec 9>> "$data/lock"
if ! flock --nonblock 9; then
  echo "$data is in use by another server. Stop that one, or mount another volume." >&2
  exit 75
fi
exec node scripts/start.ts
