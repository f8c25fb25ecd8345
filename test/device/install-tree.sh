#!/bin/sh
# Lays out in a folder what an arm64 gateway gets: the package as `npm pack` gives it, with the packages that
# `npm ci --omit=dev` brings for arm64. Nothing is compiled and no script of a package runs (.npmrc).
# usage: install-tree.sh FOLDER
set -eu
folder=${1:?usage: install-tree.sh FOLDER}
cd "$(dirname "$0")/../.."
PATH=$PWD/node_modules/.bin:$PATH
rm -rf "$folder"
mkdir -p "$folder"
npm run --silent build
npm pack --silent --pack-destination "$folder" >/dev/null
tar -xzf "$folder"/tidegate-*.tgz -C "$folder" --strip-components=1
rm "$folder"/tidegate-*.tgz
# A package does not carry its lock file: the pinned versions come from the clone.
cp package-lock.json .npmrc "$folder/"
(cd "$folder" && npm ci --omit=dev --os=linux --cpu=arm64 --libc=glibc --loglevel=error --no-progress)
