"""The trial guest (labctl.vm.trial) in a libvirtd that is not ours: what its QEMU may do is its own affair.

Its account may not open /dev/kvm, or not come to the lab's files; so the guest is started as the lab's
machines will be.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any
from xml.etree import ElementTree as ET

from labctl.engine.libvirt_binding import binding
from labctl.engine.libvirt_host import confine, connect, forget_log, look
from labctl.errors import TimedOut
from labctl.places import vm_images
from labctl.vm.trial import CMDLINE, MARKER, MEMORY_MIB, Bootable, Kind, Trial
from labctl.wait import wait_until


class ByLibvirt:
    """labctl.vm.accel.Runner, by the libvirtd at a URI."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._name = f"labctl-trial-{os.getpid()}"
        self._connection: Any = None

    def __enter__(self) -> ByLibvirt:
        self._connection = connect(self._uri)
        self._host = look(self._connection, self._uri)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(binding().libvirtError):
            self._connection.close()

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
        api, folder = binding(), Path(tempfile.mkdtemp(prefix=".trial-", dir=vm_images()))
        serial = folder / "serial"
        serial.touch(mode=0o600)
        os.chown(folder, 0, self._host.gid)
        folder.chmod(0o710)
        os.chown(serial, self._host.uid, self._host.gid)
        guest: Any = None
        start = time.monotonic()

        def told() -> str:
            if MARKER in serial.read_text(errors="replace"):
                return "began"
            return "" if guest.isActive() else "ended"

        try:
            # It goes with our connection, so a killed labctl leaves none.
            guest = self._connection.createXML(
                self._document(kind, image, serial), api.VIR_DOMAIN_START_AUTODESTROY
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
            shutil.rmtree(folder, ignore_errors=True)
        return Trial(None, "a guest ended by itself")

    def _document(self, kind: Kind, image: Bootable, serial: Path) -> str:
        domain = ET.Element("domain", type="kvm" if kind == "kvm" else "qemu")
        ET.SubElement(domain, "name").text = self._name
        ET.SubElement(domain, "memory", unit="MiB").text = str(MEMORY_MIB)
        system = ET.SubElement(domain, "os")
        ET.SubElement(system, "type", arch="x86_64", machine="pc").text = "hvm"
        for tag, value in (("kernel", image.kernel), ("initrd", image.initramfs), ("cmdline", CMDLINE)):
            ET.SubElement(system, tag).text = str(value)
        ET.SubElement(domain, "cpu", mode="host-passthrough" if kind == "kvm" else "maximum")
        for event in ("on_poweroff", "on_reboot", "on_crash"):
            ET.SubElement(domain, event).text = "destroy"
        devices = ET.SubElement(domain, "devices")
        port = ET.SubElement(devices, "serial", type="file")
        ET.SubElement(port, "source", path=str(serial))
        ET.SubElement(devices, "controller", type="usb", model="none")
        ET.SubElement(devices, "memballoon", model="none")
        confine(domain, self._host)
        return ET.tostring(domain, encoding="unicode")
