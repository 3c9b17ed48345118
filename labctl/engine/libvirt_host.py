"""A libvirtd that is not a lab's own: its URI, a connection to it, whom it runs QEMU as."""

from __future__ import annotations

import errno
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree as ET

from labctl.engine.libvirt_binding import binding
from labctl.engine.remote import is_remote, parse
from labctl.errors import HostLacks, LabError, NotPermitted, UsageError

RUN = Path("/run/libvirt")
LOGS = Path("/var/log/libvirt/qemu")  # the system's; one file a machine
CONNECT_SECONDS = 30.0
LEAST_QEMU = 7_002_000  # as libvirt counts it: 7.2, the first with `-netdev stream`
START = "systemctl start libvirtd   (or virtqemud; `virsh --connect URI list` tells whether it answers)"


@dataclass(frozen=True)
class LibvirtHost:
    """uid, gid: the account of its QEMUs.  models: of the security drivers that a domain may name."""

    uid: int
    gid: int
    models: tuple[str, ...]


def require_usable(uri: str) -> None:
    """Raises UsageError for what is no URI of a QEMU that can have a lab's machines.

    https://libvirt.org/uri.html; for another host's see labctl.engine.remote.
    """
    try:
        parts = urlsplit(uri)
        host = parts.hostname or ""
    except ValueError:
        raise _no_uri(uri) from None
    driver, _, transport = parts.scheme.partition("+")
    if driver != "qemu":
        raise _no_uri(uri)
    if host or transport not in ("", "unix"):
        parse(uri)
        return
    socket = parse_qs(parts.query).get("socket", [""])[0]
    if parts.path not in ("/system", "/session") or (socket and not socket.startswith("/")):
        raise _no_uri(uri)


def _no_uri(uri: str) -> UsageError:
    return UsageError(
        f"{uri!r} is no URI of a QEMU.",
        details="There are qemu:///system, qemu:///session, qemu+unix:///system?socket=/absolute/path for "
        "another socket, and qemu+ssh://USER@HOST/system for another host.",
        mend="labctl up --mode vm --libvirt-uri qemu:///system",
    )


def absolute(uri: str) -> str:
    """The URI as every later call will find it, whatever its environment: a session is that of a user.

    Of who called sudo(8), else of this one.  Raises HostLacks when there is none.
    """
    parts = urlsplit(uri)
    if parts.path != "/session" or parts.hostname or "socket" in parse_qs(parts.query):
        return uri
    user = os.environ.get("SUDO_UID") or str(os.geteuid())
    folder = Path("/run/user", user, "libvirt")
    for name in ("virtqemud-sock", "libvirt-sock"):
        if (folder / name).exists():
            return f"qemu+unix:///session?socket={folder / name}"
    raise HostLacks(
        f"No libvirt of a session answers: there is no socket in {folder}.",
        mend="virsh --connect qemu:///session list   (as that user; it starts one)",
    )


def socket_folder(uri: str) -> Path:
    """The folder that holds the socket of an absolute URI of this host."""
    socket = parse_qs(urlsplit(uri).query).get("socket", [""])[0]
    return Path(socket).parent if socket else RUN


def connect(uri: str, named: str = "") -> Any:
    """A connection. Raises HostLacks when nobody answers there, NotPermitted when it sends us away.

    named: the URI that the user knows it by, when that is another.
    """
    named = named or uri
    api = binding()
    api.registerErrorHandler(lambda *_: None, None)  # it would print what is raised anyway
    opened: list[Any] = []
    failed: list[Any] = []

    def attempt() -> None:
        try:
            opened.append(api.open(uri))
        except api.libvirtError as error:
            failed.append(error)

    # libvirt waits for ever for a socket's owner that says nothing.
    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(CONNECT_SECONDS)
    if opened:
        return opened[0]
    if failed:
        raise _refusal(named, failed[0])
    raise HostLacks(f"The libvirt at {named} does not answer within {CONNECT_SECONDS:.0f} s.", mend=START)


