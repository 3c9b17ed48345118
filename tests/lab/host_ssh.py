"""An ssh server on loopback that plays another host's, for one account without rights.

Run as: python -m tests.lab.host_ssh FOLDER UID
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import asyncssh

from labctl.run import spawn
from labctl.wait import wait_until

ROOT = Path(__file__).parents[2]
ADDRESS = "127.0.0.1"
SHELL_SECONDS = 300


class HostSsh:
    """One such server. port: where it listens; keyfile, known_hosts: what a client needs."""

    def __init__(self, home: Path, pid: int, port: int) -> None:
        self.home, self.pid, self.port = home, pid, port
        self.keyfile, self.known_hosts = home / "client", home / "known_hosts"

    def uri(self, kind: str, socket: Path) -> str:
        """What --libvirt-uri is given for a libvirtd's socket behind it."""
        words = f"socket={socket}&keyfile={self.keyfile}&known_hosts={self.known_hosts}"
        return f"qemu+ssh://somebody@{ADDRESS}:{self.port}/{kind}?{words}"


class _Server(asyncssh.SSHServer):
    """Forwards unix sockets both ways, as sshd_config(5) has it by default (AllowStreamLocalForwarding)."""

    def unix_connection_requested(self, dest_path: str) -> bool:
        return True

    def unix_server_requested(self, listen_path: str) -> bool:
        return True


@contextmanager
def host_ssh(home: Path, uid: int) -> Iterator[HostSsh]:
    """Start it with its keys below this folder; sessions run as uid, which is its gid, too."""
    client, server = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    client.write_private_key(home / "client")
    (home / "client").chmod(0o600)
    server.write_private_key(home / "server")
    client.write_public_key(home / "authorized_keys")
    (home / "port").unlink(missing_ok=True)
    words = [sys.executable, "-m", "tests.lab.host_ssh", str(home), str(uid)]
    process = spawn(words, log_file=home / "ssh.log", env={"PYTHONPATH": str(ROOT)})
    try:
        there = home / "port"
        wait_until("the ssh server", lambda: there.exists() or process.poll() is not None, timeout=30)
        assert process.poll() is None, (home / "ssh.log").read_text()
        port = int((home / "port").read_text())
        public = server.export_public_key().decode()
        (home / "known_hosts").write_text(f"[{ADDRESS}]:{port} {public}")
        yield HostSsh(home, process.pid, port)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=20)


async def _run(process: asyncssh.SSHServerProcess[bytes]) -> None:
    child = await asyncio.create_subprocess_exec(
        "sh",
        "-c",
        process.command or "exit 1",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd="/",
    )
    # Its own end of file would close the channel before the exit code has been told.
    await process.redirect(stdin=child.stdin, stdout=child.stdout, stderr=child.stderr, send_eof=False)
    process.exit(await asyncio.wait_for(child.wait(), SHELL_SECONDS))


async def _serve(home: Path, uid: int) -> None:
    listener = await asyncssh.listen(
        ADDRESS,
        0,
        server_factory=_Server,
        server_host_keys=[str(home / "server")],
        authorized_client_keys=str(home / "authorized_keys"),
        process_factory=_run,
        encoding=None,
        config=None,
    )
    (home / ".port").write_text(str(listener.get_port()))
    (home / ".port").rename(home / "port")
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)
    await listener.wait_closed()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1]), int(sys.argv[2])))
