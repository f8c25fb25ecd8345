#!/bin/sh
# Fetches into .cache what the training benchmark compares with, as far as it can be had: OpenBLAS for Debian's PyTorch
# (5 MB; without it that PyTorch multiplies by the slow BLAS that Debian links it to), TensorFlow.js (96 MB).
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
blas="$root/.cache/openblas"
if [ ! -d "$blas/usr" ] && command -v apt-get >/dev/null; then
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  (cd "$scratch" && apt-get download libopenblas0-pthread && dpkg -x libopenblas0-pthread_*.deb "$blas") || true
fi
peers="$root/.cache/tfjs"
if [ ! -d "$peers/node_modules" ]; then
  mkdir -p "$peers"
  for part in core layers backend-cpu backend-wasm; do set -- "$@" "@tensorflow/tfjs-$part@4.22.0"; done
  npm install --prefix "$peers" --ignore-scripts --no-audit --no-fund "$@" || rm -rf "$peers"
fi
