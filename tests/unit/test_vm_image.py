"""`up --vm-image FILE`, as far as it is logic: the file judged, the seed, the guest's words, what is kept."""

from __future__ import annotations

import io
import json
import struct
import tarfile
from dataclasses import asdict
from pathlib import Path

import pytest

from labctl.errors import BadFile, CommandFailed, HostLacks, LabError, UsageError
from labctl.image import cloud
from labctl.image.cloud_file import (
    CloudFile,
    judge,
    look,
    require_alone,
    require_boot_code,
    require_size,
    told_format,
)
from labctl.image.cloud_seed import OUT_SERIAL, payload, seed, user_data, word
from labctl.image.family import families, sources
from labctl.image.iso import SECTOR, iso
from labctl.image.vm import CMDLINE, VmImage, image_id
from labctl.lab import machines
from labctl.lab.cloud import require_family, require_fits
from labctl.lab.load import load_lab
from labctl.run import run
from labctl.vm import first_boot
from labctl.vm.first_boot import Console, Limits, command, plain
from labctl.vm.trial import Kind

PREPARE = sources() / "images/vm/prepare/prepare"
PATH = Path("/images/a.qcow2")
each_family = pytest.mark.parametrize("family", families())
MIB = 1024**2


# -- the file -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "says"),
    [
        (b"\xfd7zXZ\x00", "compressed by xz"),
        (b"PK\x03\x04", "a zip archive"),
        (b"<!DOCTYPE html>", "download has failed"),
        (b"", "neither qcow2 nor a raw disk"),
        (b"KDMV", "VMware"),
        (bytes(512), "neither qcow2 nor a raw disk"),
    ],
)
def test_what_is_no_disk_image_is_told_with_what_to_do(start: bytes, says: str) -> None:
    with pytest.raises(BadFile, match=says) as caught:
        told_format(start, PATH)
    assert caught.value.mend


def test_the_format_is_told_by_the_first_bytes() -> None:
    assert told_format(b"QFI\xfb" + bytes(508), PATH) == "qcow2"
    assert told_format(bytes(510) + b"\x55\xaa", PATH) == "raw"


@pytest.mark.parametrize(
    ("info", "says"),
    [
        ({"backing-filename": "/etc/shadow"}, "lies upon another image"),
        ({"format-specific": {"data": {"data-file": "/dev/sda"}}}, "keeps its data in another file"),
        ({"encrypted": True}, "is encrypted"),
        ({"format-specific": {"data": {"corrupt": True}}}, "is marked as damaged"),
        ({"format": "vmdk"}, "not a qcow2"),
        ({"virtual-size": None}, "not a qcow2"),
    ],
)
def test_an_image_with_strings_attached_is_refused(info: dict[str, object], says: str) -> None:
    whole = {"format": "qcow2", "virtual-size": 10 * 1024 * MIB}
    assert judge(whole, PATH) == 10 * 1024 * MIB
    with pytest.raises(BadFile, match=says):
        judge({**whole, **info}, PATH)


@pytest.mark.parametrize(
    ("backing", "features", "says"),
    [(104, 0, "lies upon another image"), (0, 4, "keeps its data in another")],
)
def test_what_refers_to_another_file_is_not_even_opened(backing: int, features: int, says: str) -> None:
    def header(offset: int, bits: int) -> bytes:
        return struct.pack(">4sIQ", b"QFI\xfb", 3, offset).ljust(72, b"\0") + struct.pack(">Q", bits)

    require_alone(header(0, 1), PATH)
    with pytest.raises(BadFile, match=says):
        require_alone(header(backing, features), PATH)


def test_a_disk_is_neither_tiny_nor_larger_than_a_nodes() -> None:
    require_size(16384 * MIB, PATH)
    for size in (0, 100 * MIB, 16384 * MIB + 1):
        with pytest.raises(BadFile, match="a node's has 256 to 16384"):
            require_size(size, PATH)


def test_no_file_and_no_regular_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There is no file"):
        look(tmp_path / "none.qcow2")
    with pytest.raises(BadFile, match="is not a file"):
        look(tmp_path)


def test_an_image_without_boot_code_is_for_efi(tmp_path: Path) -> None:
    disk = tmp_path / "disk.img"
    disk.write_bytes(bytes(510) + b"\x55\xaa")
    with pytest.raises(HostLacks, match="EFI only"):
        require_boot_code(disk, PATH)
    disk.write_bytes(b"\xeb" + bytes(509) + b"\x55\xaa")
    require_boot_code(disk, PATH)


# -- the seed -----------------------------------------------------------------------------


