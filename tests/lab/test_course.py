"""The contract of every exercise that containers can do, and the course as a learner and a teacher use it."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from labctl.cli.course_host import variable_names
from labctl.course import catalog
from labctl.course.form import Exercise
from labctl.errors import FAILED, HOST_LACKS, INTERRUPTED, USAGE
from labctl.run import run
from tests.lab.contract import COURSE, IN_CONTAINERS, Contracts, Starts, graded, hold, wrong
from tests.lab.driver import ROOT, Driver, refused

NAME = "t-course"


@pytest.fixture(scope="module")
def lab(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    """A lab of four nodes as `up` makes it, with the cluster that the course does not start from."""
    made = Driver(NAME)
    made.log = tmp_path_factory.mktemp(NAME)
    made.up()
    yield made
    made.down()


@pytest.fixture(scope="module")
def starts(lab: Driver) -> Starts:
    return Starts(lab)


@pytest.fixture(scope="module")
def contracts(
    request: pytest.FixtureRequest, lab: Driver, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Contracts]:
    """The contracts of all exercises that this run is to hold, under way in two labs side by side."""
    items = [item for item in request.session.items if isinstance(item, pytest.Function)]
    mine = [item for item in items if item.module is request.module]
    ids = [item.callspec.id for item in mine if item.originalname == "test_the_contract"]
    chosen = [COURSE.find(each) for each in ids]
    second = Driver(f"{NAME}-two")
    second.log = tmp_path_factory.mktemp(second.name)
    with Contracts(chosen, [lab, second]) as running:
        yield running
    second.down()


@pytest.mark.slow
@pytest.mark.timeout(2400)  # the first one waits while others are held, too
@pytest.mark.parametrize("exercise", IN_CONTAINERS, ids=lambda each: each.id)
def test_the_contract(contracts: Contracts, exercise: Exercise) -> None:
    contracts.result(exercise)


@pytest.mark.timeout(600)
def test_the_documented_example(lab: Driver, starts: Starts, tmp_path: Path) -> None:
    text = (ROOT / "docs" / "writing-exercises.md").read_text(encoding="utf-8")
    [block] = re.findall(r"```yaml\n(id: .*?)```", text, re.DOTALL)
    (tmp_path / "motd.yaml").write_text(block, encoding="utf-8")
    [exercise], wrong_ones = catalog.lint([tmp_path], variables=variable_names())
    assert wrong_ones == []
    hold(lab, exercise, starts, course=tmp_path)


# -- as a learner uses it ---------------------------------------------------------------------------


@pytest.mark.timeout(600)
def test_one_exercise_after_another_without_finishing(lab: Driver) -> None:
    """What the one before has left is gone, whatever it was."""
    lab("exercise", "day1/firewall", "--reset")
    lab("solve")
    lab("exercise", "day1/names")
    assert lab.on("node1", "systemctl", "is-active", "firewalld", check=False).stdout.strip() == "inactive"
    assert set(wrong(graded(lab))) == {"hostname", "table"}
    again = lab("exercise", "day1/names").stdout
    assert "--reset" in again, "it goes on where it was, and says how to begin anew"


@pytest.mark.timeout(600)
def test_hints_come_one_by_one_and_are_counted(lab: Driver) -> None:
    lab("exercise", "day1/names", "--reset")
    exercise = COURSE.find("day1/names")
    shown = [lab("hint").stdout for _ in range(len(exercise.hints) + 1)]
    assert [text.count("Hint ") for text in shown] == [1, 2, 3, 3]
    assert "labctl solve" in shown[-1]
    told = json.loads(lab("progress", "export").stdout)
    assert told["exercises"]["day1/names"]["shown"] == len(exercise.hints)


@pytest.mark.timeout(600)
def test_watching_goes_on_until_all_is_right(lab: Driver) -> None:
    lab("exercise", "day1/names", "--reset")
    begun = lab.begin("check", "--watch")
    begun.await_words("missing")
    begun.signal(signal.SIGINT)
    assert begun.end() == INTERRUPTED, begun.said
    assert "Traceback" not in begun.said
    begun = lab.begin("check", "--watch")
    begun.await_words("missing")
    lab("solve")
    assert begun.end() == 0, begun.said
    assert "is done" in begun.said


@pytest.mark.timeout(600)
def test_the_language_is_remembered(lab: Driver) -> None:
    text = lab("exercise", "day1/names", "--lang", "ko").stdout
    assert COURSE.find("day1/names").title.ko in text
    message = graded(lab)["checks"][0]["message"]
    assert re.search("[가-힣]", message)
    lab("exercise", "list", "--lang", "en")


@pytest.mark.timeout(900)
def test_a_lab_in_ruins_is_graded_in_words_and_brought_back(lab: Driver) -> None:
    """A node that is off, one without names and a way in, one without a network and Python, no ssh."""
    lab("exercise", "day1/ssh", "--reset")
    lab.on("node1", "systemctl", "poweroff", check=False)
    lab.on("node2", "sh", "-c", "rm -rf /etc/ssh /root /etc/hosts; systemctl stop ssh sshd", check=False)
    lab.on("node3", "sh", "-c", "ip link set eth1 down; chmod 0 /usr/bin/python3*", check=False)
    lab.on("node4", "sh", "-c", "rm -f /usr/bin/ssh", check=False)
    document = graded(lab)
    assert document["failed"]
    lab("exercise", "day1/ssh", "--reset")
    assert set(wrong(graded(lab))) == {"key"}


@pytest.mark.timeout(600)
def test_a_lab_that_does_not_run_is_said_so_and_comes_back(lab: Driver) -> None:
    lab("exercise", "day1/names", "--reset")
    lab("down", "--keep", "--wait", "60")
    refused(lab("check", check=False), FAILED, "does not run", mend="labctl up")
    lab("exercise", "day1/names", "--reset")
    assert set(wrong(graded(lab))) == {"hostname", "table"}


@pytest.mark.timeout(600)
def test_a_start_whose_snapshot_is_damaged_is_made_anew(lab: Driver) -> None:
    (lab.places.snapshots / "fresh-nodes" / "meta.json").write_text("{")
    lab("exercise", "day1/names", "--reset")
    assert set(wrong(graded(lab))) == {"hostname", "table"}
    assert json.loads((lab.places.snapshots / "fresh-nodes" / "meta.json").read_text())["until"] == "nodes"


@pytest.mark.timeout(600)
def test_a_learner_who_fills_the_disk_comes_back_to_the_start(image: str, tmp_path: Path) -> None:
    """The lab lies on a small file system. A plain restore leaves it as it is, the course's makes room."""
    lab = Driver(f"{NAME}-full")
    lab.log = tmp_path
    lab.places.root.mkdir(mode=0o700, parents=True)
    run(["mount", "-t", "tmpfs", "-o", "mode=700,size=400m", "small", lab.places.root], timeout=10)
    try:
        lab.up("--until", "nodes")
        lab("exercise", "day1/snapshot")
        lab.on("node1", "dd", "if=/dev/zero", "of=/root/filler", "bs=1M", check=False)
        refused(lab.snapshot("restore", "fresh-nodes", check=False), HOST_LACKS, mend="snapshot delete")
        # podman needs room for every command in a node, and there is none; that is told.
        told = lab("check", "--quick", check=False)
        assert told.rc == FAILED
        assert "space left on device" in told.stdout
        assert "labctl exercise day1/snapshot --reset" in told.stderr
        lab("exercise", "day1/snapshot", "--reset")
        assert lab.on("node1", "ls", "/root").stdout.split() == ["notes.txt"]
        # And where the start has no snapshot any more, so that the lab is made anew.
        lab.snapshot("delete", "fresh-nodes")
        lab.on("node1", "dd", "if=/dev/zero", "of=/root/filler", "bs=1M", check=False)
        lab("exercise", "day1/snapshot", "--reset")
        assert lab.on("node1", "ls", "/root").stdout.split() == ["notes.txt"]
    finally:
        lab("down", "--keep", check=False)
        run(["umount", lab.places.root], timeout=30, check=False)
        lab.down()


