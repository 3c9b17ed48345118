"""A stand-in for systemd and its keepers, and iscsiadm as a user calls it, over folders of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from labctl.storage.innode import command, database, iscsiadm, login, state

BLOCKS = "iqn.2023-02.com.example:blocks"
NODE1 = "iqn.2023-02.com.example:node1.init"
PORTAL = "192.168.100.140"
LABEL = f"[iface: default, target: {BLOCKS}, portal: {PORTAL},3260]"


class FakeSystemctl:
    """systemd as far as login.py asks it; a keeper that starts is logged in at once, or fails as told."""

    def __init__(self) -> None:
        self.fails: tuple[int, str] | None = None
        self.away = False
        self.words: list[list[str]] = []

    def __call__(self, argv: list[str], *, timeout: float, stdin: str = "") -> command.Done:
        assert argv[0] == "systemctl"
        self.words.append(argv[1:])
        for unit in argv[2:] if argv[1] == "start" else ():
            self._keep(int(unit.partition("@")[2].partition(".")[0]))
        return command.Done(0, "active\n" if argv[1] == "is-active" else "MainPID=0\n", "")

    def _keep(self, sid: int) -> None:
        request = state.load("request", sid)
        assert request
        record = request["record"]
        if self.fails:
            state.save("outcome", sid, {"state": "FAILED", "code": self.fails[0], "words": self.fails[1]})
        elif self.away:
            state.save("outcome", sid, {"state": "TRYING", "code": 8, "words": "connection refused"})
        else:
            document = {
                "sid": sid, "state": "LOGGED_IN", "target": record["node.name"],
                "tpgt": int(record["node.tpgt"]),
                "portal": f"{record['node.conn[0].address']}:{record['node.conn[0].port']}", "daemon": 1,
                "initiator": request["initiator"], "iface": record["iface.iscsi_ifacename"],
                "disks": [{"lun": 1, "name": "sdb"}],
            }  # fmt: skip
            state.save("sessions", sid, document)
            state.save("outcome", sid, {"state": "DONE", "code": 0, "words": ""})


class Cli:
    """iscsiadm as a user calls it."""

    def __init__(self, capsys: pytest.CaptureFixture[str], root: Path, systemctl: FakeSystemctl) -> None:
        self._capsys, self.root, self.systemctl = capsys, root, systemctl

    def __call__(self, line: str, rc: int = 0, *, err: tuple[str, ...] = ()) -> str:
        """Its stdout; exit code and the lines of stderr (without "iscsiadm: ") must be these."""
        code = iscsiadm.main(line.split())
        out, complaints = self._capsys.readouterr()
        told = tuple(each.removeprefix("iscsiadm: ") for each in complaints.splitlines())
        assert (code, told) == (rc, err), f"iscsiadm {line}\n{out}"
        return out.rstrip("\n")

    def new(self, portal: str = f"{PORTAL}:3260,1", target: str = BLOCKS) -> str:
        return self(f"-m node -o new -T {target} -p {portal}")


def make_cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """An iscsiadm whose records, state and systemd are below tmp_path."""
    systemctl = FakeSystemctl()
    (tmp_path / "etc").mkdir()
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "told-iscsiadm").touch()
    (tmp_path / "etc" / "initiatorname.iscsi").write_text(f"InitiatorName={NODE1}\n")
    monkeypatch.setattr(database, "CONFIG", tmp_path / "etc")
    monkeypatch.setattr(database, "root", lambda: tmp_path / "etc")
    monkeypatch.setattr(state, "RUN", tmp_path / "run")
    monkeypatch.setattr(state, "KEPT", tmp_path / "kept")
    monkeypatch.setattr(login, "run", systemctl)
    monkeypatch.setattr(database, "LOCK", tmp_path / "run" / "records.lock")
    return Cli(capsys, tmp_path, systemctl)
