#!/usr/bin/env bash
# Runs every test with the race detector. What is not there is not asked for;
# with CI=true the tests then fail instead of skipping.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/bin/tools:$PATH"
if docker version >/dev/null 2>&1; then export COMFYCTL_TEST_DOCKER=1; fi
if command -v chromium >/dev/null && command -v npm >/dev/null; then export COMFYCTL_TEST_BROWSER=1; fi
go vet ./...
go test -race -timeout 20m ./...
