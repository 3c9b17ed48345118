"""A lab's machines in a libvirtd that is not the lab's own: what is there of them, and when.

Their descriptions have their home in the lab's folder, as disks have; that libvirtd knows them while the lab
runs. So a snapshot holds them, and a lab that is off has left nothing there. They do not end with the
bubble: end_all() is what the next `up` or `down` mends that with (docs/adr/0018-another-libvirtd.md).
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from labctl.engine import domain, exports
from labctl.engine.domain import Elsewhere, console_there
from labctl.engine.libvirt_binding import binding
from labctl.engine.libvirt_host import LOGS, LibvirtHost, connect, forget_log, look, require_reachable
from labctl.engine.remote import FOLDER, Remote, for_a_while, is_remote, reach_libvirt
from labctl.errors import ActionFailed, CommandFailed, HostLacks, LabError, TimedOut
from labctl.host import packages
from labctl.places import SOCKET_PATH_MAX, LabPlaces, write_whole

DESCRIPTION = "domain.xml"
GROUP = "group"  # the file that keeps our account's on the other host
BRING_SECONDS = 900.0
LONGEST_WIRE = "x" * 15 + "@" + "x" * 15  # two interfaces' names


def connection(places: LabPlaces) -> Any:
    """A connection to the libvirtd that has the lab's machines. Raises HostLacks, NotPermitted."""
    try:
        return connect(places.libvirt_address, places.libvirt_uri)
    except HostLacks as error:
        if not places.token or Remote(places.libvirt_uri, places.remote).alive:
            raise
        raise HostLacks(
            f"The connection to the host of the machines of lab {places.lab} has ended.",
            details=error.details,
            mend=f"labctl up --lab {places.lab}   (boots them anew: their disks went with it)",
        ) from None


def remote(places: LabPlaces) -> Remote:
    """The connection to the other host that has the lab's machines, as it is."""
    return Remote(places.libvirt_uri, places.remote)


def folder_there(places: LabPlaces) -> PurePosixPath:
    """The folder on that host with what its QEMU comes to."""
    return FOLDER / f"labctl-{places.lab}-{places.token}"


def around(places: LabPlaces, there: Any) -> Elsewhere:
    """What a machine needs beside in the libvirtd of this connection."""
    host = look(there, places.libvirt_uri)
    if not places.token:
        return Elsewhere(places.lab, places.owner, places.wires, host)
    # With our account's group, its QEMU and we come to each other's sockets, and nobody else does.
    host = replace(host, gid=int((places.remote / GROUP).read_text()))
    return Elsewhere(places.lab, places.owner, folder_there(places), host, remote=True)


def require(places: LabPlaces, uri: str) -> None:
    """Whether a lab's machines can be there. Raises HostLacks, NotPermitted."""
    if len(os.fsencode(places.wires / LONGEST_WIRE)) > SOCKET_PATH_MAX:
        raise HostLacks(
            f"The path {places.wires} is too long for the sockets that would be the machines' networks.",
            mend="a shorter name for the lab, or a shorter folder: LABCTL_STATE=/var/lib/labctl labctl up …",
        )
    if is_remote(uri):
        if packages.find_program(exports.PROGRAM) is None:
            raise exports.lacking()
        with for_a_while(uri) as (_, address), _closing(connect(address, uri)) as there:
            look(there, uri)
        return
    with _closing(connect(uri)) as there:
        host = look(there, uri)
    above = next(folder for folder in places.root.parents if folder.is_dir())
    require_reachable(above, host)


def attach(places: LabPlaces, boots: Sequence[Path]) -> None:
    """Bring what machines there need to another host; nothing to do for this one's.

    boots: kernel and initramfs.  Raises HostLacks, CommandFailed, TimedOut.
    """
    places.wires.mkdir(mode=0o700, exist_ok=True)
    if not places.token:
        return
    there, folder = _linked(places), str(folder_there(places))
    (places.remote / GROUP).write_text(str(there.make_folder(folder)))
    there.send(boots, folder, timeout=BRING_SECONDS)
    there.shell('cd -- "$1" && shift && chmod 640 "$@"', folder, *(file.name for file in boots))
    there.offer(f"{folder}/{domain.DISKS}", places.remote / domain.DISKS)


def _linked(places: LabPlaces) -> Remote:
    """The connection to the other host, made anew if need be. Raises HostLacks."""
    there, near = remote(places), places.remote / "libvirt-sock"
    if not there.alive or not near.exists():
        there.open()
        reach_libvirt(there, near)
    return there


