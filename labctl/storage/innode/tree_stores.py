"""targetcli's /backstores: what a LUN can stand on."""

from __future__ import annotations

import os
import re
import stat
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .tree import CliError, Node, Parameter, Shell, truth

UNITS = "kmgt"
BLOCK = 512


def size_of(text: str) -> int:
    """Bytes of a size such as 2G, 2GB, 2GiB, 2048M or 2147483648. Raises CliError."""
    match = re.fullmatch(r"([0-9]+)([kmgt]?)b?", text.replace("i", "").lower())
    if match is None:
        raise CliError(f"Cannot interpret size, wrong format: {text}")
    power = UNITS.index(match[2]) + 1 if match[2] else 0
    return int(int(match[1]) * 1024**power)


def in_words(size: float) -> str:
    if size < 1024:
        return f"{size:.0f} bytes"
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        size /= 1024
        if size < 1024:
            return f"{size:3.1f}{unit}"
    return f"{size / 1024:3.1f}PiB"


def stores(shell: Shell) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = shell.config["storage_objects"]
    return found


def place(so: Mapping[str, Any]) -> str:
    return f"/backstores/{so['plugin']}/{so['name']}"


class Backstores(Node):
    def children(self) -> Sequence[Node]:
        kinds = (("block", Block), ("fileio", FileIo), ("pscsi", Pscsi), ("ramdisk", Ramdisk))
        return [kind(name, self, self.shell) for name, kind in kinds]


class Store(Node):
    """The storage objects of one kind."""

    def children(self) -> Sequence[Node]:
        return [StorageObject(so, self, self.shell) for so in stores(self.shell) if so["plugin"] == self.name]

    def summary(self) -> tuple[str, bool | None]:
        return f"Storage Objects: {len(self.children())}", None

    def do_delete(self, name: str, save: str = "") -> None:
        """Delete a storage object and all LUNs that use it; its file stays."""
        if truth(save, False):
            raise CliError("save=true is not there; use: saveconfig")
        self.take(name)
        self.shell.say(f"Deleted storage object {name}.")

    def take(self, name: str) -> None:
        """Remove a storage object with its LUNs and their mappings from the configuration."""
        found = [so for so in stores(self.shell) if so["plugin"] == self.name and so["name"] == name]
        if not found:
            raise CliError(f"No storage object named {name}.")
        stores(self.shell).remove(found[0])
        for target in self.shell.config["targets"]:
            for tpg in target["tpgs"]:
                gone = {lun["index"] for lun in tpg["luns"] if lun["storage_object"] == place(found[0])}
                remove_luns(tpg, gone)

    def add(self, name: str, about: Mapping[str, Any], wwn: str) -> None:
        if re.search(r"[/\s,]", name) or not name:
            raise CliError("A storage object's name cannot contain  /, newline or spaces/tabs")
        if any(so["plugin"] == self.name and so["name"] == name for so in stores(self.shell)):
            raise CliError(f"Storage object {self.name}/{name} exists")
        serial = wwn or str(uuid.uuid4())
        if not re.fullmatch(r"[0-9A-Za-z-]{1,36}", serial):
            raise CliError(f"wwn {wwn} is not 1 to 36 letters, digits and hyphens")
        if any(so["wwn"] == serial for so in stores(self.shell)):
            raise CliError(f"wwn {serial} is another storage object's")
        attributes = {"block_size": BLOCK, "emulate_write_cache": int(about.get("write_back", True))}
        stores(self.shell).append(
            {
                "name": name,
                "plugin": self.name,
                "wwn": serial,
                "attributes": attributes,
                "alua_tpgs": [],
                **about,
            }
        )

    def free(self, path: str) -> None:
        """Raises CliError when another storage object stands on this file already."""
        for so in stores(self.shell):
            other = so.get("dev", "")
            if other and Path(path).exists() and Path(other).exists() and Path(path).samefile(other):
                raise CliError(f"storage object for {path} already exists: {so['name']}")


def remove_luns(tpg: dict[str, Any], gone: set[int]) -> None:
    """Take LUNs out of a portal group, with their mappings."""
    tpg["luns"] = [lun for lun in tpg["luns"] if lun["index"] not in gone]
    for acl in tpg["node_acls"]:
        acl["mapped_luns"] = [lun for lun in acl["mapped_luns"] if lun["tpg_lun"] not in gone]


