#!/bin/sh
# Runs one node of a benchmark job in a container with a root that is read-only:
#   ASSAY_HOST=https://assay.example ASSAY_TOKEN=… sh assay-docker.sh [IMAGE]
set -eu
: "${ASSAY_HOST:?the control plane, such as https://assay.example}" "${ASSAY_TOKEN:?the token of the job}"
# A container has no identity of its own: it gets the machine's.
ASSAY_MACHINE_KEY=${ASSAY_MACHINE_KEY:-$(cat /etc/machine-id)}
export ASSAY_HOST ASSAY_TOKEN ASSAY_MACHINE_KEY

# First into a variable: of a pipe whose beginning fails the shell would know nothing.
script=$(curl -fsSL "$ASSAY_HOST/agent")
# By standard input, so the image needs no curl, and `sh` becomes the agent: process 1, which the SIGTERM of `docker stop`
# reaches. Of /tmp, `exec` is needed where the image has no Node and one is fetched.
printf '%s\n' "$script" | docker run --rm --interactive --name assay-agent \
  --gpus all --network host \
  --read-only --tmpfs /tmp:rw,exec,nosuid,size=1g \
  --cap-drop ALL --security-opt no-new-privileges \
  --env ASSAY_HOST --env ASSAY_TOKEN --env ASSAY_MACHINE_KEY \
  --env XDG_CACHE_HOME=/tmp/cache --env XDG_STATE_HOME=/tmp/state \
  "${1:-pytorch/pytorch:2.6.0-cuda12.4-cudnn9-runtime}" sh -s -- --json
