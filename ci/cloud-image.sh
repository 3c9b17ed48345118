#!/usr/bin/env bash
# A cloud image as a distribution makes one, for the tests of `labctl up --vm-image`: Debian 12 with cloud-init
# on a partitioned disk that starts by its own GRUB.   ci/cloud-image.sh FILE.qcow2   (as root)
# The lab's packages are inside already, so that its preparation has little to fetch and needs no network.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
made=$(realpath -m -- "${1:?usage: ci/cloud-image.sh FILE.qcow2}")
suite=bookworm
size_mib=6144

work=$(mktemp -d "${TMPDIR:-/var/tmp}/cloud-image.XXXXXX")
trap 'rm -rf --one-file-system -- "$work"' EXIT
root=$work/root disk=$work/disk.raw

words() { sed -e 's/#.*//' "$@" | tr -s ' \n' '\n' | sed '/^$/d'; }
packages=$(words images/debian/packages/*.txt images/vm/debian/packages.txt | paste -sd,)
packages+=,cloud-init,cloud-guest-utils,netplan.io,grub-common,grub-pc-bin

# The host's own mirror and proxy, where it is of the same release.
# shellcheck disable=SC2016  # apt replaces these
sources=$(apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' \
    | grep -E " ${suite}[^ ]* main\$" | sort -u || true)
proxy=$(apt-config dump --format '%v%n' Acquire::http::Proxy)
options=()
[ -z "$proxy" ] || options+=("--aptopt=Acquire::http::Proxy \"$proxy\"")
# Elsewhere mmdebstrap knows the suite's mirror.
[ -z "$sources" ] || mirror=-
# Its mounts end with it, in a namespace of their own. Pacemaker's account has the id that the lab's build gives it.
# shellcheck disable=SC2016  # mmdebstrap's shell replaces $1
timeout 1500 unshare --mount -- mmdebstrap --quiet --variant=minbase --format=directory "${options[@]}" \
    --include="$packages" \
    --essential-hook='echo haclient:x:189: >> "$1/etc/group"' \
    --essential-hook='echo hacluster:x:189:189::/var/lib/pacemaker:/usr/sbin/nologin >> "$1/etc/passwd"' \
    --essential-hook='echo "hacluster:!:19000::::::" >> "$1/etc/shadow"' \
    "$suite" "$root" ${mirror:+"$mirror"} <<< "$sources"

# What runs in a cloud image, and none of the lab's services.
mkdir -p "$root/etc/systemd/system-preset"
printf '%s\n' 'enable cloud-*' 'enable ssh.service' 'enable systemd-networkd.service' 'disable *' \
    > "$root/etc/systemd/system-preset/00-cloud.preset"
timeout 60 chroot "$root" systemctl --quiet preset-all
rm "$root/etc/systemd/system-preset/00-cloud.preset"
# No mirror inside: the preparation's apt-get then has nothing to ask.
rm -f "$root"/etc/apt/sources.list "$root"/etc/apt/sources.list.d/*
echo 'LABEL=cloudroot / ext4 rw,discard,errors=remount-ro 0 1' > "$root/etc/fstab"
echo localhost > "$root/etc/hostname"
kernel=$(find "$root/boot" -name 'vmlinuz-*' -printf '%f\n' | sort -V | tail -n 1)
mkdir -p "$root/boot/grub"
cat > "$root/boot/grub/grub.cfg" <<GRUB
set timeout=0
linux /boot/$kernel root=LABEL=cloudroot ro console=tty0 console=ttyS0,115200
initrd /boot/initrd.img-${kernel#vmlinuz-}
boot
GRUB
# GRUB's two parts lie before the first partition, as grub-install would lay them; neither a loop device nor a mount is
# needed for that.
timeout 60 chroot "$root" grub-mkimage -O i386-pc -o /boot/grub/core.img -p '(hd0,msdos1)/boot/grub' \
    biosdisk part_msdos ext2 normal linux configfile boot test
truncate -s "${size_mib}M" "$disk"
timeout 600 mke2fs -q -F -t ext4 -L cloudroot -m 0 -E offset=$((2048 * 512)) -d "$root" "$disk" $((size_mib - 2))M
dd if="$root/usr/lib/grub/i386-pc/boot.img" of="$disk" bs=440 count=1 conv=notrunc status=none
dd if="$root/boot/grub/core.img" of="$disk" bs=512 seek=1 conv=notrunc status=none
# One partition (0x83, bootable) from sector 2048 to the end, and the signature.
sectors=$((size_mib * 2048 - 4096))
entry=$(printf '\\x80\\xfe\\xff\\xff\\x83\\xfe\\xff\\xff\\x00\\x08\\x00\\x00\\x%02x\\x%02x\\x%02x\\x%02x' \
    $((sectors & 255)) $((sectors >> 8 & 255)) $((sectors >> 16 & 255)) $((sectors >> 24 & 255)))
printf '%b' "$entry" | dd of="$disk" bs=1 seek=446 conv=notrunc status=none
printf '\x55\xaa' | dd of="$disk" bs=1 seek=510 conv=notrunc status=none
timeout 600 qemu-img convert -f raw -O qcow2 "$disk" "$made.new"
mv -- "$made.new" "$made"
