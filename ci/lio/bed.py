"""The virtual machine in which the lio driver runs for real: built, booted, spoken to, ended.

Everything lies below one folder. It listens on 127.0.0.1 only, and reaches nothing outside (restrict=on).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import socket
import sys
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from labctl import run  # noqa: E402
from labctl.errors import ActionFailed, HostLacks, LabError  # noqa: E402
from labctl.image import base as bases  # noqa: E402
from labctl.image.build import build  # noqa: E402
from labctl.image.disk import add_layer, pack, pack_folder  # noqa: E402
from labctl.image.family import load_family  # noqa: E402
from labctl.image.store import ImageStore  # noqa: E402
from labctl.places import image_store  # noqa: E402
from labctl.wait import wait_until  # noqa: E402

TAG = "localhost/labctl/lio-vm:debian"
PYTHON = "3.11"  # Debian 12's
SITE = "usr/local/lib/python3.11/dist-packages"
HOME = "/opt/labctl"
SYSTEM_MIB, SPARE_MIB = 12288, 256
BOOT_SECONDS = 300.0
SECRET_MODE = 0o600
DISKS = ("disk", "images")

Say = Callable[[str], None]

# Placed over the image: path → content. The interface's name is pinned by the kernel's command line.
ADDITIONS = {
    "etc/fstab": "LABEL=root / ext4 defaults 0 1\nLABEL=images /var/lib/labctl/images ext4 defaults 0 2\n",
    "etc/hostname": "lio-vm\n",
    # As open-iscsi's installation makes it.
    "etc/iscsi/initiatorname.iscsi": "InitiatorName=iqn.1993-08.org.debian:01:lio-vm\n",
    "etc/hosts": "127.0.0.1 localhost lio-vm\n::1 localhost\n",
    "etc/resolv.conf": "nameserver 10.0.2.3\n",
    "etc/machine-id": "",
    "etc/systemd/network/10-outside.network": (
        "[Match]\nName=eth0\n[Network]\nAddress=10.0.2.15/24\nGateway=10.0.2.2\n"
    ),
    "etc/ssh/sshd_config.d/lio.conf": (
        "HostKey /etc/ssh/ssh_host_ed25519_key\nPermitRootLogin prohibit-password\n"
        "UseDNS no\nUsePAM no\nMaxSessions 64\nMaxStartups 64\n"
    ),
    # Persistent, so that a machine that crashed can be asked afterwards.
    "etc/systemd/journald.conf.d/lio.conf": "[Journal]\nStorage=persistent\nForwardToConsole=no\n",
    # As on hosts that use it: two paths with one name become one device.
    "etc/multipath.conf": "defaults {\n find_multipaths yes\n}\n",
    # podman's run-time state of the machine that the images come from.
    "etc/tmpfiles.d/lio.conf": "R! /var/lib/labctl/images/run\n",
    "usr/local/bin/labctl": f'#!/bin/sh\nPYTHONPATH={HOME} exec python3 -m labctl "$@"\n',
}
MASKED = ("getty@tty1.service", "apt-daily.timer", "apt-daily-upgrade.timer", "e2scrub_all.timer",
          "fstrim.timer", "man-db.timer", "dpkg-db-backup.timer", "systemd-networkd-wait-online.service",
          "open-iscsi.service")  # fmt: skip
ENABLED = {
    "multi-user.target.wants": ("ssh.service", "systemd-networkd.service"),
    "sockets.target.wants": ("iscsid.socket",),
}


@dataclass(frozen=True)
class Bed:
    """A folder that holds the machine: disk.img, vmlinuz, initramfs, images.img, key, port, pid."""

    folder: Path
    say: Say

    # -- building ---------------------------------------------------------------------

    def make(self, *, anew: bool = False) -> None:
        """Build what is not there: the system's disk, and the disk with the node image.

        anew: build both again. Raises LabError.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for program in ("qemu-system-x86_64", "mke2fs", "ssh", "ssh-keygen"):
            if shutil.which(program) is None:
                raise HostLacks(f"The program {program} is not installed.",
                                mend="apt-get install qemu-system-x86 e2fsprogs openssh-client")  # fmt: skip
        store = ImageStore(image_store())
        image = build("debian", store=store, on_line=self.say)
        self._make_system(store, anew)
        stamp = self.folder / "images.of"
        if anew or not stamp.is_file() or stamp.read_text() != image.id:
            self.say("packing the node image")
            stamp.unlink(missing_ok=True)
            with store.locked(self.say):
                store.clear_leftovers()
                pack_folder(store.root, self.folder / "images.img", spare_mib=SPARE_MIB, label="images")
            stamp.write_text(image.id)

    def _make_system(self, store: ImageStore, anew: bool) -> None:
        steps = (Path(__file__).parent / "Containerfile").read_text()
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        needs: list[str] = project["dependencies"]
        inputs = hashlib.sha256(
            repr((steps, needs, ADDITIONS, MASKED, ENABLED, SYSTEM_MIB)).encode()
        ).hexdigest()
        stamp = self.folder / "system.of"
        if not anew and stamp.is_file() and stamp.read_text() == inputs:
            return
        stamp.unlink(missing_ok=True)
        family = load_family("debian")
        base = bases.get_base(store, family, self.say)
        self.say("building the machine's system")
        with store.locked(self.say):
            add_layer(store, base.reference, TAG, steps, on_line=self.say)
        extra = self.folder / "extra"
        shutil.rmtree(extra, ignore_errors=True)
        self._additions(extra, needs)
        self.say("packing the machine's disk")
        pack(store, TAG, self.folder, size_mib=SYSTEM_MIB, extra=extra)
        shutil.rmtree(extra)
        stamp.write_text(inputs)

    def _additions(self, extra: Path, needs: Sequence[str]) -> None:
        os.umask(0o022)
        for name, content in ADDITIONS.items():
            path = extra / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
            path.chmod(0o755 if "/bin/" in name else 0o644)
        units = extra / "etc/systemd/system"
        units.mkdir(parents=True, exist_ok=True)
        for unit in MASKED:
            (units / unit).symlink_to("/dev/null")
        for target, names in ENABLED.items():
            (units / target).mkdir()
            for unit in names:
                (units / target / unit).symlink_to(f"/lib/systemd/system/{unit}")
        (extra / "var/lib/labctl/images").mkdir(parents=True)
        (extra / HOME.lstrip("/")).mkdir(parents=True)
        root, ssh = extra / "root", extra / "root/.ssh"
        ssh.mkdir(parents=True)
        root.chmod(0o700)
        ssh.chmod(0o700)
        for key in ("key", "host-key"):
            for old in (self.folder / key, self.folder / f"{key}.pub"):
                old.unlink(missing_ok=True)
            run.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.folder / key], timeout=30)
        shutil.copy(self.folder / "key.pub", ssh / "authorized_keys")
        (ssh / "authorized_keys").chmod(SECRET_MODE)
        server = extra / "etc/ssh/ssh_host_ed25519_key"
        shutil.copy(self.folder / "host-key", server)
        server.chmod(SECRET_MODE)
        # What labctl itself needs, for the machine's Python and not for the one that runs here.
        # fmt: off
        run.run([sys.executable, "-m", "pip", "install", "-q", "--target", extra / SITE, "--no-compile",
                 "--python-version", PYTHON, "--only-binary", ":all:", *needs], timeout=600)
        # fmt: on

    # -- power ------------------------------------------------------------------------

    def boot(self, *, memory_mib: int = 6144, processors: int = 2) -> None:
        """Start the machine and wait for its ssh. Its disks stay as they are: all writes go to overlays."""
        if self._pid():
            return
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        for name in DISKS:
            overlay = self.folder / f"{name}.qcow2"
            overlay.unlink(missing_ok=True)
            # fmt: off
            run.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b",
                     self.folder / f"{name}.img", overlay], timeout=60)
            # fmt: on
        console = self.folder / "console.log"
        console.unlink(missing_ok=True)
        (self.folder / "port").write_text(str(port))
        self.say(f"booting (ssh on 127.0.0.1:{port})")
        # fmt: off
        run.run(
            ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", str(processors),
             "-m", str(memory_mib), "-display", "none", "-nodefaults", "-no-reboot",
             "-daemonize", "-pidfile", self.folder / "pid", "-serial", f"file:{console}",
             "-kernel", self.folder / "vmlinuz", "-initrd", self.folder / "initramfs",
             "-append", "root=LABEL=root rw console=ttyS0 net.ifnames=0 quiet panic=1 mitigations=off",
             "-drive", f"file={self.folder}/disk.qcow2,if=virtio,cache=unsafe",
             "-drive", f"file={self.folder}/images.qcow2,if=virtio,cache=unsafe",
             "-netdev", f"user,id=n,restrict=on,hostfwd=tcp:127.0.0.1:{port}-:22",
             "-device", "virtio-net-pci,netdev=n", "-device", "virtio-rng-pci"],
            timeout=60)
        # fmt: on
        wait_until(
            "the machine's ssh",
            lambda: not self._pid() or self.ssh(["true"], timeout=20, check=False).ok,
            timeout=BOOT_SECONDS,
            every=1.0,
            last_seen=self.console,
        )
        if not self._pid():
            raise ActionFailed("The machine ended while it booted.", details=self.console())

    def console(self) -> str:
        """The last lines of the serial console."""
        with contextlib.suppress(OSError):
            lines = (self.folder / "console.log").read_text(errors="replace").splitlines()
            return "\n".join(lines[-15:])
        return "nothing"

    def stop(self) -> None:
        """End the machine and its overlays."""
        pid = self._pid()
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            wait_until("qemu to end", lambda: not self._pid(), timeout=20)
        for name in (*(f"{disk}.qcow2" for disk in DISKS), "pid", "port"):
            (self.folder / name).unlink(missing_ok=True)

    def _pid(self) -> int:
        """qemu's process id, 0 when it does not run."""
        with contextlib.suppress(OSError, ValueError):
            pid = int((self.folder / "pid").read_text())
            # A zombie has an empty command line.
            if str(self.folder).encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
        return 0

    # -- speaking ---------------------------------------------------------------------

    def words(self) -> list[str]:
        """The ssh command up to the remote words."""
        # fmt: off
        return ["ssh", "-F", "none", "-i", str(self.folder / "key"), "-p",
                (self.folder / "port").read_text(), "-o", "BatchMode=yes", "-o", "LogLevel=ERROR",
                "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
                "-o", "ConnectTimeout=15", "-o", "ServerAliveInterval=20", "-o", "ServerAliveCountMax=6",
                "root@127.0.0.1"]
        # fmt: on

    def ssh(self, argv: Sequence[str], *, timeout: float, check: bool = True) -> run.Result:
        """Run words in the machine, quoted for its shell. Raises as labctl.run.run."""
        import shlex

        return run.run([*self.words(), shlex.join(argv)], timeout=timeout, check=check)

    def stream(self, argv: Sequence[str], *, timeout: float) -> run.Result:
        """Like ssh, with its lines said as they come. Raises TimedOut."""
        import shlex

        return run.stream([*self.words(), shlex.join(argv)], timeout=timeout, on_line=self.say)

    def sync(self) -> None:
        """Bring this clone's files into the machine. Raises CommandFailed."""
        packed = self.folder / "clone.tar"
        # fmt: off
        run.run(["tar", "--create", "--file", packed, "--directory", ROOT, "--exclude=./.git",
                 "--exclude=./.venv", "--exclude=__pycache__", "--exclude=.*_cache", "."], timeout=60)
        words = self.words()
        port = words.index("-p")
        run.run(["scp", "-q", *words[1:port], "-P", words[port + 1], *words[port + 2:-1],
                 packed, f"{words[-1]}:/run/clone.tar"], timeout=120)
        # fmt: on
        packed.unlink()
        # Aside, then swapped: a lab that runs imports from there.
        swap = "rm -rf $0.new $0.old && mkdir $0.new && tar -xf /run/clone.tar -C $0.new --no-same-owner"
        swap += " && mv $0 $0.old && mv $0.new $0 && rm -rf $0.old"
        self.ssh(["sh", "-c", swap, HOME], timeout=180)


__all__ = ["HOME", "ROOT", "Bed", "LabError"]
