#!/bin/sh
# Builds the emulated device in a folder: kernel, initrd and base.img of an arm64 Debian 12 with a real systemd.
# A folder that is complete is left as it is. About 6 minutes, 2 GB while it works; needs root for apt, binfmt and mmdebstrap.
# usage: build-machine.sh FOLDER
set -eu
folder=${1:?usage: build-machine.sh FOLDER}
[ -f "$folder/complete" ] && exit 0
[ "$(id -u)" = 0 ] || { echo "The emulated device is built by root (apt, binfmt, mmdebstrap): run this as root once." >&2; exit 69; }

tools="qemu-system-arm qemu-utils qemu-user-static binfmt-support mmdebstrap arch-test e2fsprogs"
missing=""
for tool in $tools; do dpkg -s "$tool" >/dev/null 2>&1 || missing="$missing $tool"; done
if [ -n "$missing" ]; then
  echo "installing from Debian:$missing"
  apt-get update -qq >/dev/null
  # shellcheck disable=SC2086
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi
[ -e /proc/sys/fs/binfmt_misc/register ] || mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
[ -e /proc/sys/fs/binfmt_misc/qemu-aarch64 ] || update-binfmts --enable qemu-aarch64

echo "building an arm64 Debian 12 in $folder"
rm -rf "$folder"
mkdir -p "$folder"
root=$folder/root
mmdebstrap --quiet --mode=root --architectures=arm64 --variant=minbase \
  --include=systemd,systemd-sysv,udev,dbus,kmod,procps,iproute2,ca-certificates,libstdc++6,libatomic1,libseccomp2,linux-image-cloud-arm64 \
  bookworm "$root"
cp "$root"/boot/vmlinuz-* "$folder/kernel"
cp "$root"/boot/initrd.img-* "$folder/initrd"

echo device >"$root/etc/hostname"
echo '/dev/vda / ext4 rw,relatime 0 1' >"$root/etc/fstab"
cat >"$root/etc/systemd/network/10-wire.network" <<'UNIT'
[Match]
Name=e*
[Network]
Address=10.0.2.15/24
UNIT
# One connection is one shell: it reads a script, its answer is what the script prints.
cat >"$root/etc/systemd/system/shell.socket" <<'UNIT'
[Socket]
ListenStream=2222
Accept=yes
MaxConnections=16
[Install]
WantedBy=sockets.target
UNIT
cat >"$root/etc/systemd/system/shell@.service" <<'UNIT'
[Service]
ExecStart=-/bin/bash -s
StandardInput=socket
StandardOutput=socket
StandardError=socket
UNIT
systemctl --root="$root" --quiet enable systemd-networkd.service shell.socket
systemctl --root="$root" --quiet mask apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer fstrim.timer

truncate -s 4G "$folder/base.img"
mkfs.ext4 -q -d "$root" "$folder/base.img"
rm -rf "$root"
touch "$folder/complete"