def files_of(image: bytes) -> dict[str, bytes]:
    """A CD image's files, read as ECMA-119 says."""
    volume = image[16 * SECTOR : 17 * SECTOR]
    assert volume[:6] == b"\x01CD001"
    assert struct.unpack_from("<I", volume, 80)[0] * SECTOR == len(image)
    place, size = struct.unpack_from("<I", volume, 158)[0], struct.unpack_from("<I", volume, 166)[0]
    folder, at, found = image[place * SECTOR : place * SECTOR + size], 0, {}
    while folder[at]:
        record = folder[at : at + folder[at]]
        where, length = struct.unpack_from("<I", record, 2)[0], struct.unpack_from("<I", record, 10)[0]
        assert struct.pack(">I", where) == record[6:10]
        name = record[33 : 33 + record[32]]
        if not record[25] & 2:
            found[name.decode()] = image[where * SECTOR : where * SECTOR + length]
        at += folder[at]
    return found


def test_a_cd_image_holds_its_files() -> None:
    content = {"user-data": b"u" * 5000, "meta-data": b"m", "labctl.tar": b"t" * SECTOR, "empty": b""}
    image = iso("cidata", content)
    assert image[16 * SECTOR + 40 : 16 * SECTOR + 72] == b"cidata".ljust(32)
    assert image[17 * SECTOR : 17 * SECTOR + 6] == b"\xffCD001"
    assert len(image) % SECTOR == 0
    assert files_of(image) == {f"{name.upper()};1": data for name, data in content.items()}
    for bad in ({"a" * 29: b""}, {f"file{n}": b"" for n in range(60)}):
        with pytest.raises(ValueError, match=r"too long|do not fit"):
            iso("cidata", bad)


def test_the_seed_is_cloud_inits(tmp_path: Path) -> None:
    files = files_of(seed(b"archive", "f00", "auto", {}))
    assert files["LABCTL.TAR;1"] == b"archive"
    assert files["META-DATA;1"].startswith(b"instance-id: labctl-prepare-f00\n")
    script = tmp_path / "script"
    script.write_bytes(files["USER-DATA;1"])
    assert script.read_text().startswith("#!/bin/sh\n")
    assert run(["sh", "-n", script], timeout=20).ok


def test_the_guest_goes_out_as_its_host_does() -> None:
    text = user_data("f00", "debian", {"http_proxy": "http://a b:1", "HOME": "/x", "no_proxy": ""})
    assert "export http_proxy='http://a b:1'\n" in text
    assert "no_proxy" not in text
    assert f"/dev/disk/by-id/virtio-{OUT_SERIAL} debian\n" in text


@each_family
def test_every_familys_packages_and_files_are_packed(family: str) -> None:
    packed = payload(sources())
    assert packed == payload(sources())
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        names = {member.name: member for member in tar}
        listed = tar.extractfile(f"{family}/packages/all.txt")
        assert listed
        words = listed.read().decode().split()
    assert {"pacemaker", "corosync", "pcs", "qemu-guest-agent", "lz4"} <= set(words)
    assert {"prepare", "common/install", "common/finish", f"{family}/family.sh"} <= set(names)
    assert names[f"{family}/vm/usr/lib/labctl/vm-init"].mode == 0o755
    assert names[f"{family}/vm/etc/systemd/system/man-db.timer"].linkname == "/dev/null"
    assert f"{family}/node/etc/ssh/sshd_config.d/10-labctl.conf" in names
    assert {(member.uid, member.mtime) for member in names.values()} == {(0, 0)}


@each_family
def test_preparing_looks_for_the_modules_and_units_of_the_packed_disk(family: str) -> None:
    folder = sources() / "images/vm" / family
    steps, own = (folder / "steps").read_text(), (folder / "prepare.sh").read_text()
    asked = run(["sh", "-c", f'. "{folder / "prepare.sh"}"; echo $modules; echo $units'], timeout=20)
    modules, units = asked.stdout.splitlines()
    assert f"systemctl enable {units}" in steps
    flat = " ".join(steps.replace("\\\n", " ").split())
    assert f"for module in {modules}; do" in flat
    for function in ("before_packages", "make_initramfs", "kernel_file", "after_files"):
        assert f"\n{function}() {{\n" in own
    assert run(["sh", "-n", folder / "prepare.sh"], timeout=20).ok


@each_family
def test_the_packed_disk_does_not_depend_on_the_preparation(family: str, tmp_path: Path) -> None:
    copy = tmp_path / "images/vm"
    for path in (sources() / "images/vm").rglob("*"):
        if path.is_file():
            (copy / path.relative_to(sources() / "images/vm")).parent.mkdir(parents=True, exist_ok=True)
            (copy / path.relative_to(sources() / "images/vm")).write_bytes(path.read_bytes())
    before = image_id("f00", tmp_path, family)
    for name in ("prepare/prepare", f"{family}/prepare.sh", f"{family}/packages.txt"):
        (copy / name).unlink()
    assert image_id("f00", tmp_path, family) == before


