"""What a learner finds in the lab: pcs works everywhere, nodes behave like machines."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from labctl.bubble import start as bubble
from labctl.engine.base import State
from labctl.lab.bubble import has_outside
from labctl.run import run, spawn
from labctl.wait import wait_until
from tests.lab.driver import ALL, FQDN, LABCTL, PATIENCE, ROOT, Driver

INTERNAL = {name: f"192.168.90.{110 + 10 * at}" for at, name in enumerate(ALL)}
STORAGE = {name: f"192.168.100.{110 + 10 * at}" for at, name in enumerate(ALL)}


@pytest.mark.parametrize("node", ALL)
def test_pcs_status_on_every_node(calm: Driver, node: str) -> None:
    said = calm.on(node, "pcs", "status").stdout
    assert "Cluster name: ha_cluster_lab" in said
    assert "partition with quorum" in said
    assert "Online: [ " + " ".join(name + FQDN for name in ALL) + " ]" in said


@pytest.mark.parametrize("node", ALL)
def test_every_node_is_authorised_at_every_pcsd(calm: Driver, node: str) -> None:
    lines = calm.on(node, "pcs", "status", "pcsd").stdout.split("\n")
    assert sorted(line.strip() for line in lines if line.strip()) == [f"{name}{FQDN}: Online" for name in ALL]


def test_all_nodes_agree_on_one_dc(calm: Driver) -> None:
    views = [calm.view(node) for node in ALL]
    assert len({view.dc for view in views if view}) == 1
    assert all(
        view and view.quorate and view.online == frozenset(name + FQDN for name in ALL) for view in views
    )


@pytest.mark.parametrize("node", ALL)
def test_corosync_speaks_on_internal_only(calm: Driver, node: str) -> None:
    lines = calm.on(node, "ss", "-H", "-l", "-u", "-n", "-p").stdout.splitlines()
    bound = {line.split()[3].rsplit(":", 1)[0] for line in lines if '"corosync"' in line}
    assert bound == {INTERNAL[node]}


def test_corosync_knows_every_member_by_its_internal_address(calm: Driver) -> None:
    cmap = calm.on("node1", "corosync-cmapctl", "runtime.members.").stdout
    assert {address for address in INTERNAL.values() if f"ip({address})" in cmap} == set(INTERNAL.values())
    assert cmap.count("= joined") == 4


@pytest.mark.parametrize("node", ALL)
def test_names_resolve_and_answer(calm: Driver, node: str) -> None:
    for name in ALL:
        asked = calm.engine.node(node).run(["getent", "hosts", name + FQDN, name], timeout=10).stdout
        assert {line.split()[0] for line in asked.splitlines()} == {INTERNAL[name]}, asked
        for target in (name, name + FQDN, INTERNAL[name], STORAGE[name]):
            calm.engine.node(node).run(["ping", "-c1", "-W5", target], timeout=20)


def test_ssh_with_the_labs_key(calm: Driver) -> None:
    assert calm("ssh", "node2", "--", "hostname").stdout.strip() == "node2.example.com"


def test_ssh_hands_the_exit_code_on(calm: Driver) -> None:
    assert calm("ssh", "node2", "--", "exit", "7", check=False).rc == 7


def test_exec_hands_words_streams_and_the_exit_code_on(calm: Driver) -> None:
    script = 'cat; hostname; printf "%s|" "$@"; echo trouble >&2; exit 7'
    words = ["sh", "-c", script, "sh", "a  b", "--help", ""]
    command = [*LABCTL, "exec", "node2", "--lab", calm.name, "--", *words]
    done = run(command, timeout=60, check=False, stdin="given\n", cwd=ROOT)
    assert (done.rc, done.stdout) == (7, "given\nnode2.example.com\na  b|--help||")
    assert "trouble" in done.stderr
    assert calm("exec", "node2", "--", "no-such-program", check=False).rc == 127


def test_ssh_with_the_password_between_nodes(calm: Driver) -> None:
    options = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]
    said = calm.on("node1", "sshpass", "-p", "centos", "ssh", *options, "root@node3", "hostname").stdout
    assert said.strip() == "node3.example.com"
    refused = calm.on("node1", "sshpass", "-p", "wrong", "ssh", *options, "root@node3", "true", check=False)
    assert refused.rc == 5  # sshpass(1): a wrong password


@pytest.mark.parametrize("unit", ["pcsd", "pcsd-ruby"])
def test_what_came_second_while_it_started_is_as_any_other(calm: Driver, unit: str) -> None:
    """Or pcs, which waits for pcsd, would starve beside a busy lab."""
    starter = "sh /usr/lib/labctl/second "
    wait_until(
        "nothing to be left of who started it",
        lambda: starter not in calm.on("node1", "ps", "-e", "-o", "args=").stdout,
        timeout=60.0,
    )
    told = calm.on("node1", "systemctl", "show", "--property=Nice,MainPID", unit).stdout
    nice, main = (told.partition(f"{name}=")[2].split()[0] for name in ("Nice", "MainPID"))
    assert nice == "19", "it does not come second while it starts"
    shown = calm.on("node1", "ps", "-L", "-o", "ni=", "-p", main, "--ppid", main).stdout.split()
    assert shown
    assert set(shown) == {"0"}
    group = calm.on("node1", "sh", "-c", f"cat /proc/{main}/autogroup 2>/dev/null || echo nice 0").stdout
    assert group.split()[-2:] == ["nice", "0"]


def test_what_comes_second_does_so_for_some_seconds_only(calm: Driver) -> None:
    """Whether it has started by then or not: this program never says so."""
    unit = "comes-second.service"
    begin = ("systemd-run", "--quiet", "--collect", "--unit", unit, "--property=Nice=19")
    calm.on("node1", *begin, "/usr/lib/labctl/second", "1", "sleep", "600")
    try:
        main = calm.on("node1", "systemctl", "show", "--value", "--property=MainPID", unit).stdout.strip()
        look = f"ps -o ni= -p {main}; grep -o 'nice .*' /proc/{main}/autogroup 2>/dev/null || echo nice 0"
        wait_until(
            "it to be as any other",
            lambda: calm.on("node1", "sh", "-c", look).stdout.split() == ["0", "nice", "0"],
            timeout=PATIENCE,
        )
    finally:
        calm.on("node1", "systemctl", "stop", unit)


def test_pcsd_answers_on_the_host_over_tls(calm: Driver) -> None:
    [(port, _, _, inside)] = bubble.forwards(calm.places)
    assert inside == 2224
    url = f"https://127.0.0.1:{port}"

    def ask(*words: str) -> str:
        return run(["curl", "--silent", "--insecure", "--max-time", "20", *words], timeout=30).stdout

    code = ["--output", "/dev/null", "--write-out", "%{http_code}"]
    assert ask(*code, f"{url}/") in {"200", "301", "302"}  # Debian's has no pages behind it
    assert ask(*code, f"{url}/remote/check_auth") == "401"
    token = ask("--data", "username=hacluster&password=centos", f"{url}/remote/auth")
    assert len(token) == 36, "pcsd did not give a token to hacluster"
    cookie = f"token={token}"
    assert ask(*code, "--cookie", cookie, f"{url}/remote/check_auth") == "200"
    assert ask("--data", "username=hacluster&password=wrong", f"{url}/remote/auth") == ""


def test_nothing_listens_beyond_loopback(calm: Driver) -> None:
    [(port, _, _, _)] = bubble.forwards(calm.places)
    lines = run(["ss", "-H", "-l", "-t", "-n"], timeout=10).stdout.splitlines()
    assert {line.split()[3] for line in lines if line.split()[3].endswith(f":{port}")} == {
        f"127.0.0.1:{port}"
    }


@pytest.fixture
def outside_host(tmp_path: Path) -> Iterator[tuple[str, int]]:
    """Address and PID of a test host outside the lab: a network namespace, one veth away from this one."""
    holder = spawn(["unshare", "--net", "sleep", "300"], log_file=tmp_path / "holder.log")
    inside = ["nsenter", "--net", "--target", str(holder.pid), "--"]
    own = Path("/proc/self/ns/net").readlink()
    wait_until(
        "the test host's namespace", lambda: Path(f"/proc/{holder.pid}/ns/net").readlink() != own, timeout=10
    )
    try:
        for words in (
            [
                *["ip", "link", "add", "t-out0", "type", "veth", "peer", "name", "t-out1", "netns"],
                str(holder.pid),
            ],
            ["ip", "address", "add", "198.51.100.1/30", "dev", "t-out0"],
            ["ip", "link", "set", "t-out0", "up"],
            [*inside, *["ip", "address", "add", "198.51.100.2/30", "dev", "t-out1"]],
            [*inside, *["ip", "link", "set", "t-out1", "up"]],
        ):
            run(words, timeout=10)
        yield "198.51.100.2", holder.pid
    finally:
        run(["ip", "link", "delete", "t-out0"], timeout=10, check=False)
        holder.kill()
        holder.wait(timeout=10)


def test_nodes_reach_the_outside(calm: Driver, outside_host: tuple[str, int], tmp_path: Path) -> None:
    if not has_outside():
        pytest.skip("this host has no default route, or no slirp4netns")
    serve = (
        "import socket; s = socket.create_server(('', 4711)); print('ready', flush=True);"
        "c, _ = s.accept(); c.sendall(b'outside\\n'); c.close()"
    )
    log = tmp_path / "server.log"
    address, pid = outside_host
    server = spawn(
        ["nsenter", "--net", "--target", str(pid), "--", sys.executable, "-c", serve], log_file=log
    )
    try:
        wait_until("the test host's server", lambda: "ready" in log.read_text(), timeout=10)
        answer = calm.on("node1", "timeout", "10", "bash", "-c", f"cat </dev/tcp/{address}/4711")
        assert answer.stdout == "outside\n"
    finally:
        server.kill()
        server.wait(timeout=10)


def _tcp(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), timeout=5).close()
    except OSError:
        return False
    return True


def test_the_labs_own_addresses_are_not_looked_for_outside(calm: Driver) -> None:
    """An address of the lab that no node has: nobody on the host's network may answer."""
    asked = calm.inside("ip", "-json", "route", "get", "192.168.90.77")
    assert json.loads(asked.stdout)[0].get("dev", "") != "tap0"


