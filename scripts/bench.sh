#!/bin/sh
# Runs a benchmark, having installed what it needs: npm run bench -- ingest | latency | memory | disk | start [--json]
set -eu
cd "$(dirname "$0")/.."
sh scripts/setup.sh >&2
PATH=$PWD/node_modules/.bin:$PATH
sh scripts/mosquitto.sh >/dev/null
exec node test/bench/main.ts "$@"
