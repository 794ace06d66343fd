#!/bin/sh
# Runs the Assay agent, on a machine without Node too: curl -fsSL HOST/agent | sh -s -- --host HOST --token TOKEN
{ # Closed on the last line: a download that was cut off is a syntax error and runs nothing.
set -u; exec </dev/null
version='@NODE_VERSION@' registry='@REGISTRY@'
host=${ASSAY_HOST:-} node='' work='' child='' previous=''
say() { printf 'assay: %s\n' "$*" >&2; }
die() { say "$*"; exit 69; }
has() { command -v "$1" >/dev/null 2>&1; }
clean() { [ -z "$child" ] || kill "${!-}" 2>/dev/null; [ -z "$work" ] || rm -rf "$work"; }
# In the background, because a shell acts on a signal only once its command in the foreground has ended.
await() { child=1; "$@" & wait "$!"; set -- $?; child=''; return "$1"; }
# shellcheck disable=SC2016 # The dollars below are JavaScript.
download() { # URL FILE
  if has curl; then await curl -fsSL --retry 3 --connect-timeout 20 --speed-limit 1000 --speed-time 60 -o "$2" "$1"
  elif has wget && wget --version >/dev/null 2>&1; then await wget -q -T 60 -t 3 -O "$2" "$1"
  elif has wget; then await wget -q -O "$2" "$1"
  elif has python3; then await python3 -c 'import socket, sys, urllib.request
socket.setdefaulttimeout(60)
try: urllib.request.urlretrieve(sys.argv[1], sys.argv[2])
except OSError as error: sys.exit(str(error))' "$1" "$2"
  elif [ -n "$node" ]; then await "$node" -e 'fetch(process.argv[1]).then(async (reply) => {
    if (!reply.ok) throw new Error(`status ${reply.status}`);
    require("fs").writeFileSync(process.argv[2], Buffer.from(await reply.arrayBuffer()));
  }).catch((error) => { console.error(String(error.cause ?? error)); process.exit(1); })' "$1" "$2"
  else die 'no program can download files: install curl, wget or python3, or Node 20 or newer'; fi
}
sha256() {
  if has sha256sum; then sha256sum "$1" | cut -d' ' -f1
  elif has shasum; then shasum -a 256 "$1" | cut -d' ' -f1
  elif has openssl; then openssl dgst -sha256 "$1" | sed 's/.*= *//'
  elif has python3; then python3 -c 'import hashlib, sys; print(hashlib.sha256(open(sys.argv[1], "rb").read()).hexdigest())' "$1"
  else die 'no program can compute a SHA-256: install coreutils, openssl or python3'; fi
}
usable() { [ -x "$1" ] && "$1" -e 'process.exit(parseInt(process.versions.node) >= 20 ? 0 : 1)' >/dev/null 2>&1; }
find_node() {
  for node in "$(command -v node)" "$(command -v nodejs)" "$kept" "${NVM_DIR:-/}"/versions/node/*/bin/node \
    "${HOME:-/}"/.nvm/versions/node/*/bin/node /opt/nvm/versions/node/*/bin/node /opt/*/bin/node /usr/local/bin/node; do
    usable "$node" && return 0
  done
  node='' && return 1; }
fetch_node() {
  url=${ASSAY_NODE_URL:-$registry/node-linux-$arch/-/node-linux-$arch-$version.tgz}
  from=${ASSAY_NODE_URL:+ASSAY_NODE_URL} && from=${from:-$url}
  if [ ! -e "$loader" ]; then
    for musl in /lib/ld-musl-*; do [ ! -e "$musl" ] || die 'this system uses musl: install Node with apk add nodejs'; done
    die "this machine has no Node 20 or newer, and none can be fetched for $(uname -sm): install it"
  fi
  say "this machine has no Node 20 or newer: fetching Node $version, 50 MB, from $from"
  download "$url" "$work/node.tgz" || die "Node cannot be fetched from $from: install Node 20 or newer, or set ASSAY_NODE_URL to a copy of node-linux-$arch-$version.tgz"
  found=$(sha256 "$work/node.tgz") || exit 69
  [ "$found" = "$sum" ] || die "the download from $from is not Node $version (other SHA-256): nothing was run"
  tar -xzf "$work/node.tgz" -C "$work" package/bin/node || die 'Node cannot be unpacked: install tar and gzip, or make room'
  usable "$work/package/bin/node" || die "the fetched Node does not start in $cache (mounted noexec? glibc older than 2.28?): install Node 20 or newer"
  # What is there stays: machines that share the folder may run it by now.
  ln "$work/package/bin/node" "$kept" 2>/dev/null || usable "$kept" || mv -f "$work/package/bin/node" "$kept" || die "$kept cannot be written"
  node=$kept
}
for argument do
  case $argument in --host=*) host=${argument#--host=} ;; *) [ "$previous" != --host ] || host=$argument ;; esac; previous=$argument
done
case $host in http://* | https://*) host=${host%/} ;; *) say 'give the control plane with --host, such as https://assay.example'; exit 2 ;; esac
case $(uname -m) in
  x86_64 | amd64) arch=x64 loader=/lib64/ld-linux-x86-64.so.2 sum='@SHA256_X64@' ;;
  aarch64 | arm64) arch=arm64 loader=/lib/ld-linux-aarch64.so.1 sum='@SHA256_ARM64@' ;;
  *) arch=$(uname -m) loader=/none sum='' ;;
esac
trap clean EXIT; trap 'exit 130' INT; trap 'exit 143' TERM
cache=${XDG_CACHE_HOME:-${HOME:-/none}/.cache}/assay
{ (umask 077 && mkdir -p "$cache") 2>/dev/null && work=$(mktemp -d "$cache/part.XXXXXX" 2>/dev/null); } ||
  { cache=$(mktemp -d) && work=$(mktemp -d "$cache/part.XXXXXX"); } || die 'no folder can be written: set XDG_CACHE_HOME or TMPDIR to a writable one'
kept=$cache/node-$version-$arch agent=$cache/agent-$(printf %s "$host" | tr -c 'A-Za-z0-9.' _).mjs
find_node || fetch_node
download "$host/agent.mjs" "$work/agent.mjs" || die "the agent cannot be fetched from $host/agent.mjs"
[ "$(tail -n 1 "$work/agent.mjs")" = '// The end of agent.mjs.' ] || die "the download from $host/agent.mjs is incomplete: nothing was run"
ln "$work/agent.mjs" "$agent" 2>/dev/null || [ "$(tail -n +1 "$agent" 2>/dev/null)" = "$(tail -n +1 "$work/agent.mjs")" ] ||
  mv -f "$work/agent.mjs" "$agent" || die "$agent cannot be written"
rm -rf "$work"
exec "$node" "$agent" "$@"
}
