"""The image store that all labs share: a container storage of labctl's own, and podman upon it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from labctl import run
from labctl.errors import HostLacks, NotPermitted
from labctl.host.cgroups import private_cgroup2_prefix
from labctl.wait import wait_until

BUILD_NEEDS = 6 * 1024**3
LOCK_WAIT = 3600.0

_CONTAINERS_CONF = """\
[network]
network_backend = "netavark"
network_config_dir = "{networks}"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
tmp_dir = "{tmp}"
"""


@dataclass(frozen=True)
class ImageStore:
    """A folder with images. graph_root is what a lab names as its additional image store."""

    root: Path

    @property
    def graph_root(self) -> Path:
        return self.root / "storage"

    @property
    def run_root(self) -> Path:
        return self.root / "run"

    def prepare(self) -> None:
        """Make the folders. Raises NotPermitted."""
        try:
            self.run_root.mkdir(parents=True, exist_ok=True, mode=0o700)
            conf = self.root / "containers.conf"
            text = _CONTAINERS_CONF.format(tmp=self.run_root / "tmp", networks=self.root / "networks")
            if not conf.is_file() or conf.read_text() != text:
                fresh = conf.with_suffix(f".{os.getpid()}")
                fresh.write_text(text)
                fresh.replace(conf)
        except PermissionError as error:
            raise NotPermitted(
                f"The image store {self.root} cannot be written.",
                details=str(error),
                mend="run ./lab or use sudo",
            ) from None

    def isolated(self, *words: str) -> list[str]:
        """A command that takes everything with it when it ends.

        In a PID and mount namespace of its own, a build that is interrupted or killed leaves no
        process and no mount behind, only layers. setpriv(1) has it end with labctl, kill -9 included.
        """
        own = ["setpriv", "--pdeathsig", "KILL"]
        own += ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--"]
        return [*own, *private_cgroup2_prefix(), *words]

    def podman_words(self, *words: str) -> list[str]:
        """podman upon this store, to be run inside isolated()."""
        # fmt: off
        return ["podman", "--root", str(self.graph_root), "--runroot", str(self.run_root),
                "--storage-driver", "overlay", "--cgroup-manager", "cgroupfs", *words]
        # fmt: on

    @property
    def environment(self) -> dict[str, str]:
        return {"CONTAINERS_CONF": str(self.root / "containers.conf"), "TMPDIR": str(self.run_root)}

    def podman(self, *words: str, timeout: float, check: bool = True) -> run.Result:
        """Run podman upon this store. Raises as labctl.run.run."""
        self.prepare()
        argv = self.isolated(*self.podman_words(*words))
        return run.run(argv, timeout=timeout, check=check, env=self.environment)

    def podman_stream(
        self, *words: str, timeout: float, on_line: Callable[[str], None], cwd: Path | None = None
    ) -> run.Result:
        """Run podman upon this store, its lines handed on as they come. Raises as labctl.run.stream."""
        self.prepare()
        argv = self.isolated(*self.podman_words(*words))
        return run.stream(argv, timeout=timeout, on_line=on_line, env=self.environment, cwd=cwd)

    def inspect(self, reference: str) -> dict[str, Any] | None:
        """podman's description of an image in this store, None where there is no such image."""
        if not (self.graph_root / "overlay-images").is_dir():
            return None
        result = self.podman("image", "inspect", "--format", "json", reference, timeout=60, check=False)
        if not result.ok:
            return None
        found: list[dict[str, Any]] = json.loads(result.stdout)
        return found[0] if found else None

    def read_files(self, reference: str, first: str, second: str) -> tuple[str, str]:
        """The texts of two files inside an image. Raises CommandFailed where one is absent."""
        reader = (
            'ref=$1 one=$2 two=$3; shift 3; top=$("$@" mount "$ref") || exit;'
            ' cat "$top$one" && printf "\\036" && cat "$top$two"; rc=$?;'
            ' "$@" unmount "$ref" >/dev/null; exit $rc'
        )
        argv = self.isolated("sh", "-c", reader, "sh", reference, first, second, *self.podman_words("image"))
        one, _, two = run.run(argv, timeout=60, env=self.environment).stdout.partition("\036")
        return one, two

    def require_room(self, needed: int = BUILD_NEEDS) -> None:
        """Raises HostLacks where the store's disk has less than needed bytes free."""
        self.prepare()
        free = shutil.disk_usage(self.root).free
        if free < needed:
            raise no_room(self.root, needed, f"{free / 1024**3:.1f} GiB are free.")

    @contextlib.contextmanager
    def locked(self, on_line: Callable[[str], None]) -> Iterator[None]:
        """One build at a time in a store: waits for another's end, and says so. Raises TimedOut."""
        self.prepare()
        with (self.root / "build.lock").open("a") as file:
            if not _try_lock(file):
                on_line(f"Another labctl builds in {self.root}; waiting for it.")
                wait_until(
                    f"the other build in {self.root}", lambda: _try_lock(file), timeout=LOCK_WAIT, every=0.5
                )
            yield

    def clear_leftovers(self) -> None:
        """Remove what builds left that were killed: working containers, folders; only under the lock."""
        listed = self.podman("ps", "--all", "--external", "--quiet", timeout=60, check=False)
        left = listed.stdout.split()
        if left:
            self.podman("rm", "--force", *left, timeout=120, check=False)
        for pattern in ("context-*", "buildah*", "mmdebstrap.*"):
            for folder in self.run_root.glob(pattern):
                shutil.rmtree(folder, ignore_errors=True)
        (self.run_root / "base.tar").unlink(missing_ok=True)


def no_room(folder: Path, needed: int, details: str) -> HostLacks:
    """The error for a full disk, which names the folder and the room an image takes."""
    return HostLacks(
        f"Building a node image needs {needed / 1024**3:.0f} GiB free below {folder}.",
        details=details,
        mend="free some room, or point LABCTL_STATE at a folder on a larger disk",
    )


def _try_lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
