"""Another host's libvirtd, by ssh(1): one connection carries all that a lab and its machines there exchange.

A control master (ssh_config(5), ControlMaster) holds it. libvirtd's socket, the machines' network cards and
their disks are unix sockets that it forwards: nothing listens on a network of either host, and nothing is in
the clear. It needs an account there that may use that libvirtd, and a shell.
"""

from __future__ import annotations

import contextlib
import shlex
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qs, urlsplit

from labctl.errors import CommandFailed, HostLacks, LabError, TimedOut, UsageError
from labctl.run import Process, Result, kill_group, run, spawn
from labctl.wait import wait_until

CONNECT_SECONDS = 20
SHELL_SECONDS = 30.0
# A connection that has died takes the machines' disks along: better a late end than a false one.
KEEPALIVE = ("ServerAliveInterval=15", "ServerAliveCountMax=8")
# What the user's configuration may have for that host, and a lab must not open by itself.
NOTHING_MORE = (
    "ClearAllForwardings=yes", "ForwardAgent=no", "ForwardX11=no", "PermitLocalCommand=no",
    "RemoteCommand=none",
)  # fmt: skip
PARAMETERS = frozenset({"socket", "keyfile", "known_hosts"})
SCHEME = "qemu+ssh"
# The modular daemon's before the monolithic one's, as libvirt looks for them.
SOCKETS = ("virtqemud-sock", "libvirt-sock")
IN_SESSION = 'cd "${XDG_RUNTIME_DIR:-/run/user/$(id -u)}" && set -- "$PWD/$1" "$PWD/$2" || exit 1; '
FOLDER = PurePosixPath("/var/tmp")  # noqa: S108 (there, with a name that nobody can guess)

FIND_SOCKET = 'for one; do [ ! -S "$one" ] || { printf %s "$one"; exit; }; done; exit 1'
# The account's own folder; QEMU, which runs with this account's group, makes sockets in it.
MAKE_FOLDER = (
    'mkdir -m 700 "$1" 2>/dev/null || { [ -d "$1" ] && [ ! -L "$1" ] && [ -O "$1" ]; } || exit 1; '
    'chgrp "$(id -g)" "$1" && chmod 770 "$1" && id -g'
)


@dataclass(frozen=True)
class RemoteUri:
    """kind: system or session.  socket, keyfile, known_hosts: as libvirt has them, "" when not given."""

    host: str
    user: str
    port: int
    kind: str
    socket: str
    keyfile: str
    known_hosts: str

    @property
    def destination(self) -> str:
        return f"{self.user}@{self.host}" if self.user else self.host

    @property
    def options(self) -> list[str]:
        """ssh's own words for it."""
        words = ["-o", "BatchMode=yes"]
        if self.port:
            words += ["-o", f"Port={self.port}"]
        if self.keyfile:
            words += ["-o", f"IdentityFile={_quoted(self.keyfile)}", "-o", "IdentitiesOnly=yes"]
        if self.known_hosts:
            words += ["-o", f"UserKnownHostsFile={_quoted(self.known_hosts)}"]
        return words


def is_remote(uri: str) -> bool:
    """Whether a URI names another host."""
    try:
        return bool(urlsplit(uri).hostname)
    except ValueError:
        return False


def parse(uri: str) -> RemoteUri:
    """A URI of another host's QEMU (https://libvirt.org/uri.html#ssh-transport). Raises UsageError."""
    try:
        parts = urlsplit(uri)
        host, user, port = parts.hostname or "", parts.username or "", parts.port or 0
        asked = parse_qs(parts.query, strict_parsing=bool(parts.query))
    except ValueError:
        raise _refused(uri, "It is no URI.") from None
    if parts.scheme != SCHEME:
        raise _refused(uri, "Another host is reached by ssh, which carries networks and disks, too.")
    if not host or host.startswith("-") or user.startswith("-"):
        raise _refused(uri, "It names no host.")
    if unknown := set(asked) - PARAMETERS:
        raise _refused(
            uri, f"{', '.join(sorted(unknown))}: not known here; ssh_config(5) is the place for all else."
        )
    values = {name: found[0] for name, found in asked.items()}
    if parts.path not in ("/system", "/session"):
        raise _refused(uri, "It ends in /system or /session.")
    if any(not value.startswith("/") or "\n" in value for value in values.values()):
        raise _refused(uri, "Its files are absolute paths.")
    get = values.get
    return RemoteUri(host, user, port, parts.path[1:], get("socket", ""), get("keyfile", ""),
                     get("known_hosts", ""))  # fmt: skip