def _refusal(uri: str, error: Any) -> LabError:
    api = binding()
    denied = {getattr(api, f"VIR_ERR_{name}", None) for name in (
        "AUTH_FAILED", "AUTH_CANCELLED", "AUTH_UNAVAILABLE", "ACCESS_DENIED", "OPERATION_DENIED",
    )}  # fmt: skip
    if error.get_error_code() in denied or error.get_int1() in (errno.EACCES, errno.EPERM):
        return NotPermitted(
            f"The libvirt at {uri} does not let us in.",
            details=str(error),
            mend="see auth_unix_rw and unix_sock_group in that daemon's configuration in /etc/libvirt",
        )
    return HostLacks(f"No libvirt answers at {uri}.", details=str(error), mend=START)


def look(connection: Any, uri: str) -> LibvirtHost:
    """Whom that libvirtd runs QEMU as. Raises HostLacks when its QEMU is too old."""
    api = binding()
    try:
        version, capabilities = int(connection.getVersion()), str(connection.getCapabilities())
    except api.libvirtError as error:
        raise HostLacks(f"The libvirt at {uri} has no QEMU.", details=str(error), mend=START) from None
    if version < LEAST_QEMU:
        found = f"{version // 1_000_000}.{version // 1000 % 1000}"
        raise HostLacks(
            f"The libvirt at {uri} has QEMU {found}; the lab's networks need 7.2 or later.",
            mend="labctl up --mode vm   (the lab's own libvirtd does with what there is)",
        )
    return described(capabilities, RUN if is_remote(uri) else socket_folder(uri))


def described(capabilities: str, folder: Path) -> LibvirtHost:
    """The host of a document of capabilities. folder: of its socket, which belongs to who runs it."""
    owner = folder.stat() if folder.exists() else None
    uid, gid = (owner.st_uid, owner.st_gid) if owner else (0, 0)
    models = []
    for security in ET.fromstring(capabilities).iterfind("host/secmodel"):  # noqa: S314 (libvirt's own)
        model = security.findtext("model") or ""
        if model == "none":
            continue
        models.append(model)
        if model == "dac" and (label := security.findtext("baselabel")):
            uid, gid = (int(word.lstrip("+")) for word in label.split(":"))
    return LibvirtHost(uid, gid, tuple(models))


def confine(domain: ET.Element, host: LibvirtHost) -> None:
    """Have a domain run as that libvirt's machines do, and leave our files to us.

    libvirt would give each file to its account when a machine starts, the base disk of other labs, too, and
    take it back at its end; and its profiles know nothing of the sockets that are a machine's networks.
    """
    for model in host.models:
        if model == "dac":
            label = ET.SubElement(domain, "seclabel", type="static", model=model, relabel="no")
            ET.SubElement(label, "label").text = f"+{host.uid}:+{host.gid}"
        else:
            ET.SubElement(domain, "seclabel", type="none", model=model)


def forget_log(title: str) -> None:
    """Remove what the host's libvirt has written about a machine that is there no more."""
    for file in LOGS.glob(f"{title}.log*"):
        file.unlink(missing_ok=True)


def require_reachable(path: Path, host: LibvirtHost) -> None:
    """Whether its QEMU can come to what lies in this folder. Raises HostLacks, naming what is in the way."""
    if host.uid == 0:
        return
    for folder in [path, *path.parents]:
        about = folder.stat()
        bit = 0o100 if about.st_uid == host.uid else 0o010 if about.st_gid == host.gid else 0o001
        if not about.st_mode & bit:
            raise HostLacks(
                f"The account {host.uid} of that libvirt's machines cannot enter {folder}.",
                details=f"The machines' disks are below {path}.",
                mend=f"chmod o+x {folder}   (or LABCTL_STATE=/var/lib/labctl labctl up …)",
            )