class FileIo(Store):
    def do_create(  # noqa: PLR0917 (targetcli's own order)
        self,
        name: str,
        file_or_dev: str,
        size: str = "",
        write_back: str = "",
        sparse: str = "",
        wwn: str = "",
    ) -> None:
        """Create a storage object from a file (made, sparse, when it is not there) or a block device."""
        path = str(Path(file_or_dev).expanduser())
        if not path.startswith("/"):
            path = str(Path.cwd() / path)
        back = truth(write_back, True)
        thin = truth(sparse, True)
        self.free(path)
        kind = block_or_file(path)
        if kind == "block":
            if size:
                self.shell.say("Block device, size parameter ignored")
            self.shell.say("Note: block backstore preferred for best results")
        elif kind == "file":
            if size:
                found = Path(path).stat().st_size
                self.shell.say(f"{path} exists, using its size ({found} bytes) instead")
        elif Path(path).exists():
            raise CliError(f"Path {path} exists but is not a file")
        elif not size:
            raise CliError("Attempting to create file for new fileio backstore, need a size")
        wanted = size_of(size) if not kind else length(path)
        if wanted < BLOCK:
            raise CliError(f"{path}: a disk has at least {BLOCK} bytes, not {wanted}")
        self.add(name, {"dev": path, "size": wanted, "write_back": back, "aio": False}, wwn)
        if not kind:
            make_file(path, wanted, thin)
        self.shell.say(f"Created fileio {name} with size {wanted}")


class Block(Store):
    def do_create(self, name: str, dev: str, readonly: str = "", wwn: str = "", exclusive: str = "") -> None:
        """Create a storage object from a block device."""
        self.free(dev)
        if block_or_file(dev) != "block":
            raise CliError(f"Device {dev} is not a TYPE_DISK block device")
        if not truth(exclusive, True):
            raise CliError("Cannot configure StorageObject. exclusive=false not supported.")
        size = length(dev)
        try:
            # A mounted device, or one that another holder claims, refuses this (open(2)).
            os.close(os.open(dev, os.O_RDWR | os.O_EXCL))
        except OSError as error:
            raise CliError(f"Cannot configure StorageObject because device {dev} is already in use"
                           f" ({error.strerror})") from None  # fmt: skip
        about = {"dev": dev, "size": size, "write_back": True, "readonly": truth(readonly, False)}
        self.add(name, about, wwn)
        self.shell.say(f"Created block storage object {name} using {dev}.")


class Ramdisk(Store):
    def do_create(self, name: str, size: str, nullio: str = "", wwn: str = "") -> None:
        """Create a storage object in memory; its content is gone when it is deleted, and after a reboot."""
        if truth(nullio, False):
            raise CliError("nullio is not there: tgtd's null store is of no size")
        if size_of(size) < BLOCK:
            raise CliError(f"a disk has at least {BLOCK} bytes, not {size}")
        self.add(name, {"size": size_of(size)}, wwn)
        self.shell.say(f"Created ramdisk {name} with size {size}.")


class Pscsi(Store):
    def do_create(self, name: str, dev: str) -> None:
        """Refused: there is no SCSI device to pass through."""
        raise CliError(f"pscsi is not there: this node's kernel has no SCSI device to pass {dev} through; "
                       f"use: /backstores/block create {name} {dev}")  # fmt: skip


class StorageObject(Node):
    """One storage object."""

    def __init__(self, so: dict[str, Any], parent: Node, shell: Shell) -> None:
        super().__init__(str(so["name"]), parent, shell)
        self.so = so

    def summary(self) -> tuple[str, bool | None]:
        so = self.so
        size = in_words(int(so.get("size", 0)))
        used = any(
            lun["storage_object"] == place(so)
            for target in self.shell.config["targets"]
            for tpg in target["tpgs"]
            for lun in tpg["luns"]
        )
        status = "activated" if used else "deactivated"
        if so["plugin"] == "ramdisk":
            return f"({size}) {status}", True
        if not Path(so["dev"]).exists():
            return f"{so['dev']} MISSING", False
        back = "write-back" if so.get("write_back") else "write-thru"
        readonly = "ro " if so.get("readonly") else ""
        return f"{so['dev']} ({size}) {readonly}{back} {status}", True

    def groups(self) -> Mapping[str, Mapping[str, Parameter]]:
        shown = self.so.get("attributes", {})
        return {
            "attribute": {
                name: Parameter("number", "tgtd cannot change this.", None, lambda value=value: str(value))  # type: ignore[misc]
                for name, value in sorted(shown.items())
            }
        }

    def facts(self) -> Mapping[str, Any]:
        return {name: value for name, value in self.so.items() if not isinstance(value, (dict, list))}


def block_or_file(path: str) -> str:
    """block, file, or "" for anything else, or nothing."""
    try:
        mode = Path(path).stat().st_mode
    except OSError:
        return ""
    return "block" if stat.S_ISBLK(mode) else "file" if stat.S_ISREG(mode) else ""


def length(path: str) -> int:
    try:
        with Path(path).open("rb") as file:
            return file.seek(0, os.SEEK_END)
    except OSError as error:
        raise CliError(f"Could not open {path}: {error.strerror}") from None


def make_file(path: str, size: int, sparse: bool) -> None:
    """A new file; never one that is there already. Raises CliError, and leaves no half-made file."""
    try:
        number = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o644)
    except OSError as error:
        raise CliError(f"Could not open {path}: {error.strerror}") from None
    try:
        if sparse:
            os.ftruncate(number, size)
        else:
            os.posix_fallocate(number, 0, size)
    except (OSError, OverflowError):
        Path(path).unlink()
        raise CliError(f"Could not expand file to {size} bytes") from None
    finally:
        os.close(number)
