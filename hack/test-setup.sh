#!/usr/bin/env bash
# Installs and starts what the tests need: Docker Engine, a Debian root file
# system as base image, Chromium for the page. Safe to run again. Without root
# it installs nothing and says what is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=()
need() { command -v "$1" >/dev/null 2>&1 || packages+=("$2"); }
need dockerd docker.io
need mmdebstrap mmdebstrap
need skopeo skopeo
need docker-registry docker-registry
need chromium chromium
need git git
need node nodejs
need npm npm
need curl curl
need python3 python3
need pip python3-pip
need docker-compose docker-compose
need dot graphviz

if ((${#packages[@]})); then
  if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
    echo "missing: ${packages[*]}; install them, or run as root on Debian" >&2
    [[ ${CI:-} == true ]] && exit 1
    exit 0
  fi
  export DEBIAN_FRONTEND=noninteractive
  # policy-rc.d: the registry package would start a service that nobody asked for.
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
fi

# uv, which resolves Python packages.
command -v uv >/dev/null 2>&1 || python3 -m pip install --quiet --break-system-packages uv==0.13.9 || echo "missing: uv; pip install uv" >&2

# A real S3 server, for the tests of s3:// (a minute to build the first time).
[[ -x bin/tools/versitygw ]] || GOBIN="$PWD/bin/tools" go install github.com/versity/versitygw/cmd/versitygw@v1.8.0

if ! docker version >/dev/null 2>&1; then
  if [[ $(id -u) == 0 ]]; then
    nohup dockerd >/tmp/comfyctl-dockerd.log 2>&1 &
    for _ in $(seq 60); do docker version >/dev/null 2>&1 && break; sleep 0.5; done
  fi
fi
docker version >/dev/null 2>&1 || {
  echo "Docker Engine does not answer; its log: /tmp/comfyctl-dockerd.log" >&2
  tail -n 20 /tmp/comfyctl-dockerd.log >&2 || true
  [[ ${CI:-} == true ]] && exit 1
  exit 0
}

# The base image of the Docker tests: a minimal Debian with Python, made here
# because no test pulls from a registry.
if ! docker image inspect comfyctl-test/base:bookworm >/dev/null 2>&1; then
  mmdebstrap --variant=minbase --include=python3,python3-pip,python3-venv,ca-certificates bookworm - 2>/dev/null |
    docker import - comfyctl-test/base:bookworm >/dev/null
fi
