"""iscsiadm on a node: the original's words, streams and exit codes (recorded from 2.1.8)."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from labctl.storage.innode import iscsiadm, options, records, session, state
from tests.fakes.iscsiadm import BLOCKS, LABEL, NODE1, PORTAL, Cli, make_cli

HINT = "Try `iscsiadm --help' for more information."


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    return make_cli(tmp_path, monkeypatch, capsys)


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
        "unknown value format 'banana' for parameter name 'node.startup'",
        "Unknown parameter node.startup.", whole,
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
        "iface.net_ifacename: sessions here cannot be bound to a network card or address; routes decide",
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


def test_login_session_logout(cli: Cli) -> None:
    cli.new()
    assert cli("-m node --login") == f"Logging in to {LABEL}\nLogin to {LABEL} successful."
    assert cli("-m session") == f"tcp: [1] {PORTAL}:3260,1 {BLOCKS} (non-flash)"
    assert cli("-m session --debug 3") == cli("-m session -P 0") == cli("-m session")
    assert "\t\t\tAttached scsi disk sdb\t\tState: running" in cli("-m session -P 3").splitlines()
    present = "default: 1 session requested, but 1 already present."
    cli("-m node -l", 15, err=(present, "Could not log into all portals"))
    using = (
        f"This command will remove the record {LABEL}, but a session is using it. "
        "Logout session then rerun command to remove record."
    )
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
