#!/bin/sh
# Tests the package on an emulated arm64 device: npm run test:device -- [--only PARTS] [--pulls N] [--seed N]
# Not part of npm test: it takes about an hour, the first time 10 minutes more to build the machine (as root, through apt).
set -eu
cd "$(dirname "$0")/.."
sh scripts/setup.sh >&2
PATH=$PWD/node_modules/.bin:$PATH
sh scripts/mosquitto.sh >/dev/null
exec node test/device/main.ts "$@"
