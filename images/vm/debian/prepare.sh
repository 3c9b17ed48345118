# Debian's side of images/vm/prepare/prepare; images/vm/debian/steps does the same for the packed disk.
# shellcheck disable=SC2034  # prepare reads it
modules="softdog i6300esb dlm gfs2 drbd iscsi_tcp target_core_mod iscsi_target_mod target_core_iblock
    target_core_file dm_mod dm_multipath nfsd nfs virtio_net virtio_console xfs"
# shellcheck disable=SC2034
units="NetworkManager.service qemu-guest-agent.service iscsid.socket open-iscsi.service"

before_packages() {
    # The image's own updates hold apt's lock at a first boot.
    systemctl stop apt-daily.timer apt-daily-upgrade.timer apt-daily.service apt-daily-upgrade.service \
        unattended-upgrades.service > /dev/null 2>&1 || :
    printf 'DPkg::Lock::Timeout "900";\nDpkg::Options:: "--force-confold";\nDpkg::Use-Pty "0";\n' \
        > /etc/apt/apt.conf.d/zz-labctl
}

# What finds the root file system on a virtio disk, and nothing else.
make_initramfs() {
    rm -rf /run/labctl-initramfs
    cp -r /etc/initramfs-tools /run/labctl-initramfs
    printf 'MODULES=list\nCOMPRESS=lz4\n' > /run/labctl-initramfs/conf.d/labctl
    printf '%s\n' virtio_pci virtio_blk virtio_scsi sd_mod crc32c "$3" > /run/labctl-initramfs/modules
    mkinitramfs -d /run/labctl-initramfs -o "$2" "$1"
    rm -rf /run/labctl-initramfs
}

kernel_file() {
    echo "/boot/vmlinuz-$1"
}

after_files() {
    rm -f /etc/apt/apt.conf.d/zz-labctl
}
