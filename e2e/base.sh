#!/usr/bin/env bash
# Makes the base image of the end-to-end test: a Debian with Python, PyTorch for
# the CPU and the packages that ComfyUI 0.3.64 to 0.30.2 import. ComfyUI is not
# in it; pack puts it there.
#
#   e2e/base.sh IMAGE
#
#   E2E_DEBIAN=URL   another Debian mirror
#   E2E_PIP_CONF=FILE, E2E_CA=FILE   pip's configuration and certificates
set -euo pipefail
image=${1:?usage: e2e/base.sh IMAGE}
[[ $(id -u) == 0 ]] || { echo "a base image is made as root (chroot)" >&2; exit 1; }
for tool in mmdebstrap docker; do
  command -v "$tool" >/dev/null || { echo "missing: $tool (apt-get install mmdebstrap docker.io)" >&2; exit 1; }
done

work=$(mktemp -d)
root=$work/root
unmount() { for d in proc sys; do mountpoint -q "$root/$d" && umount "$root/$d"; done; return 0; }
trap 'unmount; rm -rf --one-file-system "$work"' EXIT

debs=(python3-torch python3-torchvision python3-torchaudio python3-safetensors python3-aiohttp python3-einops
  python3-scipy python3-av python3-alembic python3-sqlalchemy python3-pydantic-settings python3-psutil python3-pil
  python3-tqdm python3-yaml python3-pip python3-requests python3-sentencepiece python3-numpy python3-filelock
  python3-typing-extensions python3-yarl libopenblas0-pthread ca-certificates)
(IFS=,; mmdebstrap --variant=apt --aptopt='Acquire::Check-Valid-Until "false"' \
  --aptopt='Apt::Install-Recommends "false"' --include="${debs[*]}" sid "$root" ${E2E_DEBIAN:+"$E2E_DEBIAN"})

cp /etc/resolv.conf "$root/etc/resolv.conf"
pip=(pip install --break-system-packages --no-cache-dir)
conf=${E2E_PIP_CONF:-/etc/pip.conf}
[[ -f $conf ]] && cp "$conf" "$root/etc/pip.conf"
ca=${E2E_CA:-/etc/ssl/certs/ca-certificates.crt}
cp "$ca" "$work/ca.crt" && cp "$ca" "$root/tmp/ca.crt" && pip+=(--cert /tmp/ca.crt)
for d in proc sys; do mount --bind "/$d" "$root/$d"; done
inside() { env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 chroot "$root" "$@"; }
# --no-deps: some of these name torch, and PyPI's would come with CUDA.
inside "${pip[@]}" --no-deps transformers tokenizers torchsde trampoline kornia kornia_rs spandrel \
  comfy-kitchen==0.2.26 comfy-aimdo==0.4.11 comfy-angle simpleeval blake3 comfyui-frontend-package==1.47.12 PyOpenGL \
  huggingface_hub regex hf-xet
inside "${pip[@]}" httpx2 typer click
inside python3 -c 'import torch, transformers, kornia, spandrel, av, scipy; print("torch", torch.__version__)'
unmount
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/tmp/* "$root"/etc/pip.conf "$root"/etc/resolv.conf
find "$root" -name __pycache__ -prune -exec rm -rf {} +
tar -C "$root" --numeric-owner -c . | docker import - "$image"
