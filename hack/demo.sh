#!/usr/bin/env bash
# The main job on the stub engine: check, pack, serve, call. Needs no GPU, no
# Docker and no download; leaves a picture and says how to go on.
set -euo pipefail
cd "$(dirname "$0")/.."
bin="$PWD/bin/comfyctl"
out="$PWD/.comfyctl/demo"
rm -rf "$out" && mkdir -p "$out"
step() { printf '\n\033[1m$ %s\033[0m\n' "$*" >&2; "$@"; }
[[ -t 2 ]] || step() { printf '\n$ %s\n' "$*" >&2; "$@"; }

cd examples/hello
step "$bin" validate
step "$bin" pack --engine stub --oci "$out/image"

printf '\n$ comfyctl run --stub --detach -p 0\n' >&2
url=$("$bin" run --stub --detach -p 0)
trap '"$bin" destroy --stub >/dev/null 2>&1 || true' EXIT
step "$bin" call --url "$url" prompt="a red fox in snow" -O "$out/fox.png"

cat <<END

The picture:   $out/fox.png   (the stub engine draws; no model ran)
The image:     $out/image   (an OCI layout; \`comfyctl inspect $out/image\`)

Go on:
  cd examples/hello
  comfyctl run --stub              the API and the page on http://127.0.0.1:8080
  comfyctl init YOUR_workflow_api.json
END
