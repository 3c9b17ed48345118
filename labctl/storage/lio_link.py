"""A node and its disks under the lio driver: logged in and handed its devices, or cut off for good.

Used by `up` on the host, and by the lab's daemon, which has a door to the host's network namespace.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from labctl.engine.base import Engine
from labctl.errors import ActionFailed, LabError
from labctl.places import write_whole
from labctl.run import run
from labctl.storage import lio_kernel, lio_node
from labctl.storage.base import CONFIG, TARGET
from labctl.storage.lio_kernel import Session
from labctl.storage.lio_session import LOOPBACK, Account, Initiator, iface_name
from labctl.wait import wait_until

log = logging.getLogger(__name__)

FILE = "lio.json"
SERVING_SECONDS = 60.0
PROBED_SECONDS = 30.0


@dataclass(frozen=True)
class Plan:
    """What has to be known about a lab to link its nodes.

    conf: the lab's folder for such files.  port: of the portal on 127.0.0.1.  names: of LUN 1, LUN 2, …
    initiators: node → name.  portal: what the nodes take for the target's address.
    """

    lab: str
    conf: str
    target: str
    portal: str
    port: int
    names: tuple[str, ...]
    initiators: dict[str, str]
    chap: Account | None = field(default=None, repr=False)

    def save(self) -> None:
        write_whole(Path(self.conf) / FILE, json.dumps(asdict(self), indent=1), mode=0o600)

    @classmethod
    def load(cls, conf: Path) -> Plan | None:
        """The plan of a lab with this driver; None where there is none."""
        try:
            raw = json.loads((conf / FILE).read_text())
        except FileNotFoundError:
            return None
        chap = Account(**raw["chap"]) if raw["chap"] else None
        return cls(**{**raw, "names": tuple(raw["names"]), "chap": chap})


@dataclass(frozen=True)
class Link:
    """Logs nodes in and out. host: iscsiadm in the host's network namespace; patience: in s, for a cut."""

    plan: Plan
    host: Initiator
    patience: float = 10.0

    def attach(self, engine: Engine, node: str) -> None:
        """Give a running node its disks; does nothing when it has them. After every start of the node.

        A session from before the node's boot is cut first: what was written there and not synced is as
        lost as in a machine without power.  Raises ActionFailed, TimedOut.
        """
        iface, initiator = iface_name(self.plan.lab, node), self.plan.initiators[node]
        self._await_target(engine)
        session = self.host.session(iface)
        known = session is not None and self._known(engine, node, session)
        # A cut must never wait for what a node or the target takes its time for: only this is one step.
        with self._held(node, "session"):
            self._open_portal(engine, initiator)
            session = self.host.session(iface)
            if session is not None and not (known and session.state == "LOGGED_IN"):
                self._cut(node)
                session = None
            if session is None:
                session = self.host.log_in(iface, initiator, self.plan.target, self.plan.port, self.plan.chap)
        self._place(engine, node, self._probed(session))

    def refresh(self, engine: Engine, node: str) -> None:
        """Bring the node's devices to what its session shows: partitions come and go. Raises ActionFailed."""
        session = self.host.session(iface_name(self.plan.lab, node))
        if session is not None and self._known(engine, node, session):
            self._place(engine, node, session)

    def rescan(self, engine: Engine, node: str) -> None:
        """Look for LUNs that were added to the target. Raises ActionFailed."""
        session = self.host.session(iface_name(self.plan.lab, node))
        if session is not None:
            self.host.iscsiadm("-m", "session", "-r", str(session.sid), "--rescan", timeout=30)
            self.refresh(engine, node)

    def detach(self, engine: Engine, node: str) -> None:
        """Log a node out in order; the caller has made sure that it uses no disk. Raises ActionFailed."""
        iface = iface_name(self.plan.lab, node)
        session = self.host.session(iface)
        if session is not None and engine.is_on(node):
            engine.node(node).run(lio_node.argv(), stdin=lio_node.nothing(), timeout=lio_node.SECONDS)
        with self._held(node, "session"):
            if session is not None:
                self.host.log_out(session)
            self.host.forget(iface)

    def cut(self, node: str) -> None:
        """End a node's access to the disks for good, whatever state it is in. Before its power goes off.

        First the kernel refuses all that the node, or memory that it left dirty, would still write; so
        nothing is flushed when its mounts go.  Then its session ends, and the target confirms that no
        command of it is left.  Raises ActionFailed, TimedOut when that is not certain.
        """
        with self._held(node, "session"):
            self._cut(node)

    def _cut(self, node: str) -> None:
        iface, initiator, target = (
            iface_name(self.plan.lab, node),
            self.plan.initiators[node],
            self.plan.target,
        )
        sys = self.host.sys
        problems: list[str] = []
        for session in lio_kernel.sessions(sys):
            if session.iface != iface:
                continue
            try:
                self.host.end(session)
            except LabError as error:
                # iscsid may be gone; the target itself can still shut this initiator out.
                log.warning("%s: %s", node, error)
                problems.append(str(error))
        if problems or not self._idle(initiator):
            with contextlib.suppress(OSError):
                lio_kernel.deny(target, initiator, sys)
        try:
            wait_until(
                f"the target to be rid of {initiator}",
                lambda: self._idle(initiator),
                timeout=self.patience,
                every=0.05,
            )
        except LabError as error:
            raise ActionFailed(
                f"It is not certain that {node} is cut off from the disks.",
                details="\n".join([*problems, str(error)]),
                mend=f"labctl down --lab {self.plan.lab}",
            ) from None

    def _idle(self, initiator: str) -> bool:
        return not lio_kernel.acl_in_use(self.plan.target, initiator, self.host.sys)

    def _known(self, engine: Engine, node: str, session: Session) -> bool:
        """Whether the session belongs to the node's present boot: it says so in the node's /run."""
        path = f"{lio_node.STATE}/sessions/{lio_node.FILE}.json"
        found = engine.node(node).run(["cat", path], timeout=lio_node.SECONDS, check=False)
        with contextlib.suppress(ValueError, TypeError, KeyError):
            return found.ok and int(json.loads(found.stdout)["sid"]) == session.sid
        return False

    def _await_target(self, engine: Engine) -> None:
        wait_until(
            "the target to serve",
            lambda: lio_kernel.is_serving(self.plan.target, self.host.sys),
            timeout=SERVING_SECONDS,
            every=0.1,
            last_seen=lambda: engine.console(TARGET),
        )

    def _open_portal(self, engine: Engine, initiator: str) -> None:
        """The portal on the host's loopback, and this initiator's ACL."""
        plan, sys = self.plan, self.host.sys
        portal = lio_kernel.portal_folder(plan.target, LOOPBACK, plan.port, sys)
        if not portal.is_dir():
            # By a program, so that the socket is the host's: it is bound where its maker is.
            made = run([*self.host.enter, "mkdir", portal], timeout=15, check=False, pass_fds=self.host.fds)
            if not made.ok and not portal.is_dir():
                raise ActionFailed(
                    f"The target cannot listen on {LOOPBACK}:{plan.port}.",
                    details=made.describe(),
                    mend=f"labctl down --lab {plan.lab}, then up: it takes another port",
                )
        if not lio_kernel.has_acl(plan.target, initiator, sys):  # a cut by force took it away
            engine.node(TARGET).run(["labctl-target", "apply", CONFIG], timeout=60)

    def _probed(self, session: Session) -> Session:
        """The session once its disks are all there."""
        wanted = len(self.plan.names)
        seen = session

        def complete() -> Session | None:
            nonlocal seen
            seen = self.host.session(session.iface) or seen
            return seen if len(seen.luns) >= wanted and all(lun.size for lun in seen.luns) else None

        found = wait_until(
            f"the disks of {session.initiator}",
            complete,
            timeout=PROBED_SECONDS,
            every=0.05,
            last_seen=lambda: f"{seen.state}, LUNs {[lun.lun for lun in seen.luns]}",
        )
        return found or session

    def _place(self, engine: Engine, node: str, session: Session) -> None:
        text = lio_node.placed(session, self.plan.names, self.plan.portal)
        with self._held(node, "devices"):
            engine.node(node).run(lio_node.argv(), stdin=text, timeout=lio_node.SECONDS)

    @contextlib.contextmanager
    def _held(self, node: str, what: str) -> Iterator[None]:
        """`up` and the lab's daemon may want the same at once. what: session or devices."""
        with (Path(self.plan.conf) / f"lio-{node}.{what}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def through(plan: Plan, network: int) -> Link:
    """The link for a process that is not in the host's network namespace but has a descriptor of it."""
    return Link(plan, Initiator(("nsenter", f"--net=/proc/self/fd/{network}", "--"), (network,)))
