#!/usr/bin/env bash
# Checks .goreleaser.yaml, builds every target as a snapshot and runs the one
# that this machine can run.
set -euo pipefail
cd "$(dirname "$0")/.."
goreleaser=$1
"$goreleaser" check
"$goreleaser" build --snapshot --clean
ls dist/*/comfyctl dist/*/comfyctl.exe dist/*/comfy-runner
[[ $(ls dist/*/comfyctl dist/*/comfyctl.exe | wc -l) == 6 ]]
dist/comfyctl_linux_$(go env GOARCH)*/comfyctl version
