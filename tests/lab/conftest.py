"""The labs that the tests share. Nothing is faked: a host that cannot run a lab fails these tests."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from labctl.places import state_root
from tests.lab.driver import FAMILY, Driver, labctl

MakeLab = Callable[[str], Driver]
LOG_TAIL = 4000  # bytes of each log of a lab that a failure shows


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What the labs' own daemons said stands below a failure: the labs are gone when somebody reads it."""
    report = yield
    if report.failed:
        for log in sorted(state_root().glob("labs/t-*/log/*.log")):
            with suppress(OSError):
                said = log.read_bytes()[-LOG_TAIL:].decode(errors="replace")
                report.sections.append((f"{log.parts[-3]}: {log.name}", said))
    return report


def sweep() -> None:
    """End every lab of the tests, whatever state it is in."""
    for lab in json.loads(labctl("ls", "--json").stdout)["labs"]:
        if lab["lab"].startswith("t-"):
            labctl("down", "--lab", lab["lab"], "--wait", "60")


@pytest.fixture(scope="session")
def image() -> Iterator[str]:
    """The node image's tag. Where labctl cannot build it, its own words are the failure."""
    built = labctl("build", "--family", FAMILY, "--json", timeout=3600, check=False)
    if not built.ok:
        pytest.fail(f"labctl build: exit code {built.rc}\n{built.stderr[-4000:]}", pytrace=False)
    with (state_root() / ".tests.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the names of the labs belong to one test run at a time
        sweep()
        yield str(json.loads(built.stdout)["image"])
        sweep()
        (state_root() / ".tests.lock").unlink(missing_ok=True)


@pytest.fixture
def make_lab(image: str, tmp_path: Path) -> Iterator[MakeLab]:
    """A handle to a lab of the test's own, which is down afterwards."""
    made: list[Driver] = []

    def make(name: str) -> Driver:
        lab = Driver(name)
        lab.log = tmp_path
        made.append(lab)
        return lab

    yield make
    for lab in made:
        lab.down()


@pytest.fixture(scope="session")
def _main(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    lab = Driver("t-main")
    lab.log = tmp_path_factory.mktemp("t-main")
    lab.up()
    yield lab
    lab.down()


@pytest.fixture
def main(_main: Driver) -> Iterator[Driver]:
    """The lab of four nodes that most tests share, whole. What a test broke, `up` must mend."""
    yield _main
    _main.up()


@pytest.fixture(scope="module")
def calm(_main: Driver) -> Driver:
    """The same lab, for tests that only look."""
    _main.up()
    return _main
