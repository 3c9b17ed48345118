"""What a distribution's cloud image gets at its first boot: cloud-init's NoCloud seed, the lab's files in it.

The seed is a CD image with the label cidata (https://docs.cloud-init.io, "NoCloud"). Its user-data, a script,
unpacks the archive beside it and runs images/vm/prepare/prepare.
"""

from __future__ import annotations

import io
import os
import shlex
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from labctl.image.family import families
from labctl.image.iso import iso
from labctl.image.vm import lay, stage

LABEL = "cidata"
OUT_SERIAL = "labctl-out"  # the disk that the guest writes its kernel to
PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
GROUPS = ("base", "cluster", "fencing", "arbitration", "storage", "services", "learner")
# Replaced by the words of one preparation.
_USER_DATA = """\
#!/bin/sh
# Runs once; see labctl's images/vm/prepare/prepare.
exec > /dev/ttyS0 2>&1 < /dev/null
word={word}
ended() {{
    rc=$?
    trap - EXIT
    [ "$rc" -eq 0 ] && echo "$word ok" || echo "$word failed $rc"
    sync
    systemctl --no-block poweroff
    exit "$rc"
}}
trap ended EXIT
set -eu
export LC_ALL=C.UTF-8 HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin
{proxies}echo "$word began"
seed=/run/labctl-seed folder=/run/labctl-prepare
mkdir -p "$seed" "$folder"
mount -o ro LABEL={label} "$seed"
tar -xf "$seed/labctl.tar" -C "$folder"
umount "$seed"
sh "$folder/prepare" "$folder" "$word" /dev/disk/by-id/virtio-{out} {family}
"""


def word(nonce: str) -> str:
    """What every line for labctl on the console begins with."""
    return f"labctl-prepare-{nonce}"


def user_data(nonce: str, family: str, environment: Mapping[str, str]) -> str:
    """The script. family: the wanted one, or auto.  environment: whose proxies the guest shall use."""
    proxies = "".join(
        f"export {name}={shlex.quote(environment[name])}\n" for name in PROXIES if environment.get(name)
    )
    return _USER_DATA.format(
        word=word(nonce), label=LABEL, out=OUT_SERIAL, family=shlex.quote(family), proxies=proxies
    )


def seed(archive: bytes, nonce: str, family: str, environment: Mapping[str, str] = os.environ) -> bytes:
    """The CD image."""
    return iso(
        LABEL,
        {
            "user-data": user_data(nonce, family, environment).encode(),
            "meta-data": f"instance-id: {word(nonce)}\nlocal-hostname: labctl\n".encode(),
            "labctl.tar": archive,
        },
    )


def payload(source: Path) -> bytes:
    """All families' packages, steps and files as a tar; the same bytes from the same files."""
    images = source / "images"
    with tempfile.TemporaryDirectory(prefix="labctl-seed-") as name:
        folder = Path(name)
        _copy(images / "vm/prepare/prepare", folder / "prepare")
        for file in ("install", "finish", "container-masks.txt"):
            _copy(images / "common" / file, folder / "common" / file)
        for family in families():
            _family(images, family, folder / family, source)
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
            for path in sorted(folder.rglob("*")):
                tar.add(path, str(path.relative_to(folder)), recursive=False, filter=_plain)
        return out.getvalue()


def _family(images: Path, family: str, folder: Path, source: Path) -> None:
    own, machine = images / family, images / "vm" / family
    for file in (own / "family.sh", own / "finish.sh", machine / "prepare.sh"):
        _copy(file, folder / file.name)
    # One group of all, so that the guest asks its mirrors once.
    for suffix in ("", "-optional"):
        lists = [own / f"packages/{group}{suffix}.txt" for group in GROUPS]
        lists.append(machine / f"packages{suffix}.txt")
        text = "\n".join(line for path in lists if path.is_file() for line in _words(path))
        _write(folder / f"packages/all{suffix}.txt", f"{text}\n".encode())
    lay(images / "node", folder / "node")
    lay(own / "root", folder / "node")
    stage(source, family, folder / "vm")


def _words(path: Path) -> Iterator[str]:
    for line in path.read_text().splitlines():
        yield from line.partition("#")[0].split()


def _copy(source: Path, target: Path) -> None:
    _write(target, source.read_bytes())


def _write(target: Path, content: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    if member.isdir():
        member.mode = 0o755
    return member
