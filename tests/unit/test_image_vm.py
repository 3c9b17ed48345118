"""The virtual machines' disk, as far as it is logic: its inputs, what lies over the image, vm-init."""

from __future__ import annotations

import gzip
import io
import lzma
import re
import shutil
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from labctl.errors import HostLacks
from labctl.image.build import BuiltImage
from labctl.image.family import families, load_family, sources
from labctl.image.inputs import input_files, inputs_hash
from labctl.image.store import ImageStore
from labctl.image.vm import (
    CMDLINE,
    FILES_SERIAL,
    clear_partial,
    find_vm_image,
    image_id,
    masked,
    remove_unused,
    require_room,
    stage,
)
from labctl.image.vm_kernel import startable
from labctl.run import Result, run

VM_INIT = sources() / "images/vm/root/usr/lib/labctl/vm-init"
each_family = pytest.mark.parametrize("family", families())


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    copy = tmp_path / "tree"
    copy.mkdir()
    shutil.copy(sources() / "Containerfile.node", copy)
    shutil.copytree(sources() / "images", copy / "images")
    return copy


def image(identity: str = "f00") -> BuiltImage:
    return BuiltImage("tag", identity, "debian", "", "", {}, "", 0, 0.0, False)


# -- inputs -------------------------------------------------------------------------------


def test_the_id_follows_the_node_image_and_all_that_lies_upon_it(tree: Path) -> None:
    before = image_id("f00", tree, "debian")
    assert re.fullmatch(r"[0-9a-f]{16}", before)
    assert image_id("f00", tree, "debian") == before
    seen = {before, image_id("f01", tree, "debian"), image_id("f00", tree, "centos")}
    assert len(seen) == 3
    read = ("masks.txt", "root/usr/lib/labctl/vm-init", "debian/steps", "debian/root/etc/default/chrony")
    for name in read:
        path = tree / "images/vm" / name
        path.write_text(path.read_text() + "\n# changed\n")
        seen.add(image_id("f00", tree, "debian"))
    assert len(seen) == 7
    path = tree / "images/vm/centos/steps"
    path.write_text("changed")
    assert image_id("f00", tree, "debian") in seen


@each_family
def test_the_node_image_does_not_depend_on_what_virtual_machines_have(family: str, tree: Path) -> None:
    loaded = load_family(family)
    before = inputs_hash(tree, loaded)
    assert not [name for name, _ in input_files(tree, loaded) if name.startswith("images/vm/")]
    shutil.rmtree(tree / "images/vm")
    assert inputs_hash(tree, loaded) == before


@each_family
def test_each_family_adds_kernel_agent_and_network_but_copies_nothing(family: str) -> None:
    steps = (sources() / "images/vm" / family / "steps").read_text()
    # The build has no context: COPY would find nothing.
    assert {line.split()[0] for line in steps.splitlines() if re.match(r"[A-Z]", line)} == {"RUN"}
    assert "qemu-guest-agent" in steps
    assert "systemctl enable NetworkManager.service qemu-guest-agent.service iscsid.socket" in steps
    for module in ("softdog", "i6300esb", "dlm", "gfs2", "drbd", "iscsi_tcp", "target_core_mod", "nfsd"):
        assert re.search(rf"\b{module}\b", steps), module


# -- what lies over the image -------------------------------------------------------------


@each_family
def test_staging_fixes_modes_and_masks_units(family: str, tree: Path, tmp_path: Path) -> None:
    for path in tree.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
    target = tmp_path / "extra"
    target.mkdir(mode=0o700)
    stage(tree, family, target)
    files = [path for path in target.rglob("*") if path.is_file() and not path.is_symlink()]
    scripts = {path.name for path in files if path.stat().st_mode & 0o777 == 0o755}
    assert scripts == {"vm-init"}
    assert {path.stat().st_mode & 0o777 for path in files if path.name not in scripts} == {0o644}
    folders = [target, *(path for path in target.rglob("*") if path.is_dir())]
    assert {path.stat().st_mode & 0o777 for path in folders} == {0o755}
    links = {path.name: str(path.readlink()) for path in target.rglob("*") if path.is_symlink()}
    assert links == dict.fromkeys(masked(tree), "/dev/null")


@each_family
def test_chronyd_sets_the_clock_of_a_machine_of_its_own(family: str, tmp_path: Path) -> None:
    stage(sources(), family, tmp_path)
    text = (tmp_path / load_family(family).paths["chrony_options"].lstrip("/")).read_text()
    assert "-x" not in text.replace("#", "").split()
    assert '"-F ' in text


@each_family
def test_masks_spare_what_a_node_needs(family: str) -> None:
    masks = masked(sources())
    assert len(masks) == len(set(masks))
    forms = r"[\w@.-]+\.(service|socket|mount|automount|path|timer)|[\w-]+-generator"
    assert all(re.fullmatch(forms, mask) for mask in masks)
    assert "systemd-getty-generator" not in masks
    needed = {*load_family(family).units.values(), "serial-getty@.service", "getty@.service"}
    needed |= {"systemd-udevd.service", "sys-kernel-config.mount", "systemd-modules-load.service"}
    assert not needed & set(masks)


