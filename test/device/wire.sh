#!/bin/bash
# One connection of the emulated device to its broker: qemu starts this and talks through its standard streams.
# usage: wire.sh PORT      (a port on this machine's loopback)
exec 3<>"/dev/tcp/127.0.0.1/${1:?}" 2>/dev/null || exit 1
exec 4<&0
cat <&3 &
cat <&4 >&3 &
wait -n
kill $(jobs -p) 2>/dev/null
