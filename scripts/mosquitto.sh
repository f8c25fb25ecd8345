#!/bin/sh
# Prints the path of a mosquitto to test against, and gets one from Debian where that may be done without asking.
# Nothing is installed and no service is started: the packages are unpacked into .cache/mosquitto.
# With --present it only looks for one that is there.
set -eu
cd "$(dirname "$0")/.."
cache=$PWD/.cache/mosquitto

# A binary without its libraries is no mosquitto: let it speak before it is believed.
works() {
  [ -x "$1" ] && "$1" -h 2>/dev/null | grep -q '^mosquitto version'
}

for found in "$(command -v mosquitto || true)" /usr/sbin/mosquitto /usr/local/sbin/mosquitto "$cache/mosquitto"; do
  if [ -n "$found" ] && works "$found"; then
    echo "$found"
    exit 0
  fi
done

[ "${1:-}" = --present ] && exit 1

if ! command -v apt-get >/dev/null || ! command -v dpkg >/dev/null; then
  echo "tidegate: no mosquitto here; install version 2 and put it on the PATH to run the tests that need it." >&2
  exit 1
fi
if [ "$(id -u)" != 0 ] && [ "${CI:-}" != true ]; then
  echo "tidegate: no mosquitto here; the tests that need it are left out. To have them: sudo apt-get install mosquitto" >&2
  exit 1
fi

echo "tidegate: fetching mosquitto from Debian into .cache/mosquitto (no service is installed or started) ..." >&2
rm -rf "$cache"
mkdir -p "$cache/debs" "$cache/root"
cd "$cache/debs"
# mosquitto and those of its libraries that are not installed: the names differ from release to release.
fetch() {
  wanted=$(apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces \
    --no-enhances mosquitto 2>/dev/null | grep -E '^(mosquitto|lib[a-z0-9.+-]+)$' | sort -u)
  missing=
  for package in $wanted; do
    dpkg -s "$package" 2>/dev/null | grep -q '^Status: install ok installed' || missing="$missing $package"
  done
  # shellcheck disable=SC2086 # one word for each package
  [ -n "$missing" ] && apt-get download -qq -o APT::Sandbox::User=root $missing >&2
}
# Package lists may be absent or old in a container: refresh them only when the packages cannot be had without.
if ! fetch; then
  { apt-get update -qq >&2 && fetch; } || {
    echo "tidegate: mosquitto could not be fetched from Debian; the tests that need it are left out." >&2
    exit 1
  }
fi
for deb in *.deb; do dpkg -x "$deb" "$cache/root"; done

cat >"$cache/mosquitto" <<'RUN'
#!/bin/sh
root=$(dirname "$0")/root
for lib in "$root"/usr/lib/*-linux-gnu "$root"/lib/*-linux-gnu; do
  [ -d "$lib" ] && LD_LIBRARY_PATH=$lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
done
export LD_LIBRARY_PATH
exec "$root/usr/sbin/mosquitto" "$@"
RUN
chmod +x "$cache/mosquitto"
rm -rf "$cache/debs"
if ! works "$cache/mosquitto"; then
  echo "tidegate: the mosquitto that was fetched does not run; the tests that need it are left out." >&2
  exit 1
fi
echo "$cache/mosquitto"