@pytest.mark.parametrize(
    ("release", "family"),
    [
        ('ID=debian\nVERSION_ID="12"', "debian"),
        ('ID="centos"\nID_LIKE="rhel fedora"\nVERSION_ID="9"', "centos"),
        ('ID="rocky"\nID_LIKE="rhel centos fedora"\nVERSION_ID="9.4"', "centos"),
        ('ID="almalinux"\nID_LIKE="rhel centos fedora"\nVERSION_ID="9.6"', "centos"),
        ('ID="centos"\nID_LIKE="rhel fedora"\nVERSION_ID="10"\nPRETTY_NAME="CentOS 10"', ""),
        ('ID=ubuntu\nID_LIKE=debian\nVERSION_ID="24.04"\nPRETTY_NAME="Ubuntu 24.04"', ""),
        ("ID=debian\nVERSION_ID=13", ""),
        ("ID=fedora\nVERSION_ID=42", ""),
    ],
)
def test_the_family_is_told_by_os_release(release: str, family: str, tmp_path: Path) -> None:
    file = tmp_path / "os-release"
    file.write_text(f"{release}\n")
    told = run(["sh", PREPARE, "family", file], timeout=20, check=False)
    assert told.ok == bool(family)
    assert told.stdout.strip() == family if family else "is neither Debian 12 nor" in told.stdout


# -- the boot -----------------------------------------------------------------------------

LIMIT = Limits(first=10, begin=100, end=1000)


def told(*lines: str) -> Console:
    console = Console("labctl-prepare-f00")
    console.feed("".join(f"{line}\r\n" for line in lines))
    return console


def test_the_console_is_read_in_pieces_and_without_control_characters() -> None:
    console = Console(word("f00"))
    assert console.feed("\x1b[0;32mWel") == []
    assert console.feed("come to\x1b[0m Debian\r\nlabctl-pre") == ["Welcome to Debian"]
    assert console.feed("pare-f00 step packages\n[  1.0] x labctl-prepare-f00 family debian\n") != []
    assert console.steps == ["step packages", "family debian"]
    assert console.said("family") == "debian"
    assert console.said("ok") is None
    assert not set("\x1b\x07\x00") & set(plain("a\x1b]0;title\x07b\x00c"))


def test_only_this_preparations_word_counts() -> None:
    assert told("labctl-prepare-0 ok").said("ok") is None
    assert first_boot._judge(told("labctl-prepare-f00 ok"), "tcg", LIMIT, 0)


@pytest.mark.parametrize(
    ("lines", "kind", "seconds", "error", "says"),
    [
        (["labctl-prepare-f00 refused its family is debian, not centos"], "kvm", 1, BadFile, "not centos"),
        (["E: no mirror", "labctl-prepare-f00 failed 100"], "kvm", 1, LabError, "preparation failed"),
        (["GRUB loading."], "kvm", 11, HostLacks, "No guest begins to run"),
        (["[    0.0] Linux version 6", "debian login:"], "kvm", 101, BadFile, "did not begin"),
        ([], "tcg", 101, BadFile, "did not begin"),
    ],
)
def test_a_boot_that_leads_nowhere_is_told(
    lines: list[str], kind: Kind, seconds: float, error: type[LabError], says: str
) -> None:
    assert not first_boot._judge(told(*lines[:-1]), kind, LIMIT, 0)
    with pytest.raises(error, match=says):
        first_boot._judge(told(*lines), kind, LIMIT, seconds)


def test_a_machine_that_ends_early_is_told(tmp_path: Path) -> None:
    said = tmp_path / "qemu"
    said.write_text("network backend 'user' is not compiled into this binary\n")
    with pytest.raises(HostLacks, match="QEMU did not run") as caught:
        first_boot._ended(told(), "kvm", said)
    assert "not compiled" in caught.value.details
    with pytest.raises(CommandFailed, match="ended before it was prepared"):
        first_boot._ended(told("[    0.0] Linux version 6", "Kernel panic"), "kvm", said)


def test_nothing_of_the_host_is_opened_to_the_guest() -> None:
    paths = {name: Path(f"/a,b/{name}") for name in ("disk", "seed", "out", "serial")}
    words = command(Path("/usr/bin/qemu"), "tcg", **paths)
    assert words[:3] == ["setpriv", "--pdeathsig", "KILL"]
    assert not [each for each in words if "hostfwd" in each or "vnc" in each or "/a,b" in each]
    assert all("format=raw" in each for each in words if each.startswith("if=none"))


# -- what is kept -------------------------------------------------------------------------

TOLD = {
    "family": "debian",
    "uuid": "0a1b2c3d-1111-2222-3333-444455556666",
    "type": "ext4",
    "kernel": "6.1.0-9",
}


