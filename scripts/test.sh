#!/bin/sh
# Runs the tests, having installed what they need. Arguments go to vitest: npm test -- test/unit/buffer
set -eu
cd "$(dirname "$0")/.."
sh scripts/setup.sh
PATH=$PWD/node_modules/.bin:$PATH
# Without a mosquitto the tests that need one are left out by name; REQUIRE_REAL=1 makes that a failure.
sh scripts/mosquitto.sh || true
# The conformance models are large: a gate has them fetched, everybody else runs the script when they want them.
if [ "${CI:-}" = true ]; then sh scripts/fetch-onnx-testdata.sh || true; fi
exec vitest run "$@"
