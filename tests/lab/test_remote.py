"""The way to another host, by a real ssh and qemu-storage-daemon; a server of the test's own plays that host.

A whole lab there: test_libvirt_remote.py, among the long tests.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from labctl.engine import exports
from labctl.engine.remote import FOLDER, Remote, for_a_while
from labctl.errors import ActionFailed, CommandFailed, HostLacks
from labctl.host.packages import find_program
from labctl.places import LabPlaces
from labctl.run import kill_group, run, spawn
from labctl.wait import wait_until
from tests.lab.host_ssh import ROOT, HostSsh, host_ssh

SOMEBODY = 64100  # an account without rights
ODD = 'it\'s a "word" with $HOME, `id` and\nmore'


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """A folder that the account can enter, with something that listens in it."""
    with tempfile.TemporaryDirectory(prefix="labctl-host-", dir="/var/tmp") as made:
        folder = Path(made)
        folder.chmod(0o755)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(folder / "libvirt-sock"))
            (folder / "libvirt-sock").chmod(0o777)
            listener.listen()
            threading.Thread(target=_answer, args=(listener, b"libvirtd"), daemon=True).start()
            yield folder


@pytest.fixture(scope="module")
def way(home: Path) -> Iterator[HostSsh]:
    with host_ssh(home, SOMEBODY) as found:
        yield found


@pytest.fixture
def remote(home: Path, way: HostSsh, tmp_path: Path) -> Iterator[Remote]:
    made = Remote(way.uri("system", home / "libvirt-sock"), tmp_path / "near")
    made.open()
    yield made
    made.close()
    assert not made.alive
    assert not made.folder.exists()


@pytest.fixture
def there(remote: Remote) -> Iterator[Path]:
    """A folder on that host."""
    folder = Path(FOLDER / f"labctl-t-{os.getpid()}")
    assert remote.make_folder(str(folder)) == SOMEBODY
    yield folder
    remote.remove_folder(str(folder))
    assert not folder.exists()


def _answer(listener: socket.socket, who: bytes) -> None:
    while True:
        try:
            caller, _ = listener.accept()
        except OSError:
            return
        with caller:
            caller.sendall(who)


def said_at(path: Path) -> bytes:
    with socket.socket(socket.AF_UNIX) as caller:
        caller.settimeout(10)
        caller.connect(str(path))
        return caller.recv(100)


def test_words_arrive_as_they_are_and_nothing_runs_as_root(remote: Remote) -> None:
    assert remote.shell('printf %s "$1"', ODD).stdout == ODD
    assert remote.shell("id -u").stdout == f"{SOMEBODY}\n"
    assert remote.shell("exit 7", check=False).rc == 7
    meminfo, processors = remote.resources()
    assert processors >= 1
    assert "MemAvailable" in meminfo


def test_a_file_arrives_whole_and_is_read_from_its_end(remote: Remote, there: Path, tmp_path: Path) -> None:
    content = os.urandom(300_000)
    (tmp_path / "kernel").write_bytes(content)
    (tmp_path / "small").touch()
    remote.send([tmp_path / "kernel"], str(there), timeout=60)
    assert (there / "kernel").read_bytes() == content
    with pytest.raises(HostLacks, match="could not be copied") as caught:
        remote.send([tmp_path / "small"], "/proc", timeout=60)
    assert "df -h /proc" in caught.value.mend
    remote.append(str(there / "log"), "one\n")
    remote.append(str(there / "log"), "two\n")
    assert remote.read(str(there / "log"), 5) == "\ntwo\n"
    assert remote.read(str(there / "none"), 5) == ""


def test_sockets_lead_there_and_back_for_that_accounts_group_alone(
    remote: Remote, there: Path, home: Path, tmp_path: Path
) -> None:
    remote.reach(tmp_path / "a:b", remote.libvirt_socket())
    assert said_at(tmp_path / "a:b") == b"libvirtd"
    assert (tmp_path / "a:b").stat().st_mode & 0o777 == 0o600
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "disks"))
        listener.listen()
        threading.Thread(target=_answer, args=(listener, b"disks"), daemon=True).start()
        for _ in range(2):  # one that an earlier connection has left is in nobody's way
            remote.offer(str(there / "nbd"), tmp_path / "disks")
            assert said_at(there / "nbd") == b"disks"
    about = (there / "nbd").stat()
    assert (about.st_mode & 0o777, about.st_gid) == (0o660, SOMEBODY)
    assert there.stat().st_mode & 0o777 == 0o770


def test_a_folder_of_somebody_else_is_not_taken(remote: Remote) -> None:
    with (
        tempfile.TemporaryDirectory(dir="/var/tmp") as ours,
        pytest.raises(HostLacks, match="cannot be made"),
    ):
        remote.make_folder(ours)


def test_no_libvirt_there_is_told_with_the_sockets_name(way: HostSsh, home: Path, tmp_path: Path) -> None:
    remote = Remote(way.uri("system", home / "none"), tmp_path / "near")
    remote.open()
    try:
        with pytest.raises(HostLacks, match=r"no socket .*/none"):
            remote.libvirt_socket()
    finally:
        remote.close()


def test_a_host_that_does_not_let_us_in_is_told_with_what_to_try(
    way: HostSsh, home: Path, tmp_path: Path
) -> None:
    uri = way.uri("system", home / "libvirt-sock")
    for wrong, said in (
        (uri.replace(f"keyfile={way.keyfile}", f"keyfile={home / 'server'}"), "Permission denied"),
        (uri.replace(str(way.known_hosts), str(home / "nobody")), "Host key verification failed"),
        (uri.replace(f":{way.port}", ":1"), "refused"),
    ):
        with pytest.raises(HostLacks, match="ssh does not get to") as caught:
            Remote(wrong, tmp_path / "near").open()
        assert said in caught.value.details
        assert "somebody@127.0.0.1 true" in caught.value.mend


def test_a_connection_that_ended_is_not_made_anew_behind_our_back(remote: Remote) -> None:
    os.kill(_master(remote.folder), signal.SIGKILL)
    wait_until("the connection to be gone", lambda: not remote.alive, timeout=10)
    with pytest.raises(CommandFailed):
        remote.shell("true")
    remote.open()
    assert remote.shell("echo again").stdout == "again\n"


def test_a_connection_for_a_while_goes_with_a_labctl_that_is_killed(
    way: HostSsh, home: Path, tmp_path: Path
) -> None:
    script = (
        "import sys, time\nfrom labctl.engine.remote import for_a_while\n"
        f"with for_a_while({way.uri('system', home / 'libvirt-sock')!r}) as (remote, address):\n"
        "    print(remote.folder, flush=True)\n    time.sleep(60)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        master = _master(folder)
    finally:
        process.kill()
        process.communicate(timeout=10)
    wait_until("ssh to end", lambda: not Path(f"/proc/{master}").exists(), timeout=10)
    for left in folder.iterdir():
        left.unlink()
    folder.rmdir()
    with for_a_while(way.uri("system", home / "libvirt-sock")) as (remote, address):
        assert said_at(remote.folder / "libvirt-sock") == b"libvirtd"
        assert address.startswith("qemu+unix:///system?socket=/")
    assert not remote.folder.exists()


def _master(folder: Path) -> int:
    """The ssh that holds the connection of this folder."""
    control = f"ControlPath={folder / 'ssh'}"
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if control in words and "-M" in words:
                return int(entry.name)
    raise AssertionError(f"nobody holds {folder}")


# -- the disks -------------------------------------------------------------------------------


@pytest.fixture
def served(tmp_path: Path) -> Iterator[LabPlaces]:
    """A lab's folder with a machine in it, and the daemon that serves its disks."""
    places = LabPlaces("t", tmp_path / "t")
    folder = places.vms / "node1"
    for made in (folder, places.remote, places.logs):
        made.mkdir(parents=True)
    run(["qemu-img", "create", "-q", "-f", "qcow2", folder / "disk.qcow2", "64M"], timeout=20)
    (folder / "files.tar").write_bytes(b"first".ljust(512, b"\0"))
    program = find_program(exports.PROGRAM)
    assert program is not None
    process = spawn(exports.command(program, places), log_file=places.logs / "exports.log")
    try:
        wait_until("the daemon", (places.remote / "nbd").exists, timeout=20)
        yield places
    finally:
        kill_group(process)
        process.wait(timeout=10)


