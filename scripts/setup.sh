#!/bin/sh
# Installs what a clone lacks: the npm packages and, among them, the pinned Node runtime. Says nothing when all is there.
set -eu
cd "$(dirname "$0")/.."

case $(uname -m) in
  x86_64) arch=x64 ;;
  aarch64) arch=arm64 ;;
  *) echo "tidegate: a 64-bit system is needed (x86-64 or arm64); this one is $(uname -m)." >&2; exit 78 ;;
esac

# npm writes this file last, so it is older than the lock file exactly when an install is due.
installed=node_modules/.package-lock.json
if [ -x "node_modules/node-linux-$arch/bin/node" ] && [ -f "$installed" ] && [ ! package-lock.json -nt "$installed" ]; then
  exit 0
fi

echo "tidegate: installing packages and the Node 24 runtime (once, about a minute) ..." >&2
npm ci --loglevel=error --no-progress >&2
# Checking out a branch may touch the lock file without changing it: remember that it has been dealt with.
touch "$installed"
