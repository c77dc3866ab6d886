#!/usr/bin/env bash
# Measures fetching beside curl and aria2c -x8, over loopback into one disk.
# Needs curl and aria2c. SIZE (bytes, 4 GiB), RUNS (3) and BENCH_DIR (a folder
# on the disk to measure) change it.
set -euo pipefail
cd "$(dirname "$0")/.."
for tool in curl aria2c sha256sum; do
  command -v "$tool" >/dev/null || { echo "bench/fetch.sh needs $tool" >&2; exit 1; }
done
mkdir -p bin
CGO_ENABLED=0 go build -o bin/bench-fetch ./bench/fetch
bin/bench-fetch -size "${SIZE:-4294967296}" -runs "${RUNS:-3}" -dir "${BENCH_DIR:-${TMPDIR:-/tmp}}"
