"""A libvirtd that plays the host's: a daemon with folders and accounts of its own, in namespaces of its own.

What it would keep in /etc, /var and /run lies in one folder, so that the real host's stays as it is.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from labctl.bubble.start import OWN_NAMESPACES
from labctl.run import run, spawn
from labctl.wait import wait_until

ACCOUNT = 64055  # Debian's libvirt-qemu
SOMEBODY = 64100  # a user of that host, who may use its libvirtd
FOLDERS = ("etc/libvirt", "var/lib/libvirt", "var/cache/libvirt", "var/log/libvirt")
# The shell is PID 1 and reaps: QEMU leaves the daemon's family, and would be killed for ever as a zombie.
SCRIPT = """
set -e
home=$1
mount -t tmpfs -o mode=755 tmpfs /run
for name in passwd group; do mount --bind "$home/$name" "/etc/$name"; done
for name in etc/libvirt var/lib/libvirt var/cache/libvirt var/log/libvirt; do
    mount --bind "$home/$name" "/$name"
done
# As hosts have it for their accounts: where it is root's alone, libvirt asks QEMU about it at every call.
[ ! -e /dev/kvm ] || { mknod -m 666 "$home/kvm" c 10 232 && mount --bind "$home/kvm" /dev/kvm; }
virtlogd --daemon
while :; do libvirtd --config "$home/libvirtd.conf" & wait $! || true; sleep 0.5; done
"""


class HostLibvirt:
    """One such daemon. uri: where it answers."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.uri = f"qemu+unix:///system?socket={home}/sock/libvirt-sock"

    def virsh(self, *words: str) -> str:
        return run(["virsh", "--connect", self.uri, *words], timeout=120).stdout

    def machines(self) -> list[str]:
        """The names of all domains there, on or off."""
        return sorted(self.virsh("list", "--all", "--name").split())

    def accounts(self, lab: str) -> set[int]:
        """The users that run this lab's QEMUs."""
        found = set()
        for entry in Path("/proc").iterdir():
            with suppress(OSError):
                if (
                    entry.name.isdigit()
                    and f"guest=labctl-{lab}-".encode() in (entry / "cmdline").read_bytes()
                ):
                    found.add(entry.stat().st_uid)
        return found

    def leftovers(self) -> list[str]:
        """What it has kept of any of its machines, but for its log and what it knows of QEMU."""
        places = [self.home / "var/lib/libvirt", self.home / "etc/libvirt/qemu"]
        return sorted(str(path) for place in places for path in place.rglob("*labctl*"))


@contextmanager
def host_libvirt(home: Path) -> Iterator[HostLibvirt]:
    """Start it below this folder, which its account must be able to enter; it ends with all it started."""
    made = [Path("/", name) for name in FOLDERS if not Path("/", name).is_dir()]
    for name in (*FOLDERS, "sock"):
        (home / name).mkdir(parents=True)
    for name, entry in (("passwd", ":x:{0}:{0}::/:/usr/sbin/nologin"), ("group", ":x:{0}:")):
        text = Path("/etc", name).read_text()
        own = "" if "libvirt-qemu:" in text else f"libvirt-qemu{entry.format(ACCOUNT)}\n"
        own += f"somebody{entry.format(SOMEBODY)}\n"
        (home / name).write_text(text + own)
    (home / "libvirtd.conf").write_text(
        f'unix_sock_dir = "{home}/sock"\nauth_unix_rw = "none"\nauth_unix_ro = "none"\n'
        'unix_sock_rw_perms = "0777"\n'
    )
    (home / "etc/libvirt/qemu.conf").write_text("cgroup_controllers = []\n")
    for place in made:
        place.mkdir(mode=0o755)
    process = spawn([*OWN_NAMESPACES, "bash", "-c", SCRIPT, "host", str(home)], log_file=home / "log")
    try:
        found = HostLibvirt(home)
        wait_until("the host's libvirtd", lambda: _answers(found), timeout=120, every=0.5)
        yield found
    finally:
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=20)
        for place in made:
            with suppress(OSError):  # a lab's own libvirtd uses it meanwhile
                place.rmdir()


def _answers(host: HostLibvirt) -> bool:
    return run(["virsh", "--connect", host.uri, "version"], timeout=60, check=False).ok
