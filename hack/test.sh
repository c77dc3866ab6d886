#!/usr/bin/env bash
# Runs every test with the race detector, then the page's browser test.
set -euo pipefail
cd "$(dirname "$0")/.."
if docker version >/dev/null 2>&1; then export COMFYCTL_TEST_DOCKER=1; fi
go vet ./...
go test -race -timeout 20m ./...
