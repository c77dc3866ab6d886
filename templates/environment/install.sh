#!/bin/sh
# Runs in the base image while the environment is built; the Dockerfile beside
# it says when. Everything that Python needs ends in /opt/python, a virtual
# environment, so that the base's own packages are never changed.
set -eu
here=/run/comfyctl
set -a
. $here/settings/env
set +a

fail() { echo "comfyctl: $*" >&2; exit 1; }

# An extra authority is added to those that the base trusts.
if [ -s $here/settings/ca.pem ]; then
  bundle=/tmp/comfyctl-ca.pem
  cat /etc/ssl/certs/ca-certificates.crt $here/settings/ca.pem >$bundle 2>/dev/null || cp $here/settings/ca.pem $bundle
  export PIP_CERT=$bundle SSL_CERT_FILE=$bundle REQUESTS_CA_BUNDLE=$bundle CURL_CA_BUNDLE=$bundle
  trap 'rm -f $bundle' EXIT
fi

pip() {
  python3 -m pip --version >/dev/null 2>&1 || fail "the base image has Python but no pip; add python3-pip to system_packages, or take another base"
  python3 -m pip --python /opt/python/bin/python3 install --disable-pip-version-check --no-cache-dir --no-input --prefer-binary --progress-bar off "$@"
}

system() {
  command -v apt-get >/dev/null || fail "system_packages needs a base image with apt-get"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  xargs -r apt-get install -y -qq --no-install-recommends <$here/system.txt
  rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin
}

# python TORCH VERSION [locked]
python() {
  py=python3
  if [ -n "${2:-}" ]; then
    py=python$2
    command -v "$py" >/dev/null || py=python3
    have=$("$py" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || true)
    [ "$have" = "$2" ] || fail "build.python asks for $2, the base image has ${have:-none}"
  fi
  command -v "$py" >/dev/null || fail "the base image has no Python"
  if [ "$1" = system ]; then
    "$py" -c 'import torch' 2>/dev/null || fail "torch: system takes the base image's own torch, and it has none that can be imported"
    "$py" -m venv --without-pip --system-site-packages /opt/python
    /opt/python/bin/python3 -c 'import torch' || fail "the base image's torch cannot be seen from a virtual environment"
    return
  fi
  "$py" -m venv --without-pip /opt/python
  [ "${3:-}" = locked ] || pip torch torchvision torchaudio --index-url "https://download.pytorch.org/whl/$1"
}

# All requirements at once, so that what does not go together is told now.
packages() {
  set --
  for f in $here/requirements/*.txt; do
    [ -s "$f" ] && set -- "$@" -r "$f"
  done
  [ $# -eq 0 ] || pip "$@"
}

# What the lock lists, file by file, each with its hash and from no index. Only
# what has to be built from source may ask one, for its build tools.
locked() {
  [ ! -s $here/requirements/wheels.txt ] || pip --no-index --no-deps --require-hashes -r $here/requirements/wheels.txt
  [ ! -s $here/requirements/sources.txt ] || pip --no-deps --require-hashes -r $here/requirements/sources.txt
}

"$@"
