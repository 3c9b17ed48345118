"""tgtd behind tgtadm, as far as labctl.storage.innode drives it: state in, tgtadm's own output out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from labctl.storage.innode.command import Done

HEAD = """\
Target {tid}: {iqn}
    System information:
        Driver: iscsi
        State: ready
    I_T nexus information:
"""
NEXUS = """\
        I_T nexus: {sid}
            Initiator: {initiator} alias: none
            Connection: 0
                IP Address: {address}
"""
LUN = """\
        LUN: {lun}
            Type: {kind}
            SCSI ID: {scsi_id}
            SCSI SN: {scsi_sn}
            Size: 0 MB, Block size: 512
            Online: Yes
            Readonly: {readonly}
            Backing store type: rdwr
            Backing store path: {path}
"""


@dataclass
class FakeLun:
    path: str
    about: dict[str, str] = field(default_factory=dict)
    flags: str = ""


@dataclass
class FakeTarget:
    iqn: str
    luns: dict[int, FakeLun] = field(default_factory=dict)
    sessions: dict[int, tuple[str, str]] = field(default_factory=dict)
    slots: list[str] = field(default_factory=list)
    outgoing: str = ""
    allowed: list[str] = field(default_factory=list)
    parameters: dict[str, str] = field(default_factory=dict)

    @property
    def users(self) -> list[str]:
        return [user for user in self.slots if user]

    def bind(self, user: str) -> None:
        """Into the first free slot, as target.c does."""
        self.slots = [*self.users, user] if "" not in self.slots else self._filled(user)

    def _filled(self, user: str) -> list[str]:
        at = self.slots.index("")
        return [*self.slots[:at], user, *self.slots[at + 1 :]]

    def unbind(self, user: str) -> None:
        """Leaves a hole."""
        self.slots = ["" if slot == user else slot for slot in self.slots]
        while self.slots and not self.slots[-1]:
            self.slots.pop()


class FakeTgtd:
    """Call it in place of command.run. log: what changed something, in order."""

    def __init__(self) -> None:
        self.targets: dict[int, FakeTarget] = {}
        self.portals = ["127.0.0.2:3261"]
        self.accounts: dict[str, str] = {}
        self.log: list[str] = []
        self.running = True
        self.accepts_portals = True

    def __call__(self, argv: Sequence[str], *, timeout: float, stdin: str = "") -> Done:
        if argv[0] == "systemctl":
            self.running = True
            return Done(0, "", "")
        assert argv[:3] == ["tgtadm", "--lld", "iscsi"]
        if not self.running:
            return Done(107, "", "tgtadm: failed to send request hdr to tgt daemon")
        words = dict(zip(argv[3::2], argv[4::2], strict=False))
        if argv[-1] == "--outgoing":
            words["--outgoing"] = ""
        op, mode = words["--op"], words["--mode"]
        if op == "show":
            return Done(0, self._show(mode, words), "")
        error = getattr(self, f"_{op}_{mode}")(words) or ""
        self.log.append(f"{op} {mode} {' '.join(argv[7:])}")
        return Done(22, "", f"tgtadm: {error}") if error else Done(0, "", "")

    def target(self, iqn: str) -> FakeTarget:
        [found] = [target for target in self.targets.values() if target.iqn == iqn]
        return found

    def log_in(self, iqn: str, initiator: str, address: str = "192.168.100.110") -> None:
        target = self.target(iqn)
        target.sessions[len(target.sessions) + 1] = (initiator, address)

    # -- show ----------------------------------------------------------------------------------

    def _show(self, mode: str, words: dict[str, str]) -> str:
        if mode == "portal":
            return "".join(f"Portal: {portal},1\n" for portal in self.portals)
        if mode == "account":
            head = "Account list:\n" if self.accounts else ""
            return head + "".join(f"    {name}\n" for name in self.accounts)
        if mode == "target" and "--tid" in words:
            return "".join(
                f"{name}={value}\n" for name, value in self.targets[int(words["--tid"])].parameters.items()
            )
        return "".join(self._target(tid, target) for tid, target in self.targets.items())

    def _target(self, tid: int, target: FakeTarget) -> str:
        text = HEAD.format(tid=tid, iqn=target.iqn)
        for sid, (initiator, address) in target.sessions.items():
            text += NEXUS.format(sid=sid, initiator=initiator, address=address)
        text += "    LUN information:\n" + self._lun(0, "controller", FakeLun("None"))
        text += "".join(self._lun(number, "disk", lun) for number, lun in target.luns.items())
        # It counts the accounts and looks at so many slots: one that is empty is its end.
        assert "" not in target.slots[: len(target.users)], "tgtd has crashed"
        text += "    Account information:\n" + "".join(f"        {user}\n" for user in target.users)
        text += f"        {target.outgoing} (outgoing)\n" if target.outgoing else ""
        return text + "    ACL information:\n" + "".join(f"        {who}\n" for who in target.allowed)

    def _lun(self, number: int, kind: str, lun: FakeLun) -> str:
        readonly = "Yes" if lun.about.get("readonly") == "1" else "No"
        ids = {"scsi_id": lun.about.get("scsi_id", "IET"), "scsi_sn": lun.about.get("scsi_sn", "beaf")}
        return LUN.format(lun=number, kind=kind, path=lun.path, readonly=readonly, **ids)

    # -- changes: each gives tgtadm's complaint, or None -----------------------------------------

    def _new_target(self, words: dict[str, str]) -> str | None:
        if "_" in words["--targetname"]:
            return "invalid request"
        self.targets[int(words["--tid"])] = FakeTarget(words["--targetname"])
        return None

    def _delete_target(self, words: dict[str, str]) -> str | None:
        if self.targets[int(words["--tid"])].sessions:
            return "this target is still active"
        del self.targets[int(words["--tid"])]
        return None

    def _update_target(self, words: dict[str, str]) -> None:
        self.targets[int(words["--tid"])].parameters[words["--name"]] = words["--value"]

    def _bind_target(self, words: dict[str, str]) -> None:
        self.targets[int(words["--tid"])].allowed.append(self._who(words))

    def _unbind_target(self, words: dict[str, str]) -> None:
        self.targets[int(words["--tid"])].allowed.remove(self._who(words))

    def _who(self, words: dict[str, str]) -> str:
        return words.get("--initiator-name") or words["--initiator-address"]

    def _new_logicalunit(self, words: dict[str, str]) -> str | None:
        luns = self.targets[int(words["--tid"])].luns
        if int(words["--lun"]) in luns or not Path(words["--backing-store"]).exists():
            return "invalid request"
        luns[int(words["--lun"])] = FakeLun(words["--backing-store"], flags=words.get("--bsoflags", ""))
        return None

    def _update_logicalunit(self, words: dict[str, str]) -> None:
        lun = self.targets[int(words["--tid"])].luns[int(words["--lun"])]
        lun.about |= dict(pair.split("=", 1) for pair in words["--params"].split(","))

    def _delete_logicalunit(self, words: dict[str, str]) -> None:
        del self.targets[int(words["--tid"])].luns[int(words["--lun"])]

    def _new_account(self, words: dict[str, str]) -> str | None:
        if words["--user"] in self.accounts:
            return "this account already exists"
        self.accounts[words["--user"]] = words["--password"]
        return None

    def _delete_account(self, words: dict[str, str]) -> None:
        del self.accounts[words["--user"]]
        for target in self.targets.values():
            target.unbind(words["--user"])
            target.outgoing = "" if target.outgoing == words["--user"] else target.outgoing

    def _bind_account(self, words: dict[str, str]) -> str | None:
        target = self.targets[int(words["--tid"])]
        if words["--user"] not in self.accounts:
            return "can't find the account"
        if "--outgoing" in words:
            target.outgoing = words["--user"]
        else:
            target.bind(words["--user"])
        return None

    def _unbind_account(self, words: dict[str, str]) -> None:
        target = self.targets[int(words["--tid"])]
        if "--outgoing" in words:
            target.outgoing = ""
        else:
            target.unbind(words["--user"])

    def _new_portal(self, words: dict[str, str]) -> str | None:
        portal = words["--param"].removeprefix("portal=")
        if portal in self.portals or not self.accepts_portals:
            return "invalid request"
        self.portals.append(portal)
        return None

    def _delete_portal(self, words: dict[str, str]) -> None:
        self.portals.remove(words["--param"].removeprefix("portal="))

    def _delete_conn(self, words: dict[str, str]) -> None:
        del self.targets[int(words["--tid"])].sessions[int(words["--sid"])]