def test_what_is_asked_wrongly(lab: Driver) -> None:
    refused(lab("exercise", "day1/nmaes", check=False), USAGE, "did you mean day1/names?")
    refused(lab("exercise", "day1", "day2", check=False), USAGE, "One exercise at a time")
    refused(lab("exercise", "list", "--lang", "de", check=False), USAGE, "no language", mend="--lang en")
    lab("exercise", "day1/names", "--reset")
    lab("finish")
    refused(lab("check", check=False), USAGE, "No exercise is under way", mend="labctl exercise day1")


@pytest.mark.timeout(600)
def test_an_exercise_that_needs_a_virtual_machine(lab: Driver, tmp_path: Path) -> None:
    text = (catalog.OWN / "day1" / "names.yaml").read_text(encoding="utf-8")
    text = text.replace("id: day1/names", "id: day3/gfs").replace(
        "start: nodes", "needs: [dlm]\nstart: nodes"
    )
    (tmp_path / "gfs.yaml").write_text(text, encoding="utf-8")
    result = lab("exercise", "day3/gfs", "--course", str(tmp_path), check=False)
    refused(result, USAGE, "needs virtual machines (dlm)", mend="labctl up --lab vm --mode vm")


@pytest.mark.timeout(600)
def test_a_damaged_record_is_kept_aside_and_told(lab: Driver) -> None:
    path = lab.places.logs / "course.json"
    path.write_text("{")
    assert "damaged" in lab("exercise", "list").stderr
    assert list(lab.places.logs.glob("course.damaged-*.json"))


# -- the teacher's side -----------------------------------------------------------------------------


@pytest.mark.timeout(900)
def test_results_for_a_teacher(lab: Driver, tmp_path: Path) -> None:
    lab("exercise", "day1/ssh", "--reset")
    lab("solve")
    assert graded(lab, "--junit", str(tmp_path / "one.xml"))["done"]
    assert "<testcase" in (tmp_path / "one.xml").read_text()
    everything = json.loads(lab("check", "--all", "--json").stdout)
    assert {one["id"]: one["status"] for one in everything["checks"]}["day1/ssh"] == "passed"
    lab("progress", "export", str(tmp_path / "kim.json"), "--student", "kim")
    [student] = json.loads(lab("progress", "report", str(tmp_path), "--json").stdout)["students"]
    assert (student["student"], student["exercises"]["day1/ssh"]["state"]) == ("kim", "done")
    lab("exercise", "day1", "--reset")
    told = json.loads(lab("progress", "show", "--json").stdout)
    assert {one["state"] for one in told["exercises"].values()} == {"todo", "open"}