def at(places: LabPlaces, disk: str) -> str:
    return f"nbd+unix:///{exports.export_name('node1', disk)}?socket={places.remote / 'nbd'}"


def io(places: LabPlaces, disk: str, *words: str, mode: str = "-n") -> str:
    argv = ["qemu-io", mode, "-f", "raw"]
    for word in words:
        argv += ["-c", word]
    return run([*argv, at(places, disk)], timeout=30).stdout


def test_what_is_written_there_is_in_the_file_here(served: LabPlaces) -> None:
    exports.serve(served, "node1", careful=False)
    io(served, exports.SYSTEM, "write -P 0x5a 1M 64k", "flush")
    # The daemon goes on: what its client flushed is in the file that a snapshot copies meanwhile.
    copy = served.root / "copy.qcow2"
    copy.write_bytes((served.vms / "node1" / "disk.qcow2").read_bytes())
    assert (
        "Pattern verification failed"
        not in run(["qemu-io", "-f", "qcow2", "-r", "-c", "read -P 0x5a 1M 64k", copy], timeout=30).stdout
    )


def test_each_start_serves_the_files_as_they_are_then(served: LabPlaces) -> None:
    exports.serve(served, "node1", careful=True)
    io(served, exports.SYSTEM, "write -P 0x5a 0 64k")
    files = served.vms / "node1" / "files.tar"
    files.unlink()
    files.write_bytes(b"2" * 512)
    exports.serve(served, "node1", careful=True)
    assert "Pattern verification failed" not in io(served, exports.FILES, "read -P 0x32 0 512", mode="-r")
    assert "Pattern verification failed" not in io(served, exports.SYSTEM, "read -P 0x5a 0 64k")
    refused = run(
        ["qemu-io", "-f", "raw", "-c", "write 0 512", at(served, exports.FILES)], timeout=30, check=False
    )
    assert not refused.ok


