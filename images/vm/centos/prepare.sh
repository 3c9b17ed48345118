# CentOS's side of images/vm/prepare/prepare; images/vm/centos/steps does the same for the packed disk.
# shellcheck disable=SC2034  # prepare reads it
modules="softdog i6300esb dlm gfs2 iscsi_tcp target_core_mod iscsi_target_mod target_core_iblock
    target_core_file dm_mod dm_multipath nfsd nfs virtio_net virtio_console xfs"
# shellcheck disable=SC2034
units="NetworkManager.service qemu-guest-agent.service iscsid.socket iscsi.service"

before_packages() {
    systemctl stop dnf-makecache.timer dnf-makecache.service > /dev/null 2>&1 || :
}

make_initramfs() {
    dracut --force --no-hostonly --no-early-microcode --lz4 --filesystems "ext4 xfs" \
        --add-drivers 'virtio_pci virtio_blk virtio_scsi sd_mod ext4 xfs' \
        --omit 'crypt dm lvm mdraid multipath nvdimm network plymouth' "$2" "$1"
}

kernel_file() {
    echo "/lib/modules/$1/vmlinuz"
}

after_files() {
    # finish.sh switched SELinux off for the next boot, as the packed disk has it.
    :
}