def test_cluster_stop_and_start_all(main: Driver) -> None:
    main.on("node2", "pcs", "cluster", "stop", "--all")
    assert not any(main.member(node).corosync for node in ALL)
    main.on("node3", "pcs", "cluster", "start", "--all", "--wait")
    main.await_online(*ALL)


def test_cluster_node_remove_and_add(main: Driver) -> None:
    main.on("node1", "pcs", "cluster", "node", "remove", "node4.example.com")
    main.await_online("node1", "node2", "node3")
    assert not main.member("node4").conf
    main.on("node1", "pcs", "cluster", "node", "add", "node4.example.com", "--start", "--wait", "--enable")
    main.await_online(*ALL)


def test_a_reboot_from_inside_comes_back_and_keeps_the_journal(main: Driver) -> None:
    before = main.started("node3")
    main.on("node3", "logger", "-t", "before-the-reboot", "remember me")
    main.on("node3", "systemctl", "--no-block", "reboot", check=False)
    main.await_restart("node3", before)
    main.await_online(*ALL)
    kept = main.on("node3", "journalctl", "--no-pager", "-t", "before-the-reboot", "-o", "cat").stdout
    assert kept.splitlines() == ["remember me"]


def test_a_poweroff_stays_off_until_up(main: Driver) -> None:
    main.on("node4", "systemctl", "--no-block", "poweroff", check=False)
    main.await_state("node4", State.OFF)
    main.await_online("node1", "node2", "node3")
    # The reset line tells a power-off from a reboot; a whole reboot of another node later it is still off.
    assert main.state("node4") is State.OFF
    said = main.up_json()
    assert [(action["do"], action["node"]) for action in said["actions"]] == [("start-node", "node4")]
    main.await_online(*ALL)


def test_cp_between_host_and_nodes(calm: Driver, tmp_path: Path) -> None:
    (tmp_path / "there").write_text("and back\n")
    calm("cp", str(tmp_path / "there"), "node1:/root/copied")
    calm("cp", "node1:/root/copied", str(tmp_path / "back"))
    assert (tmp_path / "back").read_text() == "and back\n"


def test_forward_reaches_a_node(calm: Driver) -> None:
    """`labctl forward` to sshd of a node, by its name; Ctrl-C ends it."""
    import signal

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    begun = calm.begin("forward", f"{port}:node2:22")
    wait_until("the forwarded port", lambda: _tcp("127.0.0.1", port), timeout=PATIENCE)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        assert connection.recv(64).startswith(b"SSH-2.0-")
    begun.signal(signal.SIGINT)
    assert begun.end() in {0, 130}