def _refused(uri: str, why: str) -> UsageError:
    return UsageError(
        f"{uri!r} is no libvirt of another host that labctl can use.",
        details=why,
        mend="labctl up --mode vm --libvirt-uri qemu+ssh://USER@HOST/system",
    )


class Remote:
    """One connection. folder: of this end's sockets; made when it opens."""

    def __init__(self, uri: str, folder: Path) -> None:
        self.at = parse(uri)
        self.folder = folder
        self._child: Process | None = None

    @property
    def _control_path(self) -> str:
        return _quoted(str(self.folder / "ssh").replace("%", "%%"))

    @property
    def _words(self) -> list[str]:
        # Without a master that answers these would connect anew, and then forward nothing. The user's
        # configuration is for the master: here it would add forwardings of its own.
        return ["-F", "none", "-o", f"ControlPath={self._control_path}", "-o", "ProxyCommand=false"]

    @property
    def alive(self) -> bool:
        """Whether the connection stands."""
        return (self.folder / "ssh").exists() and self._control("check", check=False).ok

    def open(self, *, lasting: bool = True) -> None:
        """Connect, unless that has been done. lasting: beyond our own end.

        Raises HostLacks with what ssh said.
        """
        if self.alive:
            return
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        log = self.folder / "ssh.log"
        for left in (log, self.folder / "ssh"):
            left.unlink(missing_ok=True)
        options = [
            f"ControlPath={self._control_path}", f"ConnectTimeout={CONNECT_SECONDS}", "ControlPersist=no",
            "StreamLocalBindUnlink=yes", *KEEPALIVE, *NOTHING_MORE,
        ]  # fmt: skip
        words = [] if lasting else ["setpriv", "--pdeathsig", "KILL", "--"]
        words += ["ssh", "-M", "-N", "-T", *self.at.options]
        for option in options:
            words += ["-o", option]
        process = spawn([*words, self.at.destination], log_file=log)
        if not self._stands(process):
            kill_group(process)
            process.wait(timeout=10)
            raise HostLacks(
                f"ssh does not get to {self.at.destination}.",
                details=log.read_text(errors="replace").strip()[-2000:],
                mend=f"make this work without a question, as root: ssh {self._to_type()} true   "
                "(ssh-copy-id gives a host your key)",
            )
        if lasting:
            process.returncode = 0  # it outlives us, so Popen must not wait for it
        else:
            self._child = process

    def _stands(self, process: Process) -> bool:
        """Whether the connection comes about before its process ends."""

        def told() -> str:
            return "ended" if process.poll() is not None else "stands" if self.alive else ""

        with contextlib.suppress(TimedOut):
            return (
                wait_until(f"the connection to {self.at.host}", told, timeout=3 * CONNECT_SECONDS) == "stands"
            )
        return False

    def _to_type(self) -> str:
        words = [f"-p {self.at.port}"] if self.at.port else []
        if self.at.keyfile:
            words.append(f"-i {shlex.quote(self.at.keyfile)}")
        return " ".join([*words, shlex.quote(self.at.destination)])

    def close(self) -> None:
        """End the connection, with all that it forwards, and remove this end's folder."""
        if (self.folder / "ssh").exists():
            self._control("exit", check=False)
        if self._child is not None:
            kill_group(self._child)
            self._child.wait(timeout=10)
        shutil.rmtree(self.folder, ignore_errors=True)

    def shell(
        self,
        script: str,
        *words: str,
        timeout: float = SHELL_SECONDS,
        check: bool = True,
        stdin: Path | None = None,
    ) -> Result:
        """Run a line of POSIX shell there; words are its parameters, stdin a file of ours.

        Raises CommandFailed, unless check is False; TimedOut.
        """
        line = shlex.join(["sh", "-c", script, "sh", *words])
        argv = ["ssh", *self._words, self.at.destination, line]
        return run(argv, timeout=timeout, check=check, stdin=stdin)

    def send(self, files: Sequence[Path], there: str, *, timeout: float) -> None:
        """Copy files into a folder there. Raises HostLacks, TimedOut."""
        for file in files:
            sent = self.shell(
                'cat >"$1"', f"{there}/{file.name}", timeout=timeout, check=False, stdin=file
            )  # fmt: skip
            if not sent.ok:
                raise HostLacks(
                    f"{file.name} could not be copied to {self.at.host}.",
                    details=sent.describe(),
                    mend=f"make room there: ssh {self._to_type()} df -h {there}",
                )

    def reach(self, near: Path, far: str) -> None:
        """Have a socket here lead to one there, which may come later. Raises CommandFailed."""
        self._control("forward", "-L", f"{_escaped(str(near))}:{_escaped(far)}")

    def unreach(self, near: Path, far: str) -> None:
        """Take reach() back."""
        self._control("cancel", "-L", f"{_escaped(str(near))}:{_escaped(far)}", check=False)
        near.unlink(missing_ok=True)

    def offer(self, far: str, near: Path) -> None:
        """Have a socket there, for that account's group, lead to one here. Raises CommandFailed."""
        way = ("-R", f"{_escaped(far)}:{_escaped(str(near))}")
        self._control("cancel", *way, check=False)  # one that is there already would not be made again
        self.shell('rm -f "$1"', far)
        self._control("forward", *way)
        self.shell('chmod 660 "$1"', far)

    def libvirt_socket(self) -> str:
        """That libvirtd's, there. Raises HostLacks."""
        if self.at.socket:
            places = [self.at.socket]
            script = FIND_SOCKET
        elif self.at.kind == "system":
            places = [f"/run/libvirt/{name}" for name in SOCKETS]
            script = FIND_SOCKET
        else:
            places = [f"libvirt/{name}" for name in SOCKETS]
            script = IN_SESSION + FIND_SOCKET
        found = self.shell(script, *places, check=False)
        if found.ok and found.stdout:
            return found.stdout
        raise HostLacks(
            f"No libvirt answers on {self.at.host}: there is no socket {' or '.join(places)}.",
            details=found.stderr.strip(),
            mend=f"on {self.at.host}: systemctl start libvirtd   (or virtqemud.socket; a session's: virsh "
            "--connect qemu:///session list)",
        )

    def make_folder(self, there: str) -> int:
        """Make a folder there that only this account, and QEMU with its group, gets into: that group's gid.

        Raises HostLacks when it is somebody else's.
        """
        made = self.shell(MAKE_FOLDER, there, check=False)
        if not made.ok:
            raise HostLacks(
                f"The folder {there} cannot be made on {self.at.host}.",
                details=made.describe(),
                mend=f"make room and rights there: ssh {self._to_type()} ls -ld {there} {FOLDER}",
            )
        return int(made.stdout)

    def remove_folder(self, there: str) -> None:
        """Remove it with all that is in it. Raises CommandFailed."""
        self.shell('rm -rf -- "$1"', there)

    def read(self, file: str, most: int) -> str:
        """The last bytes, at most so many, of a text there; "" without it, or without an answer."""
        with contextlib.suppress(CommandFailed, TimedOut):
            return self.shell('tail -c "$1" -- "$2"', str(most), file).stdout
        return ""

    def resources(self) -> tuple[str, int]:
        """That host's /proc/meminfo, and how many processors it has. Raises CommandFailed, TimedOut."""
        said = self.shell("nproc && cat /proc/meminfo").stdout
        processors, _, meminfo = said.partition("\n")
        return meminfo, int(processors)

    def append(self, file: str, text: str) -> None:
        """Add a text to a file there. Raises CommandFailed, TimedOut."""
        self.shell('printf %s "$1" >>"$2"', text, file)

    def _control(self, command: str, *words: str, check: bool = True) -> Result:
        return run(
            ["ssh", *self._words, "-O", command, *words, self.at.destination], timeout=30, check=check
        )  # fmt: skip


@contextlib.contextmanager
def for_a_while(uri: str) -> Iterator[tuple[Remote, str]]:
    """A connection of its own to that host, and the URI by which its libvirtd is reached meanwhile.

    Raises HostLacks.
    """
    remote = Remote(uri, Path(tempfile.mkdtemp(prefix="labctl-ssh-")))
    try:
        remote.open(lasting=False)
        yield remote, reach_libvirt(remote, remote.folder / "libvirt-sock")
    finally:
        with contextlib.suppress(LabError):
            remote.close()


def reach_libvirt(remote: Remote, near: Path) -> str:
    """Have a socket here lead to that libvirtd: the URI of it. Raises HostLacks."""
    remote.reach(near, remote.libvirt_socket())
    return f"qemu+unix:///{remote.at.kind}?socket={near}"


def _quoted(value: str) -> str:
    """A value for ssh -o, which takes it apart at blanks."""
    return f'"{value}"' if " " in value else value


def _escaped(path: str) -> str:
    """A path in a forwarding, whose parts colons separate."""
    return path.replace("\\", "\\\\").replace(":", "\\:")
