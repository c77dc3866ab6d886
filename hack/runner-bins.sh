#!/usr/bin/env bash
# Builds comfy-runner for linux and puts it, compressed, where comfyctl embeds
# it. The same source gives the same bytes.
set -euo pipefail
cd "$(dirname "$0")/.."
out=internal/runnerbin/bin
mkdir -p "$out"
for arch in amd64 arm64; do
  tmp=$(mktemp)
  GOOS=linux GOARCH=$arch CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '-s -w -buildid=' -o "$tmp" ./cmd/comfy-runner
  gzip -9n <"$tmp" >"$out/comfy-runner-linux-$arch.gz"
  rm -f "$tmp"
done
