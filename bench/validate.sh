#!/usr/bin/env bash
# Measures `comfyctl validate` as a command: process start beside it, a graph of
# 30 nodes, and, where COMFYCTL_CORPUS names it, a folder of workflows in one
# process.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p bin
CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o bin/comfyctl-bench ./cmd/comfyctl
trap 'rm -f bin/comfyctl-bench' EXIT
args=()
[[ -z ${COMFYCTL_CORPUS:-} ]] || args=(-corpus "$COMFYCTL_CORPUS/workflows")
go run ./bench/validate -comfyctl bin/comfyctl-bench "${args[@]}" "$@"