def _wired(places: LabPlaces, machine: str, document: str) -> None:
    """What a machine on another host needs before it starts: its wires, and a console's log we can read."""
    if not places.token:
        return
    there, folder = remote(places), folder_there(places)
    log = str(console_there(folder, machine))
    there.shell('touch "$1" && chmod 660 "$1"', log)
    for name in _wires_in(document, folder):
        there.reach(places.wires / name, f"{folder}/{name}")


def unwire(places: LabPlaces, machine: str) -> None:
    """Take back what a machine on another host had here and there; it is gone. Raises CommandFailed."""
    there, folder = remote(places), folder_there(places)
    with contextlib.suppress(FileNotFoundError):  # it was half made
        for name in _wires_in((places.vms / machine / DESCRIPTION).read_text(), folder):
            there.unreach(places.wires / name, f"{folder}/{name}")
    there.shell('rm -f -- "$1"', str(console_there(folder, machine)))


def _wires_in(document: str, folder: PurePosixPath) -> list[str]:
    """The names of the sockets in this folder that are network cards of a described machine."""
    return sorted(set(re.findall(re.escape(f"{folder}/") + r"([\w.-]+@[\w.-]+)", document)))


def define(places: LabPlaces, there: Any, folder: Path, document: str) -> None:
    """Tell that libvirtd a machine, and keep its description, with all that libvirt adds, in its folder."""
    api, file = binding(), folder / DESCRIPTION
    file.write_text(document)  # a machine that is there has one, whenever we are killed
    _wired(places, folder.name, document)
    made = there.defineXML(document)
    write_whole(file, str(made.XMLDesc(api.VIR_DOMAIN_XML_INACTIVE | api.VIR_DOMAIN_XML_SECURE)))


def hand_over(places: LabPlaces, host: LibvirtHost, machines: Sequence[Path]) -> None:
    """Let that libvirt's QEMU come to the disks in the folders of machines, and to nothing else of the lab.

    Folders stay root's, so that QEMU's account can put no link where root writes; but for the one of sockets.
    """
    places.wires.mkdir(mode=0o700, exist_ok=True)
    if host.uid == 0 or not machines or places.token:
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


def define_all(places: LabPlaces, boots: Sequence[Path]) -> None:
    """Tell that libvirtd the lab's machines, as they are described in the lab's folder.

    boots: their kernel and initramfs.  Raises LabError.
    """
    attach(places, boots)
    with _closing(connection(places)) as there:
        # One without a description was half made, and is made anew.
        described = sorted(places.vms.glob(f"*/{DESCRIPTION}"))
        hand_over(places, look(there, places.libvirt_uri), [file.parent for file in described])
        for file in described:
            document = file.read_text()
            _wired(places, file.parent.name, document)
            try:
                there.defineXML(document)
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
        if places.token:
            _linked(places)
        with _closing(connection(places)) as there:
            for found in there.listAllDomains():
                if _owner_of(found) == places.owner:
                    ran |= _end(found)
        if places.token:
            _leave(places)
    except (HostLacks, CommandFailed, TimedOut, api.libvirtError) as error:
        message = error.message if isinstance(error, LabError) else str(error)
        raise HostLacks(
            f"The machines of lab {places.lab} cannot be ended: {message}",
            details=f"They are in the libvirt at {places.libvirt_uri}.",
            mend=_mend(places),
        ) from None
    shutil.rmtree(places.wires, ignore_errors=True)
    return ran


def _mend(places: LabPlaces) -> str:
    """What may help when that libvirtd does not answer."""
    forget = f"rm {places.elsewhere}"
    if places.token:
        host = remote(places).at.host
        return f"mend the way to {host}, or its libvirtd, and again; if it is gone for good: {forget}"
    return f"systemctl start libvirtd   (or virtqemud), and again; if it is gone for good: {forget}"


def _leave(places: LabPlaces) -> None:
    """Leave nothing on the other host, and end the connection to it. Raises CommandFailed."""
    there = remote(places)
    there.remove_folder(str(folder_there(places)))
    if there.at.kind == "system":  # its libvirt keeps a log of each machine for ever; only root can remove it
        logs = [f"{LOGS}/{domain.title(places.lab, folder.name)}.log" for folder in places.vms.glob("*/")]
        there.shell('for log; do rm -f -- "$log" "$log".*; done 2>/dev/null || :', *logs)
    there.close()


def forget_logs(places: LabPlaces) -> None:
    """Remove what the host's libvirt has written about the lab's machines, which it would keep for ever."""
    for folder in places.vms.glob("*/"):
        forget_log(domain.title(places.lab, folder.name))


def _owner_of(found: Any) -> str:
    """Whose lab a domain is of; "" for others', and for one that went meanwhile."""
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
def _closing(there: Any) -> Iterator[Any]:
    try:
        yield there
    finally:
        with contextlib.suppress(binding().libvirtError):
            there.close()
