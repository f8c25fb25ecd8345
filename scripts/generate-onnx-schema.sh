#!/bin/sh
# Writes src/onnx/onnx_pb.ts from src/onnx/onnx.proto. The generator is fetched into a scratch folder, not into the project.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cp "$root/src/onnx/onnx.proto" "$scratch/"
cat > "$scratch/buf.gen.yaml" <<'YAML'
version: v2
inputs:
  - directory: .
plugins:
  - local: protoc-gen-es
    out: .
    opt: target=ts
YAML
version=$(node -p "require('$root/node_modules/@bufbuild/protobuf/package.json').version")
cd "$scratch"
npx -y -p @bufbuild/buf -p "@bufbuild/protoc-gen-es@$version" buf generate
cp onnx_pb.ts "$root/src/onnx/onnx_pb.ts"
