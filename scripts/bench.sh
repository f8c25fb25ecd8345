#!/bin/sh
# Runs a benchmark, having installed what it needs: npm run bench -- ingest | latency | lag | memory | disk | start | train | train-impact | fleet-maths | trust [--json]
set -eu
cd "$(dirname "$0")/.."
sh scripts/setup.sh >&2
PATH=$PWD/node_modules/.bin:$PATH
sh scripts/mosquitto.sh >/dev/null
# The daemon as a package has it: compiled, without sources. From sources it takes 55 MB and a second more to start.
tree=.cache/bench
rm -rf "$tree"
mkdir -p "$tree/bin"
tsc -p tsconfig.build.json --outDir "$tree/dist"
tsc -p test/bench/tsconfig.json
cp bin/tidegate "$tree/bin/"
for name in package.json node_modules models device-profiles; do ln -s "$PWD/$name" "$tree/$name"; done
exec node test/bench/main.ts "$@"
