#!/usr/bin/env bash
# Measures pack and runner beside their alternatives; prints ratios. Nothing
# here decides over a test: machines differ, ratios on one machine do not.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p bin
CGO_ENABLED=0 go build -o bin/comfy-runner ./cmd/comfy-runner
go build -o bin/bench-runner ./bench/runner
echo "== runner beside the raw ComfyUI protocol"
bin/bench-runner -runner "$PWD/bin/comfy-runner" "$@"
if [[ -x bench/pack.sh ]]; then
  echo "== pack beside docker build and sha256sum"
  bench/pack.sh
fi
echo "== validate as a command"
bench/validate.sh