def test_what_is_forgotten_is_served_no_more_and_its_file_is_free(served: LabPlaces) -> None:
    exports.serve(served, "node1", careful=False)
    disk = served.vms / "node1" / "disk.qcow2"
    locked = run(["qemu-io", "-f", "qcow2", "-c", "write 0 512", disk], timeout=30, check=False)
    assert not locked.ok
    assert exports.served(served)
    exports.forget(served, "node1")
    assert not exports.served(served)
    run(["qemu-io", "-f", "qcow2", "-c", "write 0 512", disk], timeout=30)
    assert not run(["qemu-img", "info", at(served, exports.SYSTEM)], timeout=30, check=False).ok


def test_many_machines_that_start_at_once_are_all_served(served: LabPlaces) -> None:
    names = [f"node{number}" for number in range(1, 9)]
    for name in names[1:]:
        shutil.copytree(served.vms / "node1", served.vms / name)
    with ThreadPoolExecutor(max_workers=len(names)) as pool:
        list(pool.map(lambda name: exports.serve(served, name, careful=False), names))
    for name in names:
        run(["qemu-img", "info", at(served, exports.SYSTEM).replace("node1", name)], timeout=30)


def test_a_disk_that_is_not_there_and_a_daemon_that_is_not_are_told(served: LabPlaces) -> None:
    with pytest.raises(ActionFailed, match="disks of node2 cannot be served"):
        exports.serve(served, "node2", careful=False)
    (served.remote / "qmp").unlink()
    with pytest.raises(ActionFailed, match="disks of node1 cannot be served"):
        exports.serve(served, "node1", careful=False)