def test_the_command_line_names_what_the_image_holds() -> None:
    words = CMDLINE.split()
    assert f"init=/{VM_INIT.relative_to(sources() / 'images/vm/root')}" in words
    assert "root=LABEL=root" in words
    assert FILES_SERIAL in VM_INIT.read_text()


# -- the store of disks -------------------------------------------------------------------


def put_disk(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name in ("disk.img", "vmlinuz", "initramfs"):
        (folder / name).write_text("")
    return folder


def test_a_disk_is_found_when_it_is_whole_and_of_todays_inputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABCTL_STATE", str(tmp_path))
    store = ImageStore(tmp_path / "images")
    assert find_vm_image(image(), store=store) is None
    identity = image_id("f00", sources(), "debian")
    folder = put_disk(tmp_path / "vm/debian" / identity)
    found = find_vm_image(image(), store=store)
    assert found is not None
    assert (found.id, found.family, found.disk) == (identity, "debian", folder / "disk.img")
    assert find_vm_image(image("f01"), store=store) is None
    (folder / "initramfs").unlink()
    assert find_vm_image(image(), store=store) is None


def test_disks_that_labs_lie_upon_stay(tmp_path: Path) -> None:
    disks, labs = tmp_path / "vm/debian", tmp_path / "labs"
    for name in ("new", "old", "in-use", "in-snapshot"):
        put_disk(disks / name)
    for name, place in {"in-use": "a/vms/node1", "in-snapshot": "a/snapshots/s/tree/vms/node1"}.items():
        (labs / place).mkdir(parents=True)
        (labs / place / "base").write_text(f"{disks / name / 'disk.img'}\n")
    (disks / ".x.partial").mkdir()
    remove_unused(disks, keep="new", labs=labs)
    assert {path.name for path in disks.iterdir()} == {"new", "in-use", "in-snapshot", ".x.partial"}
    clear_partial(disks)
    assert {path.name for path in disks.iterdir()} == {"new", "in-use", "in-snapshot"}


def test_too_little_room_is_said_before_anything_is_built(tmp_path: Path) -> None:
    with pytest.raises(HostLacks, match=f"1048576 GiB free below {tmp_path}"):
        require_room(tmp_path, 1048576 * 1024**3)


# -- vm-init ------------------------------------------------------------------------------


class Machine:
    """vm-init upon folders: a root file system, /sys/block, /dev and the console."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        self.root.mkdir()
        self.dev = folder / "dev"
        self.dev.mkdir()
        self.sys = folder / "sys"
        self.console = folder / "console"
        self.init = folder / "init"
        self.init.write_text('#!/bin/sh\necho "booted $*"\n')
        self.init.chmod(0o755)

    def disk(self, name: str, serial: str, content: bytes) -> None:
        """A disk as the kernel shows it: the serial number ends without a newline."""
        (self.sys / name).mkdir(parents=True)
        (self.sys / name / "serial").write_text(serial)
        (self.dev / name).write_bytes(content)

    def files(self, *members: dict[str, str]) -> None:
        shutil.rmtree(self.sys, ignore_errors=True)
        self.disk("vda", "root", b"")
        whole = archive({f"{n:04}.tar": archive(member) for n, member in enumerate(members, 1)})
        self.disk("vdb", FILES_SERIAL, whole + bytes(4096))

    def boot(self) -> Result:
        self.console.write_text("")
        names = {"ROOT": self.root, "SERIALS": self.sys, "DEVICES": self.dev, "CONSOLE": self.console}
        env = {f"LABCTL_{name}": str(path) for name, path in names.items()}
        env |= {"LABCTL_INIT": str(self.init), "LABCTL_TRIES": "0"}
        result = run(["sh", VM_INIT, "one", "two"], timeout=30, env=env, check=False)
        assert result.stdout == "booted one two\n"
        return result

    def said(self) -> str:
        return self.console.read_text()

    def applied(self) -> str:
        return (self.root / "var/lib/labctl/files-applied").read_text()


def archive(content: dict[str, bytes] | dict[str, str]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, text in content.items():
            data = text.encode() if isinstance(text, str) else text
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o600
            tar.addfile(member, io.BytesIO(data))
    return out.getvalue()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_files_are_unpacked_in_order_and_once(machine: Machine) -> None:
    machine.files({"etc/a": "1", "etc/b": "1"}, {"etc/a": "2"})
    machine.boot()
    assert machine.said() == ""
    assert ((machine.root / "etc/a").read_text(), (machine.root / "etc/b").read_text()) == ("2", "1")
    assert (machine.root / "etc/a").stat().st_mode & 0o777 == 0o600
    assert machine.applied() == "0002\n"
    (machine.root / "etc/a").write_text("of the learner")
    machine.boot()
    assert (machine.root / "etc/a").read_text() == "of the learner"
    machine.files({"etc/a": "1", "etc/b": "1"}, {"etc/a": "2"}, {"etc/c": "3"})
    machine.boot()
    assert (machine.root / "etc/a").read_text() == "of the learner"
    assert (machine.root / "etc/c").read_text() == "3"


def test_the_tenth_comes_after_the_ninth(machine: Machine) -> None:
    machine.files(*({"etc/a": str(n)} for n in range(1, 12)))
    machine.boot()
    assert ((machine.root / "etc/a").read_text(), machine.applied()) == ("11", "0011\n")


def test_a_link_to_a_folder_stays_and_a_folder_that_is_named_gets_its_mode(machine: Machine) -> None:
    (machine.root / "usr/lib").mkdir(parents=True)
    (machine.root / "lib").symlink_to("usr/lib")
    (machine.root / "root").mkdir(mode=0o700)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name in ("lib", "root"):
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(folder)
        member = tarfile.TarInfo("lib/file")
        tar.addfile(member)
    machine.disk("vda", FILES_SERIAL, archive({"0001.tar": out.getvalue()}))
    machine.boot()
    assert (machine.root / "lib").is_symlink()
    assert (machine.root / "usr/lib/file").is_file()
    assert (machine.root / "root").stat().st_mode & 0o777 == 0o755


def test_a_broken_member_is_told_and_tried_again(machine: Machine) -> None:
    machine.disk("vda", FILES_SERIAL, archive({"0001.tar": archive({"a": "1"}), "0002.tar": b"no tar"}))
    machine.boot()
    assert "0002.tar of this node's files could not be unpacked" in machine.said()
    assert machine.applied() == "0001\n"
    machine.files({"a": "1"}, {"a": "2"})
    machine.boot()
    assert (machine.root / "a").read_text() == "2"


@pytest.mark.parametrize("content", [b"", b"no tar at all" * 1000])
def test_an_unreadable_disk_does_not_stop_the_boot(machine: Machine, content: bytes) -> None:
    machine.disk("vda", FILES_SERIAL, content)
    machine.boot()
    assert "the disk with this node's files cannot be read" in machine.said()


def test_no_disk_is_told(machine: Machine) -> None:
    machine.disk("vda", "root", b"")
    machine.boot()
    assert machine.said() == "labctl: there is no disk with this node's files\n"


def test_a_damaged_record_means_from_the_start(machine: Machine) -> None:
    record = machine.root / "var/lib/labctl/files-applied"
    record.parent.mkdir(parents=True)
    record.write_text("x\n")
    machine.files({"a": "1"})
    machine.boot()
    assert machine.applied() == "0001\n"


# -- the kernel ---------------------------------------------------------------------------


def elf(note: int, owner: bytes = b"Xen\0") -> bytes:
    """A 64-bit ELF file with two notes, the second of the given type and owner."""
    notes = b"".join(
        struct.pack("<III", 4, 5, kind) + who + bytes(8) for kind, who in ((6, b"GNU\0"), (note, owner))
    )
    header = (
        b"\x7fELF\x02"
        + bytes(0x1B)
        + struct.pack("<Q", 64)
        + bytes(14)
        + struct.pack("<HH", 56, 2)
        + bytes(6)
    )
    load = struct.pack("<IIQQQQQQ", 1, 0, 0, 0, 0, 0, 0, 0)
    return header + load + struct.pack("<IIQQQQQQ", 4, 0, 176, 0, 0, len(notes), 0, 0) + notes


def bzimage(payload: bytes) -> bytes:
    kernel = bytearray(2 * 512 + 32)
    kernel[0x1F1] = 1
    kernel[0x202:0x206] = b"HdrS"
    struct.pack_into("<II", kernel, 0x248, 32, len(payload))
    return bytes(kernel) + payload + b"trailer"


XZ = [{"id": lzma.FILTER_X86}, {"id": lzma.FILTER_LZMA2}]


@pytest.mark.parametrize(
    "pack",
    [
        gzip.compress,
        lambda data: lzma.compress(data, check=lzma.CHECK_CRC32, filters=XZ),
        lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
    ],
    ids=["gzip", "xz", "lzma"],
)
def test_a_kernel_that_qemu_can_start_is_taken_out(pack: Callable[[bytes], bytes]) -> None:
    kernel = elf(18) + bytes(1000)
    assert startable(bzimage(pack(kernel) + b"size")) == kernel


@pytest.mark.parametrize(
    "image",
    [
        b"",
        b"no kernel" * 1000,
        bzimage(b"\x28\xb5\x2f\xfdzstd"),
        bzimage(gzip.compress(elf(17))),
        bzimage(gzip.compress(elf(18, b"Zen\0"))),
        bzimage(gzip.compress(b"no ELF file")),
        bzimage(gzip.compress(elf(18))[:40]),
        bzimage(b"\xfd7zXZ\x00damaged"),
    ],
    ids=["empty", "text", "zstd", "no entry", "another's note", "no elf", "cut", "damaged"],
)
def test_other_kernels_stay_as_they_are(image: bytes) -> None:
    assert startable(image) is None
