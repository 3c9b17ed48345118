"""Sessions of the kernel's initiator, one per node under its own name, made by the host's iscsid.

The initiator's netlink socket exists in the first network namespace only, so iscsiadm runs there.
iscsiadm(8) knows a session by its interface record ("iface"): ours are called labctl.LAB.NODE.
Records lie where the distribution has them, so the host's own iscsiadm shows them, too.
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from labctl.errors import ActionFailed, LabError
from labctl.run import Result, run
from labctl.storage import lio_kernel
from labctl.storage.lio_kernel import Session
from labctl.wait import wait_until

log = logging.getLogger(__name__)

PREFIX = "labctl"
LOOPBACK = "127.0.0.1"
# Where distributions keep open-iscsi's records: Debian, SUSE; Red Hat.
RECORD_ROOTS = (Path("/etc/iscsi"), Path("/var/lib/iscsi"))
LOGIN_SECONDS = 40.0
LOGOUT_SECONDS = 10.0
GONE_SECONDS = 15.0
NO_OBJECTS = 21  # ISCSI_ERR_NO_OBJS_FOUND, iscsiadm(8)
ALREADY = 15  # ISCSI_ERR_SESS_EXISTS


@dataclass(frozen=True)
class Account:
    """CHAP: user and password; mutual: what the target answers with."""

    user: str
    password: str = field(repr=False)
    mutual_user: str = ""
    mutual_password: str = field(default="", repr=False)


@dataclass(frozen=True)
class Initiator:
    """Runs iscsiadm in the host's network namespace.

    enter: words before each command, and the file descriptors that they name, where the caller is not
    in that namespace (labd's nsenter).
    """

    enter: tuple[str, ...] = ()
    fds: tuple[int, ...] = ()
    sys: Path = lio_kernel.SYS
    roots: tuple[Path, ...] = RECORD_ROOTS

    def iscsiadm(self, *words: str, timeout: float = 15.0, accept: Sequence[int] = ()) -> Result:
        """Raises CommandFailed for an exit code that is neither 0 nor accepted, HostLacks, TimedOut."""
        result = run([*self.enter, "iscsiadm", *words], timeout=timeout, check=False, pass_fds=self.fds)
        if not result.ok and result.rc not in accept:
            raise ActionFailed("The host's iscsiadm failed.", details=result.describe(),
                               mend="systemctl status iscsid.service   (on the host)")  # fmt: skip
        return result

    def session(self, iface: str) -> Session | None:
        """The session that was made through this iface."""
        return next((one for one in lio_kernel.sessions(self.sys) if one.iface == iface), None)

    def log_in(self, iface: str, initiator: str, target: str, port: int, chap: Account | None) -> Session:
        """Make the record and log in. The host never logs in by itself: node.startup is manual.

        Raises ActionFailed when the target refuses or nothing answers in time.
        """
        # With the portal group's tag, or the record is one file for all ifaces.
        portal = f"{LOOPBACK}:{port},1"
        self.forget(iface)
        record = ("-m", "iface", "-I", iface)
        self.iscsiadm(*record, "-o", "new")
        self.iscsiadm(*record, "-o", "update", "-n", "iface.initiatorname", "-v", initiator)
        node = ("-m", "node", "-T", target, "-p", portal, "-I", iface)
        self.iscsiadm(*node, "-o", "new")
        self._write(iface, _settings(chap))
        result = self.iscsiadm(*node, "--login", timeout=LOGIN_SECONDS, accept=range(1, 256))
        if not result.ok and result.rc != ALREADY:
            self.forget(iface)
            raise ActionFailed(
                f"{initiator} could not log in to {target}.",
                details=f"{explain(result.rc)}\n{result.describe()}",
            )
        found = self.session(iface)
        if found is None:
            raise ActionFailed(f"The session of {initiator} ended at once.", details=result.describe())
        return found

    def end(self, session: Session) -> None:
        """Cut a session: what waits or is dirty in memory is not written any more. Raises ActionFailed."""
        try:
            lio_kernel.set_offline(session, self.sys)
        except ActionFailed as error:
            # The kernel refuses it for a disk that is blocked, since its connection is down: nothing gets
            # through now, and what gets through before the session has ended was before this cut.
            log.info("%s", error)
        self.log_out(session)

    def log_out(self, session: Session) -> None:
        """End a session; its record stays. Raises ActionFailed when it is still there after the deadline."""
        result = None
        with contextlib.suppress(LabError):
            result = self.iscsiadm(
                "-m", "session", "-r", str(session.sid), "-u", timeout=LOGOUT_SECONDS, accept=range(1, 256)
            )
        wait_until(
            f"session {session.sid} of {session.initiator} to end",
            lambda: all(one.sid != session.sid for one in lio_kernel.sessions(self.sys)),
            timeout=GONE_SECONDS,
            every=0.05,
            last_seen=lambda: result.describe() if result else "iscsiadm did not end",
        )

    def forget(self, iface: str) -> None:
        """Remove the iface and all node records that were made through it."""
        for path in self._records(iface):
            path.unlink(missing_ok=True)
            for folder in (path.parent, path.parent.parent):
                with contextlib.suppress(OSError):
                    folder.rmdir()
        for root in self.roots:
            (root / "ifaces" / iface).unlink(missing_ok=True)
            for link in root.glob(f"static/*,{iface}"):
                link.unlink()
            for name in ("ifaces", "nodes", "static"):  # iscsiadm makes them, empty ones stay otherwise
                with contextlib.suppress(OSError):
                    (root / name).rmdir()

    def ifaces(self, lab: str) -> list[str]:
        """The lab's ifaces, from records and sessions alike."""
        mine = f"{PREFIX}.{lab}."
        names = {one.iface for one in lio_kernel.sessions(self.sys)}
        for root in self.roots:
            names.update(path.name for path in root.glob("ifaces/*"))
            names.update(path.name for path in root.glob("nodes/*/*/*"))
        return sorted(name for name in names if name.startswith(mine))

    def _records(self, iface: str) -> list[Path]:
        """Node records: nodes/TARGET/ADDRESS,PORT,TPGT/IFACE."""
        return [path for root in self.roots for path in root.glob(f"nodes/*/*/{iface}")]

    def _write(self, iface: str, settings: dict[str, str]) -> None:
        """Change the node record where it lies: passwords have no place in a command line."""
        records = self._records(iface)
        if not records:
            raise ActionFailed(f"iscsiadm made no record for {iface}.",
                               details=", ".join(str(root) for root in self.roots))  # fmt: skip
        for path in records:
            path.chmod(0o600)
            path.write_text(changed(path.read_text(), settings))


def iface_name(lab: str, node: str) -> str:
    return f"{PREFIX}.{lab}.{node}"


def _settings(chap: Account | None) -> dict[str, str]:
    settings = {
        "node.startup": "manual",
        "node.conn[0].startup": "manual",
        # A login is answered or refused at once: both ends are this kernel.
        "node.session.initial_login_retry_max": "2",
        "node.conn[0].timeo.login_timeout": "5",
        "node.session.auth.authmethod": "CHAP" if chap else "None",
    }
    if chap:
        settings["node.session.auth.username"] = chap.user
        settings["node.session.auth.password"] = chap.password
        if chap.mutual_user:
            settings["node.session.auth.username_in"] = chap.mutual_user
            settings["node.session.auth.password_in"] = chap.mutual_password
    return settings


def changed(record: str, settings: dict[str, str]) -> str:
    """A record (lines "name = value" between "# BEGIN RECORD" and "# END RECORD") with these settings."""
    names = "|".join(re.escape(name) for name in settings)
    kept = [line for line in record.splitlines() if not re.match(rf"(?:{names}) *=", line)]
    end = next((at for at, line in enumerate(kept) if line.startswith("# END RECORD")), len(kept))
    kept[end:end] = [f"{name} = {value}" for name, value in settings.items()]
    return "\n".join(kept) + "\n"


def explain(code: int) -> str:
    """iscsiadm's exit code in words (iscsiadm(8), EXIT STATUS)."""
    return {
        6: "the host's iscsid cannot be reached or made a mistake",
        8: "the connection timed out",
        11: "iscsid cannot be reached",
        12: "the portal cannot be reached",
        18: "iscsid did not answer in time",
        19: "the target refused for an error of its own",
        20: "iscsid is not running",
        22: "the target refused the initiator",
        24: "the target refused the login: no ACL for this initiator, or wrong CHAP credentials",
    }.get(code, f"exit code {code}")
