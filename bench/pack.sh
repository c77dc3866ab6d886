#!/usr/bin/env bash
# Packs one incompressible model file with comfyctl, into an OCI layout and into
# a registry on loopback, beside `sha256sum` of the file and `docker build` +
# `docker push` of the same. Prints seconds and ratios to sha256sum.
#
#   SIZE_MIB=2048 bench/pack.sh       needs docker, docker-registry, about 5× SIZE of disk
set -euo pipefail
cd "$(dirname "$0")/.."
size=${SIZE_MIB:-2048}
for tool in docker docker-registry openssl; do
  command -v "$tool" >/dev/null || { echo "missing: $tool" >&2; exit 1; }
done
CGO_ENABLED=0 go build -o bin/comfyctl ./cmd/comfyctl
CGO_ENABLED=0 GOOS=linux GOARCH=amd64 go build -trimpath -ldflags '-s -w' -o bin/comfy-runner ./cmd/comfy-runner
comfyctl=$PWD/bin/comfyctl
work=$(mktemp -d)
registry_pid=
cleanup() {
  [[ -z $registry_pid ]] || kill "$registry_pid" 2>/dev/null || true
  docker image rm -f comfyctl-bench-pack 127.0.0.1:5055/bench/docker >/dev/null 2>&1 || true
  rm -rf "$work"
}
trap cleanup EXIT

mkdir -p "$work/service/models" "$work/cache"
head -c "${size}M" /dev/zero | openssl enc -aes-128-ctr -pass pass:bench -nosalt 2>/dev/null >"$work/body"
# A safetensors header makes it a model file: comfyctl refuses anything else.
python3 - "$work/body" "$work/service/models/big.safetensors" <<'PY'
import json, os, shutil, struct, sys
n = os.path.getsize(sys.argv[1])
head = json.dumps({"w": {"dtype": "U8", "shape": [n], "data_offsets": [0, n]}}).encode()
with open(sys.argv[2], "wb") as out:
    out.write(struct.pack("<Q", len(head)) + head)
    with open(sys.argv[1], "rb") as body:
        shutil.copyfileobj(body, out, 1 << 22)
os.remove(sys.argv[1])
PY
cat >"$work/service/workflow_api.json" <<'JSON'
{"4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "big.safetensors"}},
 "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
 "8": {"class_type": "VAEDecode", "inputs": {"samples": ["5", 0], "vae": ["4", 2]}},
 "9": {"class_type": "SaveImage", "inputs": {"images": ["8", 0], "filename_prefix": "x"}}}
JSON
cat >"$work/service/comfyctl.yaml" <<'YAML'
name: bench
workflow: workflow_api.json
comfyui: v0.3.64
models:
  - path: checkpoints/big.safetensors
    source: ./models/big.safetensors
gpu: none
YAML
printf 'version: 0.1\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: "127.0.0.1:5055"}\n' "$work/registry" >"$work/registry.yml"
docker-registry serve "$work/registry.yml" >"$work/registry.log" 2>&1 &
registry_pid=$!

seconds() { local t0 t1; t0=$(date +%s.%N); "$@" >"$work/out" 2>&1 || { cat "$work/out" >&2; exit 1; }; t1=$(date +%s.%N); echo "$t1 - $t0" | bc; }
row() { printf '%-46s %8.1f s %8.1f×\n' "$1" "$2" "$(echo "$2 / $base" | bc -l)"; }
# The runner is given, so that no compiler runs while the clock does.
pack() { env COMFYCTL_CACHE_DIR="$work/cache" XDG_CACHE_HOME="$work/cache" "$comfyctl" -C "$work/service" pack --engine stub --runner "$PWD/bin/comfy-runner" "$@"; }

cat "$work/service/models/big.safetensors" >/dev/null # the same warm page cache for all
base=$(seconds sha256sum "$work/service/models/big.safetensors")
echo "one model file of $size MiB; ratios to sha256sum"
row "sha256sum" "$base"
row "comfyctl pack --oci (first time)" "$(seconds pack --oci "$work/oci")"
row "comfyctl pack --oci (again, unchanged)" "$(seconds pack --oci "$work/oci2")"
rm -rf "$work/oci" "$work/oci2"
rm -rf "$work/cache"
row "comfyctl pack -t REGISTRY (first time)" "$(seconds pack -t 127.0.0.1:5055/bench/native:1)"
row "comfyctl pack -t REGISTRY (blob is there)" "$(seconds pack -t 127.0.0.1:5055/bench/native:2)"
mkdir "$work/context"
mv "$work/service/models/big.safetensors" "$work/context/"
printf 'FROM scratch\nCOPY big.safetensors /opt/comfy/models/checkpoints/\n' >"$work/context/Dockerfile"
built=$(seconds docker build --no-cache -q -t comfyctl-bench-pack "$work/context")
row "docker build" "$built"
docker tag comfyctl-bench-pack 127.0.0.1:5055/bench/docker
pushed=$(seconds docker push 127.0.0.1:5055/bench/docker)
row "docker build + docker push" "$(echo "$built + $pushed" | bc)"
