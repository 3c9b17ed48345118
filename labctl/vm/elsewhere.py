"""The trial guest (labctl.vm.trial) in a libvirtd that is not ours: what its QEMU may do is its own affair.

Its account may not open /dev/kvm, or not come to the lab's files; so the guest is started as the lab's
machines will be.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol
from xml.etree import ElementTree as ET

from labctl.engine.libvirt_binding import binding
from labctl.engine.libvirt_host import LibvirtHost, confine, connect, forget_log, look
from labctl.engine.remote import FOLDER, Remote, for_a_while, is_remote
from labctl.errors import LabError, TimedOut
from labctl.places import vm_images
from labctl.vm.trial import CMDLINE, MARKER, MEMORY_MIB, Bootable, Kind, Trial
from labctl.wait import wait_until

BRING_SECONDS = 600.0
SERIAL_BYTES = 65536
# What a killed labctl has left on another host.
SWEEP = 'find "$1" -maxdepth 1 -name "labctl-trial-*" -user "$(id -u)" -mmin +60 -exec rm -rf {} +'


class Site(Protocol):
    """Where a trial's guest is: what its QEMU reads and writes."""

    def open(self, image: Bootable, host: LibvirtHost) -> tuple[str, str, str, LibvirtHost]:
        """A place for one guest: paths of kernel, initramfs and serial port, and whom its QEMU runs as."""
        ...

    def said(self) -> str:
        """What the guest has written to its serial port."""
        ...

    def close(self) -> None: ...


class Here:
    """A libvirtd of this host."""

    def open(self, image: Bootable, host: LibvirtHost) -> tuple[str, str, str, LibvirtHost]:
        self._folder = Path(tempfile.mkdtemp(prefix=".trial-", dir=vm_images()))
        self._serial = self._folder / "serial"
        self._serial.touch(mode=0o600)
        os.chown(self._folder, 0, host.gid)
        self._folder.chmod(0o710)
        os.chown(self._serial, host.uid, host.gid)
        return str(image.kernel), str(image.initramfs), str(self._serial), host

    def said(self) -> str:
        return self._serial.read_text(errors="replace")

    def close(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


class There:
    """A libvirtd of another host."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote
        self._folder = str(FOLDER / f"labctl-trial-{secrets.token_hex(4)}")

    def open(self, image: Bootable, host: LibvirtHost) -> tuple[str, str, str, LibvirtHost]:
        gid = self._remote.make_folder(self._folder)
        self._remote.shell(SWEEP, str(FOLDER), check=False)
        self._remote.send([image.kernel, image.initramfs], self._folder, timeout=BRING_SECONDS)
        self._remote.shell('cd -- "$1" && : >serial && chmod 660 -- *', self._folder)
        names = (image.kernel.name, image.initramfs.name, "serial")
        kernel, initramfs, serial = (f"{self._folder}/{name}" for name in names)
        return kernel, initramfs, serial, replace(host, gid=gid)

    def said(self) -> str:
        return self._remote.read(f"{self._folder}/serial", SERIAL_BYTES)

    def close(self) -> None:
        with contextlib.suppress(LabError):
            self._remote.remove_folder(self._folder)


@contextlib.contextmanager
def by_libvirt(uri: str) -> Iterator[ByLibvirt]:
    """The trial by the libvirtd at a URI. Raises HostLacks, NotPermitted."""
    with contextlib.ExitStack() as stack:
        site: Site = Here()
        address = uri
        if is_remote(uri):
            remote, address = stack.enter_context(for_a_while(uri))
            site = There(remote)
        connection = connect(address, uri)
        try:
            yield ByLibvirt(uri, connection, site)
        finally:
            with contextlib.suppress(binding().libvirtError):
                connection.close()


class ByLibvirt:
    """labctl.vm.accel.Runner, by a libvirtd."""

    def __init__(self, uri: str, connection: Any, site: Site) -> None:
        self._uri = uri
        self._name = f"labctl-trial-{secrets.token_hex(4)}"
        self._connection = connection
        self._site = site
        self._host = look(connection, uri)

    def cache_file(self) -> Path:
        """Where answers of this libvirtd are kept, apart from QEMU's that we start ourselves."""
        name = hashlib.sha256(self._uri.encode()).hexdigest()[:8]
        return vm_images() / f"acceleration-{name}.json"

    @property
    def version(self) -> str:
        """What its answer depends on beside the image."""
        return f"{self._connection.getVersion()} {self._connection.getLibVersion()} {self._host.uid}"

    @property
    def unusable(self) -> str:
        """Why KVM need not be tried at all; only the trial tells."""
        return ""

    def attempt(self, kind: Kind, image: Bootable, limit: float) -> Trial:
        """Start the guest and wait for its marker, at most limit seconds."""
        api = binding()
        guest: Any = None
        kernel, initramfs, serial, host = self._site.open(image, self._host)
        start = time.monotonic()

        def told() -> str:
            if MARKER in self._site.said():
                return "began"
            return "" if guest.isActive() else "ended"

        try:
            # It goes with our connection, so a killed labctl leaves none.
            guest = self._connection.createXML(
                self._document(kind, (kernel, initramfs), serial, host), api.VIR_DOMAIN_START_AUTODESTROY
            )
            if wait_until("the guest", told, timeout=limit, every=0.05) == "began":
                return Trial(min(time.monotonic() - start, guest.info()[4] / 1e9))
        except api.libvirtError as error:
            return Trial(None, f"that libvirt says: {str(error).partition(chr(10))[0]}")
        except TimedOut:
            return Trial(None, f"a guest ran for {limit:.0f} s and had not booted")
        finally:
            if guest is not None:
                with contextlib.suppress(api.libvirtError):  # it ended by itself
                    guest.destroy()
            forget_log(self._name)
            self._site.close()
        return Trial(None, "a guest ended by itself")

    def _document(self, kind: Kind, boots: tuple[str, str], serial: str, host: LibvirtHost) -> str:
        domain = ET.Element("domain", type="kvm" if kind == "kvm" else "qemu")
        ET.SubElement(domain, "name").text = self._name
        ET.SubElement(domain, "memory", unit="MiB").text = str(MEMORY_MIB)
        system = ET.SubElement(domain, "os")
        ET.SubElement(system, "type", arch="x86_64", machine="pc").text = "hvm"
        for tag, value in (("kernel", boots[0]), ("initrd", boots[1]), ("cmdline", CMDLINE)):
            ET.SubElement(system, tag).text = value
        ET.SubElement(domain, "cpu", mode="host-passthrough" if kind == "kvm" else "maximum")
        for event in ("on_poweroff", "on_reboot", "on_crash"):
            ET.SubElement(domain, event).text = "destroy"
        devices = ET.SubElement(domain, "devices")
        port = ET.SubElement(devices, "serial", type="file")
        # Without append libvirt makes the file anew, for itself alone.
        ET.SubElement(port, "source", path=serial, append="on")
        ET.SubElement(devices, "controller", type="usb", model="none")
        ET.SubElement(devices, "memballoon", model="none")
        confine(domain, host)
        return ET.tostring(domain, encoding="unicode")
