#!/usr/bin/env bash
# Draws real pictures with real ComfyUI on the CPU.
#
#   COMFYUI_SOURCE=DIR[,DIR…] [COMFYUI_SOURCE_NEW=DIR] e2e/run.sh
#
# Each DIR is a source tree of a ComfyUI release; every one of them is packed,
# deployed to the local Docker and called. What is made once and kept: the base
# image comfyctl-e2e/cpu-base:sid and the checkpoint in bin/e2e.
#
#   E2E_BASE=IMAGE             another base image, with Python and its packages
#   E2E_CHECKPOINT=FILE        another Stable Diffusion 1.5 checkpoint
#   E2E_CHECKPOINT_SCRIPT=FILE what writes one with random weights
#   COMFYCTL_NODE_MAP=FILE     the map that node packs are found by, for TestPacks;
#   COMFYCTL_NODE_STATS=FILE   and the popularity that orders suggestions
#   E2E_MIRRORS=DIR            where OWNER+NAME/repo stands in for github.com/OWNER/NAME
#   E2E_RUN=PATTERN            only these tests
set -euo pipefail
cd "$(dirname "$0")/.."

if [[ ${1:-} == --gpu ]]; then
  : "${E2E_BASE:?with --gpu set E2E_BASE to an image with Python, PyTorch for CUDA and the packages of e2e/base.sh}"
  export E2E_GPUS=all E2E_GPU=1GB
fi
sources=${COMFYUI_SOURCE:-}
[[ -n ${COMFYUI_SOURCE_NEW:-} ]] && sources="$sources,$COMFYUI_SOURCE_NEW"
if [[ -z $sources ]]; then
  echo "COMFYUI_SOURCE is not set: give it the folder of a ComfyUI release, or several with commas between" >&2
  exit 2
fi
docker version >/dev/null 2>&1 || { echo "Docker does not answer; comfyctl doctor says what to do" >&2; exit 1; }

# Downloads while an environment is built trust what this machine trusts.
export E2E_CA=${E2E_CA:-${SSL_CERT_FILE:-}}
mkdir -p bin/e2e
export E2E_BASE=${E2E_BASE:-comfyctl-e2e/cpu-base:sid}
docker image inspect "$E2E_BASE" >/dev/null 2>&1 || e2e/base.sh "$E2E_BASE"

first=$(realpath "${sources%%,*}")
export E2E_CHECKPOINT=${E2E_CHECKPOINT:-$PWD/bin/e2e/random-sd15-small.safetensors}
if [[ ! -f $E2E_CHECKPOINT ]]; then
  script=$(realpath "${E2E_CHECKPOINT_SCRIPT:-../shared/e2e/make_random_checkpoint.py}")
  docker run --rm -e PYTHONDONTWRITEBYTECODE=1 -v "$first:/src:ro" -v "$script:/make.py:ro" -v "$(dirname "$E2E_CHECKPOINT"):/out" \
    "$E2E_BASE" python3 /make.py --comfyui /src --out "/out/$(basename "$E2E_CHECKPOINT").part"
  chmod 644 "$E2E_CHECKPOINT.part"
  mv "$E2E_CHECKPOINT.part" "$E2E_CHECKPOINT"
fi

if [[ -z ${E2E_COMFYCTL:-} ]]; then
  make -s build
  export E2E_COMFYCTL=$PWD/bin/comfyctl
fi
export COMFYUI_SOURCES=$sources
exec go test -tags e2e -count=1 -v -timeout 90m -run "${E2E_RUN:-.}" ./e2e
