"""Where labctl keeps things on the host.

LABCTL_STATE moves everything (tests do, and a disk with more room may need it).
Lab folders are kept short: a unix socket's path holds at most 107 bytes (unix(7)).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import platformdirs

from labctl.errors import UsageError

SOCKET_PATH_MAX = 107
DEFAULT_LAB = "default"


def state_root() -> Path:
    """The folder of all labs and images, /var/lib/labctl unless LABCTL_STATE says otherwise."""
    chosen = os.environ.get("LABCTL_STATE")
    root = Path(chosen) if chosen else platformdirs.site_state_path("labctl")
    if not root.is_absolute():
        raise UsageError(f"LABCTL_STATE must be an absolute path, not {root}.")
    return root


def image_store() -> Path:
    """The image store that all labs share."""
    return state_root() / "images"


def vm_images() -> Path:
    """The disks that virtual machines start from: a folder for each family and in it for each disk's id."""
    return state_root() / "vm"


def labs_root() -> Path:
    return state_root() / "labs"


@dataclass(frozen=True)
class LabPlaces:
    """The files of one lab, all under one folder with mode 0700."""

    lab: str
    root: Path

    @property
    def socket(self) -> Path:
        return self.root / "podman.sock"

    @property
    def record(self) -> Path:
        return self.root / "lab.json"

    @property
    def secrets(self) -> Path:
        return self.root / "secrets"

    @property
    def storage(self) -> Path:
        return self.root / "storage"

    @property
    def disks(self) -> Path:
        """The target's disks: one sparse file each."""
        return self.root / "disks"

    @property
    def target(self) -> Path:
        """The target's configuration, as it sees it under /etc/target."""
        return self.root / "target"

    @property
    def snapshots(self) -> Path:
        """One folder per snapshot of the lab."""
        return self.root / "snapshots"

    @property
    def vms(self) -> Path:
        """One folder per virtual machine: its disk, the files for it, its console."""
        return self.root / "vms"

    @property
    def libvirt(self) -> Path:
        """What libvirt keeps for the lab: it sees it where the host's own would be."""
        return self.root / "libvirt"

    @property
    def libvirt_socket(self) -> Path:
        return self.root / "libvirt-sock"

    @property
    def elsewhere(self) -> Path:
        """Names the libvirtd that the machines are in, where that is not the lab's own: its URI."""
        return self.root / "libvirt-uri"

    @property
    def in_bubble(self) -> bool:
        """Whether the lab's machines are in a libvirtd of its own bubble, and end with it."""
        return not self.elsewhere.exists()

    @property
    def libvirt_uri(self) -> str:
        """The libvirtd of the lab's machines, as the user named it (https://libvirt.org/uri.html)."""
        if self.in_bubble:
            return f"qemu+unix:///system?socket={self.libvirt_socket}"
        return self.elsewhere.read_text().splitlines()[0]

    @property
    def token(self) -> str:
        """What tells this lab from all others at another host's libvirtd; "" when that is on this host."""
        return "" if self.in_bubble else "".join(self.elsewhere.read_text().splitlines()[1:2])

    @property
    def owner(self) -> str:
        """Whose the machines in another libvirtd are, as it stands in their metadata."""
        return f"{self.root} {self.token}".strip()

    @property
    def remote(self) -> Path:
        """This end of the connection to another host: its control socket, libvirtd's, the disks' (NBD)."""
        return self.root / "remote"

    @property
    def libvirt_address(self) -> str:
        """Where that libvirtd is reached: another host's is at the near end of our connection."""
        if not self.token:
            return self.libvirt_uri
        return f"qemu+unix://{urlsplit(self.libvirt_uri).path}?socket={self.remote / 'libvirt-sock'}"

    @property
    def wires(self) -> Path:
        """The sockets that are the networks of machines in another libvirtd."""
        return self.root / "wires"

    @property
    def networks(self) -> Path:
        return self.root / "networks"

    @property
    def conf(self) -> Path:
        return self.root / "conf"

    @property
    def logs(self) -> Path:
        return self.root / "log"

    @property
    def course(self) -> Path:
        """What the learner has done; among the logs, which no snapshot brings back."""
        return self.logs / "course.json"

    @property
    def ready(self) -> Path:
        return self.root / "ready.json"


def lab_places(lab: str) -> LabPlaces:
    """The places of a lab. Raises UsageError when the socket's path would be too long."""
    places = LabPlaces(lab, labs_root() / lab)
    if len(os.fsencode(places.socket)) > SOCKET_PATH_MAX:
        raise UsageError(
            f"The path {places.socket} is too long for a socket.",
            mend="choose a shorter folder: LABCTL_STATE=/var/tmp/lab labctl …",
        )
    return places


def lab_flag(lab: str) -> str:
    """The option that names this lab in a command to type; nothing for the default one."""
    return "" if lab == DEFAULT_LAB else f" --lab {lab}"


def lock_file(lab: str) -> Path:
    """One lock per lab, outside its folder, so that down can remove the folder while it holds it."""
    return labs_root() / f".{lab}.lock"


def write_whole(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Write a file at once or not at all, with these rights from the first byte on. Raises OSError.

    Whoever reads it meanwhile has the old one; a full disk leaves that, and nothing beside it.
    """
    aside = path.with_name(f".{path.name}.new")
    aside.unlink(missing_ok=True)  # of a labctl that was killed; its rights may be others
    try:
        new = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(new, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError:
        aside.unlink(missing_ok=True)
        raise