def written(path: Path, **changes: str) -> Path:
    about = "".join(f"{key}={value}\n" for key, value in {**TOLD, **changes}.items())
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        for name, data in (("about", about.encode()), ("vmlinuz", b"kernel"), ("initramfs", b"initramfs")):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def test_what_the_guest_wrote_is_taken(tmp_path: Path) -> None:
    assert cloud.taken(written(tmp_path / "out"), tmp_path) == TOLD
    assert (tmp_path / "vmlinuz").read_bytes() == b"kernel"


@pytest.mark.parametrize("change", [{"uuid": "x init=/bin/sh"}, {"family": "../x"}, {"type": "btrfs"}])
def test_a_guests_nonsense_is_refused(change: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="nonsense"):
        cloud.taken(written(tmp_path / "out", **change), tmp_path)


def test_links_and_empty_disks_are_no_kernel(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.write_bytes(bytes(MIB))
    with pytest.raises(CommandFailed, match="left no kernel"):
        cloud.taken(out, tmp_path)
    with tarfile.open(out, "w") as tar:
        for name in ("about", "vmlinuz", "initramfs"):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, "/etc/shadow"
            tar.addfile(member)
    with pytest.raises(CommandFailed, match="left no kernel"):
        cloud.taken(out, tmp_path)


def test_the_command_line_finds_the_images_root_and_labctls_init() -> None:
    words = cloud.cmdline(TOLD).split()
    assert words[:2] == [f"root=UUID={TOLD['uuid']}", "rootflags=noinit_itable"]
    assert set(CMDLINE.split()) - set(words) == {"root=LABEL=root"}
    assert not [each for each in cloud.cmdline({**TOLD, "type": "xfs"}).split() if "rootflags" in each]


def test_a_preparation_is_known_by_the_images_content_and_the_payload() -> None:
    one = CloudFile(PATH, "qcow2", 1, "d1")
    moved = CloudFile(Path("/elsewhere"), "qcow2", 1, "d1")
    assert cloud.identity(one, b"p") == cloud.identity(moved, b"p")
    others = {cloud.identity(CloudFile(PATH, "qcow2", 1, "d2"), b"p"), cloud.identity(one, b"q")}
    assert len({cloud.identity(one, b"p"), *others}) == 3


def test_a_prepared_disk_is_finished_and_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABCTL_STATE", str(tmp_path))
    work = cloud.Work(cloud.folder() / ".f00.partial")
    work.folder.mkdir(parents=True)
    work.disk.write_bytes(b"disk")
    written(work.out)
    assert cloud.find("f00", PATH) is None
    made = cloud.finish(work, "f00", PATH)
    assert made == cloud.find("f00", PATH)
    assert (made.family, made.cmdline, made.source) == ("debian", cloud.cmdline(TOLD), str(PATH))
    assert made.disk.read_bytes() == b"disk"
    assert not work.folder.exists()
    kept = {path.name for path in made.disk.parent.iterdir()}
    assert kept == {"disk.img", "vmlinuz", "initramfs", "about.json"}


# -- the lab ------------------------------------------------------------------------------


def test_a_lab_keeps_its_image() -> None:
    lab = load_lab("x", nodes=2).with_mode("vm")
    require_fits(lab, None, PATH)
    require_fits(lab, str(PATH), PATH)
    require_fits(lab, str(PATH), None)
    with pytest.raises(UsageError, match=r"was made of /images/a.qcow2, not of /b") as caught:
        require_fits(lab, str(PATH), Path("/b"))
    assert caught.value.mend.startswith("labctl down --lab x && labctl up --lab x --mode vm --vm-image /b")
    with pytest.raises(UsageError, match="was made of the image of its family"):
        require_fits(lab, "", PATH)
    with pytest.raises(UsageError, match="is for virtual machines") as caught:
        require_fits(load_lab("x", nodes=2), None, PATH)
    assert "--mode vm --vm-image" in caught.value.mend


def test_the_images_family_must_be_the_one_that_was_asked_for() -> None:
    require_family("debian", "auto", PATH)
    require_family("debian", "debian", PATH)
    with pytest.raises(UsageError, match="of the family debian, not centos"):
        require_family("debian", "centos", PATH)


def test_an_older_labs_machines_are_of_the_packed_disk() -> None:
    ground = machines.Ground(
        "i", "/d", "/k", "/i", "c", "tcg", "", 1.0, {"node1": 1}, {"node1": 1}, alone=True
    )
    older = {key: value for key, value in asdict(ground).items() if key != "source"}
    assert machines.Ground(**json.loads(json.dumps(older))).source == ""
    assert VmImage("i", "debian", PATH, PATH, PATH).cmdline == CMDLINE
