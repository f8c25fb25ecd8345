#!/bin/sh
# Unpacks Debian's ONNX conformance models (libonnx-testdata) into .cache, which git ignores. Needs apt, but not root.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
target="$root/.cache/libonnx-testdata"
[ -d "$target/usr" ] && exit 0
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"
apt-get download libonnx-testdata
mkdir -p "$target"
dpkg -x libonnx-testdata_*.deb "$target"
