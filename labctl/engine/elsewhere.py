"""A lab's machines in a libvirtd that is not the lab's own: what is there of them, and when.

Their descriptions have their home in the lab's folder, as disks have; that libvirtd knows them while the lab
runs. So a snapshot holds them, and a lab that is off has left nothing there. They do not end with the
bubble: end_all() is what the next `up` or `down` mends that with (docs/adr/0018-another-libvirtd.md).
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from labctl.engine import domain
from labctl.engine.domain import Elsewhere
from labctl.engine.libvirt_binding import binding
from labctl.engine.libvirt_host import LibvirtHost, connect, forget_log, look, require_reachable
from labctl.errors import ActionFailed, HostLacks, LabError
from labctl.places import SOCKET_PATH_MAX, LabPlaces, write_whole

DESCRIPTION = "domain.xml"
LONGEST_WIRE = "x" * 15 + "@" + "x" * 15  # two interfaces' names


def around(places: LabPlaces, connection: Any) -> Elsewhere:
    """What a machine there needs beside."""
    host = look(connection, places.libvirt_uri)
    return Elsewhere(places.lab, places.root, places.wires, host)


def require(places: LabPlaces, uri: str) -> None:
    """Whether a lab's machines can be there. Raises HostLacks, NotPermitted."""
    if len(os.fsencode(places.wires / LONGEST_WIRE)) > SOCKET_PATH_MAX:
        raise HostLacks(
            f"The path {places.wires} is too long for the sockets that would be the machines' networks.",
            mend="a shorter name for the lab, or a shorter folder: LABCTL_STATE=/var/lib/labctl labctl up …",
        )
    with _connected(uri) as connection:
        host = look(connection, uri)
    above = next(folder for folder in places.root.parents if folder.is_dir())
    require_reachable(above, host)


def define(connection: Any, folder: Path, document: str) -> None:
    """Tell that libvirtd a machine, and keep its description, with all that libvirt adds, in its folder."""
    api, file = binding(), folder / DESCRIPTION
    file.write_text(document)  # a machine that is there has one, whenever we are killed
    made = connection.defineXML(document)
    write_whole(file, str(made.XMLDesc(api.VIR_DOMAIN_XML_INACTIVE | api.VIR_DOMAIN_XML_SECURE)))


def hand_over(places: LabPlaces, host: LibvirtHost, machines: Sequence[Path]) -> None:
    """Let that libvirt's QEMU come to the disks in the folders of machines, and to nothing else of the lab.

    Folders stay root's, so that QEMU's account can put no link where root writes; but for the one of sockets.
    """
    places.wires.mkdir(mode=0o700, exist_ok=True)
    if host.uid == 0 or not machines:
        return
    for folder in (places.root, places.vms, *machines):
        os.chown(folder, 0, host.gid)
        folder.chmod(0o710)
    for folder in machines:
        (folder / "console.log").touch(mode=0o600)  # who writes it need not be root
        for name in ("disk.qcow2", "files.tar", "console.log"):
            os.chown(folder / name, host.uid, host.gid, follow_symlinks=False)
    os.chown(places.wires, host.uid, host.gid)


def undefine(found: Any) -> None:
    """Take a domain that is off out of its libvirtd, with all that is kept of it there."""
    api = binding()
    found.undefineFlags(api.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | api.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA)


def define_all(places: LabPlaces) -> None:
    """Tell that libvirtd the lab's machines, as they are described in the lab's folder. Raises LabError."""
    with _connected(places.libvirt_uri) as connection:
        # One without a description was half made, and is made anew.
        described = sorted(places.vms.glob(f"*/{DESCRIPTION}"))
        hand_over(places, look(connection, places.libvirt_uri), [file.parent for file in described])
        for file in described:
            try:
                connection.defineXML(file.read_text())
            except binding().libvirtError as error:
                raise ActionFailed(
                    f"The libvirt at {places.libvirt_uri} does not take the machine {file.parent.name}.",
                    details=str(error),
                    mend=f"labctl down --lab {places.lab} && labctl up --lab {places.lab} --mode vm",
                ) from None


def end_all(places: LabPlaces) -> bool:
    """End the lab's machines there, and take them out of it. True when one ran.

    Raises LabError when it cannot be asked: then nobody knows what still runs on the lab's disks.
    """
    api, ran = binding(), False
    try:
        with _connected(places.libvirt_uri) as connection:
            for found in connection.listAllDomains():
                if _folder_of(found) == str(places.root):
                    ran |= _end(found)
    except (HostLacks, api.libvirtError) as error:
        message = error.message if isinstance(error, LabError) else str(error)
        raise HostLacks(
            f"The machines of lab {places.lab} cannot be ended: {message}",
            details=f"They are in the libvirt at {places.libvirt_uri}.",
            mend=f"systemctl start libvirtd   (or virtqemud), and again; if it is gone for good: "
            f"rm {places.elsewhere}",
        ) from None
    shutil.rmtree(places.wires, ignore_errors=True)
    return ran


def forget_logs(places: LabPlaces) -> None:
    """Remove what the host's libvirt has written about the lab's machines, which it would keep for ever."""
    for folder in places.vms.glob("*/"):
        forget_log(domain.title(places.lab, folder.name))


def _folder_of(found: Any) -> str:
    """Of the lab that a domain is of; "" for others', and for one that went meanwhile."""
    with contextlib.suppress(binding().libvirtError):
        return domain.about(found.XMLDesc()).get("folder", "")
    return ""


def _end(found: Any) -> bool:
    ran = bool(found.isActive())
    if ran:
        try:
            found.destroy()
        except binding().libvirtError:
            if found.isActive():  # else it ended by itself
                raise
    if found.isPersistent():
        undefine(found)
    return ran


@contextlib.contextmanager
def _connected(uri: str) -> Iterator[Any]:
    connection = connect(uri)
    try:
        yield connection
    finally:
        with contextlib.suppress(binding().libvirtError):
            connection.close()
