"""Bad input and bad hosts: each with its exit code, and words that say what to do."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from labctl import packaged
from labctl.errors import BAD_FILE, FAILED, HOST_LACKS, NOT_PERMITTED, OK, USAGE
from labctl.run import run
from labctl.wait import wait_until
from tests.lab.conftest import MakeLab
from tests.lab.driver import LABCTL, PATIENCE, ROOT, Driver, labctl, refused

TWO = ("--nodes", "2", "--until", "nodes")


# -- the command line ----------------------------------------------------------------------


ROOTS_ONLY = [
    "up", "down", "status", "ls", "validate", "build", "exec node1", "ssh node1", "logs", "podman",
    "forward node1:22", "cp x node1:/x",
]  # fmt: skip


@pytest.mark.parametrize("line", ROOTS_ONLY)
def test_not_root(image: str, line: str) -> None:
    words = line.split()
    nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--"]
    lab = [] if words[0] in {"ls", "build"} else ["--lab", "t-nobody"]
    argv = [*nobody, *LABCTL, words[0], *lab, *words[1:]]
    result = run(argv, timeout=60, check=False, cwd=ROOT, env={"PYTHONDONTWRITEBYTECODE": "1"})
    refused(result, NOT_PERMITTED, "needs root", mend=f"sudo labctl {words[0]}")


def test_an_unknown_node(calm: Driver) -> None:
    for words in (
        ["exec", "nod2", "--", "true"],
        ["ssh", "nod2"],
        ["logs", "nod2"],
        ["cp", "nod2:/etc/hosts", "x"],
    ):
        refused(calm(words[0], *words[1:], check=False), USAGE, "nod2", "node2")


def test_an_unknown_lab(image: str) -> None:
    for verb in (["status"], ["validate"], ["exec", "node1", "--", "true"], ["logs"]):
        result = labctl(verb[0], "--lab", "t-nothing", *verb[1:], check=False)
        refused(result, USAGE, "'t-nothing'", mend="labctl up --lab t-nothing")


def test_down_of_nothing_is_done(image: str) -> None:
    assert labctl("down", "--lab", "t-nothing").rc == OK


@pytest.mark.parametrize("name", ["", "T-Big", "t/../x", "-t", "t" * 40, "t x"])
def test_names_that_are_none(image: str, name: str) -> None:
    refused(labctl("up", f"--lab={name}", check=False), USAGE, "lab's name")


MISFITS = [
    "--nodes 1", "--nodes 17", "--nodes four", "--family gentoo", "--mode zeppelin", "--until never",
    "--scenario none-such",
]  # fmt: skip


@pytest.mark.parametrize("line", MISFITS)
def test_options_that_do_not_fit(make_lab: MakeLab, line: str) -> None:
    lab = make_lab("t-options")
    refused(lab("up", *line.split(), check=False), USAGE)
    assert not lab.places.root.exists()


def test_another_family_than_the_labs(calm: Driver) -> None:
    other = "centos" if calm.json("status")["family"] == "debian" else "debian"
    refused(calm("up", "--family", other, check=False), USAGE, mend="labctl down --lab t-main")


# -- the lab's description --------------------------------------------------------------------


@pytest.fixture
def compose(tmp_path: Path) -> Path:
    """A copy of the lab's description, to be broken."""
    copied = tmp_path / "compose.yaml"
    copied.write_text(packaged.data_file("compose.yaml").read_text())
    return copied


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("hostname: node2.example.com", "hostnam: node2.example.com"),
        ("192.168.90.120", "192.168.90.110"),
        ("192.168.90.120", "192.168.91.120"),
        ("first_port: 7751", "first_port: seven"),
        ("networks:\n  default:", "networks: [\n  default:"),
    ],
    ids=["unknown key", "address twice", "out of the subnet", "type", "syntax"],
)
def test_a_broken_description(make_lab: MakeLab, compose: Path, old: str, new: str) -> None:
    lab = make_lab("t-broken")
    change(compose, old, new)
    result = lab("up", "--file", str(compose), check=False)
    refused(result, BAD_FILE, f"{compose}:")
    assert not lab.runs()


def test_the_only_port_is_taken(make_lab: MakeLab, compose: Path) -> None:
    lab = make_lab("t-port")
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        change(compose, "127.0.0.1:2224-2323:2224", f"127.0.0.1:{port}:2224")
        refused(
            lab("up", "--file", str(compose), *TWO, check=False), HOST_LACKS, f"Port {port}", mend="ss -ltnp"
        )
        assert not lab.runs()
    lab("up", "--file", str(compose), *TWO)
    assert lab.json("status")["state"] == "nodes"


# -- what the host lacks -------------------------------------------------------------------------


def path_without(folder: Path, *programs: str) -> str:
    """A PATH with every program of the host but these."""
    for place in os.environ["PATH"].split(os.pathsep):
        for program in Path(place).glob("*") if Path(place).is_dir() else ():
            link = folder / program.name
            if program.name not in programs and not link.is_symlink():
                link.symlink_to(program)
    return str(folder)


def test_podman_is_missing(make_lab: MakeLab, tmp_path: Path) -> None:
    lab = make_lab("t-lack")
    result = lab("up", check=False, env={"PATH": path_without(tmp_path, "podman")})
    refused(result, HOST_LACKS, "podman", mend="podman")
    assert not lab.places.root.exists()


