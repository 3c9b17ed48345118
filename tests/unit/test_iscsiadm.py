"""iscsiadm on a node: the original's words, streams and exit codes (recorded from 2.1.8), and what it leaves."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from labctl.storage.innode import command, database, iscsiadm, login, options, records, session, state, wire
from labctl.storage.innode.ask import disks, targets
from tests.fakes.iscsi_target import FakeTarget

BLOCKS = "iqn.2023-02.com.example:blocks"
NODE1 = "iqn.2023-02.com.example:node1.init"
PORTAL = "192.168.100.140"
HINT = "Try `iscsiadm --help' for more information."


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
                "sid": sid, "state": "LOGGED_IN", "target": record["node.name"], "tpgt": int(record["node.tpgt"]),
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


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
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


# -- the command line ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "rc", "err"),
    [
        ("", 7, ("no mode specified", HINT)),
        ("-m", 7, ("option requires an argument -- 'm'", "unrecognized character 'm'")),
        ("-x", 7, ("option requires an argument -- 'x'", "unrecognized character 'x'")),
        ("--nonsense", 7, ("unrecognized option '--nonsense'", HINT)),
        ("-m foo", 7, ("mode -1 is not yet supported",)),
        ("-m node -D", 7, ("node mode: option '-D' is not allowed/supported",)),
        ("-m session -T foo", 7, ("session mode: option '-T' is not allowed/supported",)),
        ("-m node -o foo", 7, ("can not recognize operation: 'foo'",)),
        ("-m node -l -u", 7, ("Invalid parameters. Both login and logout passed in",)),
        ("-m node -l -o show", 7, ("Invalid parameters. Login/logout and op passed in",)),
        ("-m node -P 7", 7, ("Invalid info level 7. Try 0 or 1.",)),
        ("-m node -L foo", 7, ("Invalid loginall option foo.", HINT)),
        ("-m node -U foo", 7, ("Invalid logoutall option foo.", HINT)),
        ("-m session", 21, ("No active sessions.",)),
        ("-m session -P 7", 21, ("No active sessions.",)),
        ("-m session --rescan", 21, ("No session found.",)),
        ("-m session -s", 21, ("No session found.",)),
        ("-m session -u", 21, ("No matching sessions found",)),
        ("-m session -r 1", 22, ("Could not get session info for sid 1",)),
        ("-m session -r abc", 1, ("abc is an invalid session ID or path",)),
        ("-m session -o new", 7, ("session mode: Operation 'new' only allowed with specific session IDs",)),
        ("-m node", 21, ("No records found",)),
        ("-m node --login", 21, ("No records found",)),
        ("-m node -ld8", 21, ("No records found",)),
        ("-m node -u", 21, ("No matching sessions found",)),
        ("-m node -R", 21, ("No session found.",)),
        ("-m node --logoutall=all", 21, ("No matching sessions found",)),
        ("-m node --loginall=automatic", 21, ("No records found",)),
        ("-m node -o delete", 21, ("No records found",)),
        ("-m host", 21, ("No iSCSI hosts.",)),
        ("-m fw", 21, ("Could not get list of targets from firmware. (err 21)",)),
        ("-m discovery", 21, ()),
        ("-m discovery -t st", 7, ("Please specify portal as <ipaddr>[:<ipport>]",)),
        ("-m discovery -t nope -p 1.2.3.4", 7, ("Discovery record [1.2.3.4,3260] not found!",)),
        ("-m iface -I bar -o delete", 7,
         ("Could not read iface info for bar.", "Could not delete iface bar: invalid parameter")),
    ],
)  # fmt: skip
def test_refusals_are_the_original_s(cli: Cli, line: str, rc: int, err: tuple[str, ...]) -> None:
    assert cli(line, rc, err=err) == ""


def test_version_help_and_ifaces(cli: Cli) -> None:
    assert cli("-V") == "iscsiadm version 2.1.8"
    assert cli("--help").splitlines()[-1] == "iscsiadm -k priority"
    assert cli("-m iface").splitlines() == [
        "default tcp,<empty>,<empty>,<empty>,<empty>",
        "iser iser,<empty>,<empty>,<empty>,<empty>",
    ]


def test_it_says_once_what_it_is(cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    (cli.root / "kept" / "told-iscsiadm").unlink()
    iscsiadm.main(["-V"])
    assert "labctl's stand-in" in capsys.readouterr().err
    cli("-V")


# -- records --------------------------------------------------------------------------------------


def test_a_new_record(cli: Cli) -> None:
    assert cli.new() == (
        f"New iSCSI node [tcp:[hw=,ip=,net_if=,iscsi_if=default] {PORTAL},3260,1 {BLOCKS}] added"
    )
    file = cli.root / "etc" / "nodes" / BLOCKS / f"{PORTAL},3260,1" / "default"
    assert file.read_text() == records.record_text(BLOCKS, PORTAL, startup="manual")
    assert file.stat().st_mode & 0o777 == 0o600
    assert cli("-m node") == f"{PORTAL}:3260,1 {BLOCKS}"
    assert cli("-m node -P 1") == f"Target: {BLOCKS}\n\tPortal: {PORTAL}:3260,1\n\t\tIface Name: default"


def test_a_record_without_a_portal_group(cli: Cli) -> None:
    cli.new(PORTAL)
    assert (cli.root / "etc" / "nodes" / BLOCKS / f"{PORTAL},3260").is_file()
    assert cli("-m node") == f"{PORTAL}:3260,4294967295 {BLOCKS}"
    cli("-m node -o delete")
    assert list((cli.root / "etc" / "nodes").iterdir()) == []


def test_iscsid_conf_is_what_records_start_with(cli: Cli) -> None:
    (cli.root / "etc" / "iscsid.conf").write_text(
        "# node.startup = onboot\nnode.startup = automatic\nnode.session.auth.authmethod = CHAP\n"
        "node.session.auth.username = username\nnode.session.auth.password = password\nnonsense = 1\n"
    )
    cli.new()
    shown = records.parse(cli("-m node -S -o show"))
    assert shown["node.startup"] == shown["node.conn[0].startup"] == "automatic"
    assert shown["node.session.auth.password"] == "password"
    assert "nonsense" not in shown


def test_update(cli: Cli) -> None:
    cli.new()
    cli(f"-m node -T {BLOCKS} -o update -n node.startup -v automatic -n node.session.queue_depth -v 8")
    shown = records.parse(cli("-m node -o show"))
    assert (shown["node.startup"], shown["node.session.queue_depth"]) == ("automatic", "8")
    whole = "Could not execute operation on all records: invalid parameter"
    cli("-m node -o update -n node.foo -v 1", 7, err=("Cannot modify node.foo. Invalid param name.", whole))
    cli("-m node -o update -n node.startup -v banana", 7, err=(
        "unknown value format 'banana' for parameter name 'node.startup'", "Unknown parameter node.startup.", whole,
    ))  # fmt: skip
    cli("-m node -o update", 7, err=("update requires name and value",))
    cli("-m node -o update -n iface.mtu -v 9", 7, err=(
        "Cannot modify iface.mtu. Use iface mode to update this value.",))  # fmt: skip
    cli("-m node -T no.such -o update -n node.startup -v manual", 21, err=("No records found",))


def test_two_at_once_break_no_record(cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    cli.new()
    keys = ("queue_depth", "cmds_max", "nr_sessions", "reopen_max")

    def update(key: str) -> None:
        for value in range(1, 20):
            iscsiadm.main(["-m", "node", "-o", "update", "-n", f"node.session.{key}", "-v", str(value)])

    threads = [threading.Thread(target=update, args=(key,)) for key in keys]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    capsys.readouterr()
    shown = records.parse(cli("-m node -o show"))
    assert [shown[f"node.session.{key}"] for key in keys] == ["19"] * 4


def test_interfaces(cli: Cli) -> None:
    assert cli("-m iface -I foo -o new") == "foo updated.\nNew interface foo added"
    assert cli(f"-m iface -I foo -o update -n iface.initiatorname -v {NODE1}.b") == "foo updated."
    assert cli("-m iface").splitlines()[0] == f"foo tcp,<empty>,<empty>,<empty>,{NODE1}.b"
    cli("-m iface -I foo -o update -n iface.net_ifacename -v eth0", 7, err=(
        "iface.net_ifacename: sessions of this iscsiadm cannot be bound to an interface or address; routes decide",
        "Could not update iface foo: invalid parameter",
    ))  # fmt: skip
    cli(f"-m node -I foo -o new -T {BLOCKS} -p {PORTAL}:3260,1")
    cli("-m node -I foo -l")
    request = state.load("request", 1)
    assert request
    assert request["initiator"] == f"{NODE1}.b"
    cli("-m node -u")
    assert cli("-m iface -I foo -o delete") == "foo unbound and deleted."
    cli("-m node", 21, err=("No records found",))


# -- sessions -------------------------------------------------------------------------------------

LABEL = f"[iface: default, target: {BLOCKS}, portal: {PORTAL},3260]"


def test_login_session_logout(cli: Cli) -> None:
    cli.new()
    assert cli("-m node --login") == f"Logging in to {LABEL}\nLogin to {LABEL} successful."
    assert cli("-m session") == f"tcp: [1] {PORTAL}:3260,1 {BLOCKS} (non-flash)"
    assert cli("-m session --debug 3") == cli("-m session -P 0") == cli("-m session")
    assert "\t\t\tAttached scsi disk sdb\t\tState: running" in cli("-m session -P 3").splitlines()
    present = "default: 1 session requested, but 1 already present."
    cli("-m node -l", 15, err=(present, "Could not log into all portals"))
    using = f"This command will remove the record {LABEL}, but a session is using it. " \
            "Logout session then rerun command to remove record."  # fmt: skip
    cli("-m node -o delete", 15, err=(using, "Could not execute operation on all records: session exists"))
    label = f"[sid: 1, target: {BLOCKS}, portal: {PORTAL},3260]"
    assert cli("-m node -u") == f"Logging out of session {label}\nLogout of {label} successful."
    assert [
        "kill",
        "--kill-who=main",
        "--signal=TERM",
        "labctl-iscsi-session@1.service",
    ] in cli.systemctl.words
    cli("-m session", 21, err=("No active sessions.",))
    cli("-m node -l")
    assert cli("-m session").startswith("tcp: [2] ")


@pytest.mark.parametrize(
    ("code", "words", "more"),
    [
        (24, "iSCSI login failed due to authorization failure", ()),
        (19, "encountered non-retryable iSCSI login failure", ()),
        (8, "connection timed out", ()),
        (9, "internal error", ("no free loop device",)),
    ],
)
def test_a_login_that_fails(cli: Cli, code: int, words: str, more: tuple[str, ...]) -> None:
    cli.new()
    cli.systemctl.fails = (code, "no free loop device")
    told = (
        *more, f"Could not login to {LABEL}.", f"initiator reported error ({code} - {words})",
        "Could not log into all portals",
    )  # fmt: skip
    assert cli("-m node -l", code, err=told) == f"Logging in to {LABEL}"
    assert state.listed("request") == []
    cli.systemctl.fails = None
    cli("-m node -l")


def test_mutual_chap_is_refused(cli: Cli) -> None:
    cli.new()
    cli("-m node -o update -n node.session.auth.username_in -v target")
    why = "mutual CHAP (username_in, password_in) is not supported by QEMU's initiator"
    told = (why, f"Could not login to {LABEL}.", "initiator reported error (7 - invalid parameter)",
            "Could not log into all portals")  # fmt: skip
    cli("-m node -l", 7, err=told)


def test_login_and_logout_by_startup_mode(cli: Cli) -> None:
    cli.new()
    cli.new("10.0.0.1:3260,1", "iqn.other")
    cli("-m node -T iqn.other -o update -n node.startup -v automatic")
    assert "iqn.other" in cli("-m node -L automatic")
    assert len(cli("-m session").splitlines()) == 1
    cli("-m node -U manual", 21, err=("No matching sessions found",))
    assert "iqn.other" in cli("-m node -U automatic")


def test_a_boot_goes_on_while_a_target_is_away(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(session, "BOOT_WAITS", 0.0)
    monkeypatch.setattr("labctl.storage.innode.sysfs.refresh", lambda: None)
    assert session.login_all() == 21
    cli.new()
    cli("-m node -o update -n node.startup -v automatic")
    cli.systemctl.away = True
    assert session.login_all() == 0
    assert capsys.readouterr().err == (
        f"no session with {BLOCKS} at {PORTAL} yet (connection refused); trying on in the background\n"
    )
    cli.systemctl.away = False
    # A login by hand waits for the session that is still trying, it starts no second one.
    cli("-m node -l")
    assert [request["sid"] for request in state.listed("request")] == [1]


# -- asking a target --------------------------------------------------------------------------------


def test_discovery(cli: Cli) -> None:
    with FakeTarget(
        targets={BLOCKS: ["10.0.0.1:3260,1", "10.0.0.2:3260,2"], "iqn.other": ["10.0.0.1:3260,1"]}
    ) as peer:
        told = cli(f"-m discovery -t sendtargets -p 127.0.0.1:{peer.port}")
        assert peer.initiators == [NODE1]
        assert told.splitlines() == [
            f"10.0.0.1:3260,1 {BLOCKS}",
            f"10.0.0.2:3260,2 {BLOCKS}",
            "10.0.0.1:3260,1 iqn.other",
        ]
        assert cli("-m discovery") == f"127.0.0.1:{peer.port} via sendtargets"
        assert sorted(cli("-m node").splitlines()) == sorted(told.splitlines())
        link = (
            cli.root / "etc" / "send_targets" / f"127.0.0.1,{peer.port}" / f"{BLOCKS},10.0.0.2,3260,2,default"
        )
        assert (link.resolve() / "default").is_file()
        # What the portal has no more goes; what is there gets iscsid.conf's settings again.
        cli("-m node -o update -n node.startup -v automatic")
        del peer.targets["iqn.other"]
        cli(f"-m discovery -t st -p 127.0.0.1:{peer.port}")
        assert "iqn.other" not in cli("-m node")
        assert records.parse(cli("-m node -p 10.0.0.1 -o show"))["node.startup"] == "manual"
        cli(f"-m discovery -p 127.0.0.1:{peer.port} -o delete")
    cli("-m node", 21, err=("No records found",))


def test_discovery_of_nothing_and_of_nobody(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labctl.storage.innode.discovery_mode.RETRY", 0.0)
    with FakeTarget() as peer:
        port = peer.port
        cli(f"-m discovery -t st -p 127.0.0.1:{port}", 21, err=("No portals found",))
    refused = "cannot make connection to 127.0.0.1: Connection refused"
    cli(f"-m discovery -t st -p 127.0.0.1:{port}", 11, err=(
        *[refused] * 6, "connection login retries (reopen_max) 5 exceeded",
        "Could not perform SendTargets discovery: iSCSI PDU timed out",
    ))  # fmt: skip


def test_discovery_with_login(cli: Cli) -> None:
    with FakeTarget(targets={BLOCKS: [f"{PORTAL}:3260,1"]}) as peer:
        told = cli(f"-m discovery -t st -p 127.0.0.1:{peer.port} --login").splitlines()
    assert told == [f"{PORTAL}:3260,1 {BLOCKS}", f"Logging in to {LABEL}", f"Login to {LABEL} successful."]


def test_discovery_that_is_not_let_in(cli: Cli) -> None:
    with FakeTarget(refuse=(2, 2)) as peer:
        cli(f"-m discovery -t st -p 127.0.0.1:{peer.port}", 24, err=(
            "discovery login to 127.0.0.1 rejected: initiator failed authorization",
            "Could not perform SendTargets discovery: iSCSI login failed due to authorization failure",
        ))  # fmt: skip


def test_chap_and_disks() -> None:
    with FakeTarget(chap={"user": "right"}, sizes={1: 2**21, 200: 2**22}) as peer:
        with wire.Connection(
            "127.0.0.1", peer.port, initiator=NODE1, target=BLOCKS, chap=("user", "right"), timeout=5
        ) as connection:
            assert connection.tpgt == 7
            assert [(lun.number, lun.size, lun.serial) for lun in disks(connection)] == [
                (1, 2**21, "S001"),
                (200, 2**22, "S200"),
            ]
        for chap in (("user", "wrong"), ("other", "right"), None):
            with pytest.raises(wire.Refused) as refused:
                wire.Connection("127.0.0.1", peer.port, initiator=NODE1, target=BLOCKS, chap=chap, timeout=5)
            assert (refused.value.code, refused.value.final) == (24, True)


@pytest.mark.parametrize(
    ("status", "code", "final"),
    [((2, 1), 24, True), ((2, 2), 24, True), ((2, 3), 19, True), ((2, 9), 19, True), ((3, 1), 5, False)],
)
def test_a_target_s_refusal(status: tuple[int, int], code: int, final: bool) -> None:
    with FakeTarget(refuse=status) as peer, pytest.raises(wire.Refused) as refused:
        wire.Connection("127.0.0.1", peer.port, initiator=NODE1, target=BLOCKS, timeout=5)
    assert (refused.value.code, refused.value.final) == (code, final)


def test_targets_come_in_pieces() -> None:
    portals = {f"iqn.{number}": ["[fe80::1]:3260,1"] for number in range(50)}
    with FakeTarget(targets=portals) as peer:
        with wire.Connection("127.0.0.1", peer.port, initiator=NODE1, timeout=5) as connection:
            found = targets(connection)
    assert [name for name, _ in found] == list(portals)
    assert {where for _, each in found for where in each} == {("fe80::1", 3260, 1)}


def test_what_a_line_may_look_like() -> None:
    short = options.parse(["-m", "node", "-T", "t", "-p", "h:1", "-l"])
    long = options.parse(["--mode=node", "--targetname", "t", "--portal=h:1", "--login"])
    joined = options.parse(["-lmnode", "-Tt", "-ph:1"])
    assert short == long == joined


def test_state_files_are_json_for_the_probe(cli: Cli) -> None:
    cli.new()
    cli("-m node -l")
    found = json.loads((cli.root / "run" / "sessions" / "1.json").read_text())
    assert {"sid", "state", "target", "portal", "tpgt", "initiator", "iface", "disks"} <= set(found)