def test_podman_is_too_old(make_lab: MakeLab, tmp_path: Path) -> None:
    lab = make_lab("t-lack")
    old = tmp_path / "podman"
    old.write_text("#!/bin/sh\necho podman version 3.4.4\n")
    old.chmod(0o755)
    result = lab("up", check=False, env={"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"})
    refused(result, HOST_LACKS, "3.4.4", "too old", mend="upgrade")


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk with 32 MiB."""
    tiny = tmp_path / "tiny"
    tiny.mkdir()
    run(["mount", "-t", "tmpfs", "-o", "size=32m", "tiny", str(tiny)], timeout=10)
    yield tiny
    run(["umount", "-l", str(tiny)], timeout=10)


def test_no_room_for_an_image(image: str, full_disk: Path) -> None:
    result = labctl("build", "--family", "debian", check=False, env={"LABCTL_STATE": str(full_disk)})
    refused(result, HOST_LACKS, "GiB free", str(full_disk), mend="LABCTL_STATE")


def test_no_room_for_an_image_during_up(image: str, full_disk: Path) -> None:
    env = {"LABCTL_STATE": str(full_disk)}
    refused(
        labctl("up", "--lab", "t-full", check=False, env=env), HOST_LACKS, "GiB free", mend="LABCTL_STATE"
    )
    assert labctl("down", "--lab", "t-full", env=env).rc == OK


def test_a_state_folder_with_a_long_name(image: str, tmp_path: Path) -> None:
    long = tmp_path / ("x" * 100)
    refused(labctl("up", "--lab", "t-long", check=False, env={"LABCTL_STATE": str(long)}), USAGE, "too long",
            mend="LABCTL_STATE")  # fmt: skip
    refused(labctl("ls", check=False, env={"LABCTL_STATE": "not/absolute"}), USAGE, "absolute")


# -- nodes and BMCs that fail -----------------------------------------------------------------------


BROKEN_INIT = "#!/bin/sh\necho 'this init is broken on purpose' >&2\nexit 1\n"


def test_a_node_that_does_not_boot(make_lab: MakeLab) -> None:
    """Its last words are shown, the exit code says that it failed, and `down` works."""
    lab = make_lab("t-boot")
    lab.up(*TWO)
    lab.on("node2", "sh", "-c", f"printf %s \"{BROKEN_INIT}\" > /usr/sbin/i && chmod +x /usr/sbin/i"
           " && mv -f /usr/sbin/i /usr/sbin/init")  # fmt: skip
    lab("podman", "--", "kill", "node2")
    result = lab("up", *TWO, check=False)
    refused(result, FAILED, "node2", "this init is broken on purpose", mend="labctl logs node2 --lab t-boot")
    assert "this init is broken on purpose" in lab("logs", "node2", check=False).stdout
    document = lab.json("validate", check=False)
    assert document["failed"] > 0
    assert lab("podman", "--", "rm", "-f", "node2").ok
    lab.up(*TWO)
    assert lab.json("status")["state"] == "nodes"


def test_a_daemon_that_does_not_run_is_reported(make_lab: MakeLab) -> None:
    lab = make_lab("t-boot")
    lab.up(*TWO)
    lab.on("node2", "systemctl", "stop", "sshd.service")
    document = lab.json("validate", check=False)
    assert {check["node"] for check in document["checks"] if check["status"] == "failed"} == {"node2"}


def test_bmcs_that_do_not_answer_are_reported(main: Driver) -> None:
    """A packet filter in the lab's own network drops IPMI; `validate` fails and names the nodes.

    The cluster's own monitor of a fence device may fall into that time: then the device failed, too,
    and says so until it is cleaned up.
    """
    table = "add table inet t_drop; add chain inet t_drop in { type filter hook input priority 0; };"
    main.inside("nft", table + " add rule inet t_drop in udp dport 7751-7754 drop")
    try:
        result = main("validate", "--json", check=False)
        assert result.rc == FAILED, result.describe()
        failed = [check for check in json.loads(result.stdout)["checks"] if check["status"] == "failed"]
        assert {check["node"] for check in failed if check["id"].startswith("bmc")} >= {"node1"}, failed
        assert all(check["hint"] for check in failed), failed
        for check in failed:
            of_a_fence_device = check["id"] == "resources.failed" and " of fence-node" in check["message"]
            assert check["id"].startswith(("bmc", "fencing")) or of_a_fence_device, check
    finally:
        main.inside("nft", "delete table inet t_drop")
    main.on("node1", "pcs", "stonith", "cleanup")
    wait_until("validate to pass again", lambda: main("validate", check=False).ok, timeout=PATIENCE, every=1)


def test_a_broken_pipe_is_no_error(calm: Driver) -> None:
    script = '"$@" | head -n1 >/dev/null; echo "${PIPESTATUS[0]}"'
    words = ["bash", "-c", script, "bash", *LABCTL, "status", "--json", "--lab", calm.name]
    said = run(words, timeout=60, cwd=ROOT)
    assert said.stdout.strip() == "0"
    assert "Traceback" not in said.stderr
