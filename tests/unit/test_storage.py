"""The host's side of the shared disks: which driver, which files, whom to cut off."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from labctl.bubble import loops
from labctl.errors import ActionFailed, HostLacks, UsageError
from labctl.lab import storage
from labctl.lab.load import load_lab
from labctl.lab.model import Lab
from labctl.places import LabPlaces
from labctl.storage import cut, disks, saveconfig
from labctl.storage.base import Choice, NodeDisks
from labctl.storage.choose import choose, choose_for_machines, userspace_lacks
from labctl.storage.mixed import Mixed
from labctl.storage.userspace import Userspace
from tests.fakes.engine import FakeEngine

MIB = 1024**2


@pytest.fixture
def lab() -> Lab:
    return load_lab("spike").model_copy(update={"family": "debian"})


@pytest.fixture
def places(tmp_path: Path) -> LabPlaces:
    return LabPlaces("spike", tmp_path)


# -- the choice ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lio", "userspace", "driver"),
    [
        ("", "", "lio"),
        ("", "no fuse", "lio"),
        ("no modules", "", "userspace"),
        ("no modules", "no fuse", "none"),
    ],
)
def test_auto_takes_the_first_that_can_run_and_says_why(lio: str, userspace: str, driver: str) -> None:
    found = choose("auto", lio=lio, userspace=userspace)
    assert found.driver == driver
    assert lio in found.reason


@pytest.mark.parametrize("wanted", ["lio", "userspace", "none"])
def test_what_was_asked_for_is_taken(wanted: str) -> None:
    assert choose(wanted, lio="", userspace="").driver == wanted


@pytest.mark.parametrize(
    ("wanted", "lio", "userspace", "mend"),
    [
        ("lio", "no modules", "", "--storage userspace"),
        ("lio", "no modules", "no fuse", "--storage none"),
        ("userspace", "", "no fuse", "--storage lio"),
    ],
)
def test_a_driver_that_cannot_run_is_refused_and_another_named(
    wanted: str, lio: str, userspace: str, mend: str
) -> None:
    with pytest.raises(HostLacks) as caught:
        choose(wanted, lio=lio, userspace=userspace)
    assert mend in caught.value.mend
    assert (lio if wanted == "lio" else userspace) in caught.value.message


def test_userspace_needs_its_devices_and_a_family_with_an_initiator(tmp_path: Path) -> None:
    assert "--family debian" in userspace_lacks(family_has_initiator=False)
    assert "fuse" in userspace_lacks(family_has_initiator=True, dev=tmp_path)
    (tmp_path / "fuse").touch()
    assert "loop-control" in userspace_lacks(family_has_initiator=True, dev=tmp_path)
    (tmp_path / "loop-control").touch()
    assert userspace_lacks(family_has_initiator=True, dev=tmp_path) == ""


def test_a_lab_keeps_its_driver(lab: Lab) -> None:
    assert storage.asked_for(lab, None, "userspace").storage.driver == "userspace"
    assert storage.asked_for(lab, "auto", "userspace").storage.driver == "userspace"
    assert storage.asked_for(lab, "none", "").storage.driver == "none"
    with pytest.raises(UsageError) as caught:
        storage.asked_for(lab, "none", "userspace")
    assert "labctl down" in caught.value.mend


# -- the files -------------------------------------------------------------------------------


def test_disks_are_made_sparse_private_and_in_their_size(lab: Lab, places: LabPlaces) -> None:
    assert not disks.current(lab, places, on_host=True)
    disks.prepare(lab, places, on_host=True)
    assert disks.current(lab, places, on_host=True)
    for disk in lab.storage.disks:
        about = (places.disks / f"{disk.name}.img").stat()
        assert (about.st_size, about.st_blocks, about.st_mode & 0o777) == (disk.size * MIB, 0, 0o600)
    assert (places.target / "saveconfig.json").stat().st_mode & 0o777 == 0o600


def test_a_labctl_that_is_killed_leaves_a_disk_whole_or_none(
    lab: Lab, places: LabPlaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A short one would be taken for a disk that was damaged, and never served."""

    class Killed(BaseException):
        pass

    opened = Path.open

    def killed_when_it_is_there(self: Path, *words: Any, **more: Any) -> Any:
        file = opened(self, *words, **more)
        if words != ("xb",):
            return file
        file.close()
        raise Killed

    def killed(*_: object) -> None:
        raise Killed

    for step, death in (("open", killed_when_it_is_there), ("chmod", killed), ("replace", killed)):
        with monkeypatch.context() as patched:
            patched.setattr(Path, step, death)
            with pytest.raises(Killed):
                disks.prepare(lab, places, on_host=True)
    disks.prepare(lab, places, on_host=True)
    assert disks.current(lab, places, on_host=True)
    assert [each.name for each in places.disks.iterdir() if each.name.startswith(".")] == []


def test_what_is_on_a_disk_stays(lab: Lab, places: LabPlaces) -> None:
    disks.prepare(lab, places, on_host=True)
    with (places.disks / "sdb.img").open("r+b") as image:
        image.write(b"precious")
    disks.prepare(lab, places, on_host=True)
    with (places.disks / "sdb.img").open("rb") as image:
        assert image.read(8) == b"precious"


def test_a_disk_that_is_gone_or_cut_short_is_never_made_anew(lab: Lab, places: LabPlaces) -> None:
    disks.prepare(lab, places, on_host=True)
    (places.disks / "sdb.img").unlink()
    with (places.disks / "sdc.img").open("r+b") as image:
        image.truncate(MIB)
    for call in (disks.prepare, disks.current):
        with pytest.raises(ActionFailed) as caught:
            call(lab, places, on_host=True)
        assert "sdb.img is gone" in caught.value.details
        assert "sdc.img has 1048576 bytes" in caught.value.details
        assert "snapshot restore" in caught.value.mend
    assert not (places.disks / "sdb.img").exists()


def test_a_disk_that_changes_its_size_is_refused(lab: Lab, places: LabPlaces) -> None:
    disks.prepare(lab, places, on_host=True)
    smaller = resized(lab, "sdd", 1024)
    with pytest.raises(ActionFailed) as caught:
        disks.current(smaller, places, on_host=True)
    assert "sdd.img was made with" in caught.value.details


def test_a_disk_that_leaves_the_description_is_named_and_its_file_stays(lab: Lab, places: LabPlaces) -> None:
    disks.prepare(lab, places, on_host=True)
    two = lab.model_copy(update={"storage": lab.storage.model_copy(update={"disks": lab.storage.disks[:2]})})
    assert disks.leaving(two, places) == ["sdd"]
    assert not disks.current(two, places, on_host=True)
    disks.prepare(two, places, on_host=True)
    assert (places.disks / "sdd.img").exists()
    assert disks.leaving(two, places) == []


def test_a_damaged_configuration_is_written_anew(lab: Lab, places: LabPlaces) -> None:
    disks.prepare(lab, places, on_host=True)
    (places.target / "saveconfig.json").write_text("{")
    assert not disks.current(lab, places, on_host=True)
    disks.prepare(lab, places, on_host=True)
    assert json.loads((places.target / "saveconfig.json").read_text()) == saveconfig.document(lab)


def test_a_folder_that_cannot_be_written_is_the_hosts_lack(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "disks").write_text("a file where the folder belongs")
    with pytest.raises(HostLacks):
        disks.prepare(lab, LabPlaces("spike", tmp_path), on_host=True)


def resized(lab: Lab, name: str, size: int) -> Lab:
    changed = tuple(
        disk.model_copy(update={"size": size}) if disk.name == name else disk for disk in lab.storage.disks
    )
    return lab.model_copy(update={"storage": lab.storage.model_copy(update={"disks": changed})})


# -- the userspace driver --------------------------------------------------------------------


def test_the_targets_machine_stands_at_its_address(lab: Lab, places: LabPlaces) -> None:
    appliance = Userspace().appliance(lab, places)
    assert (appliance.name, appliance.hostname) == ("target", "target.example.com")
    assert (appliance.network, appliance.address) == ("storage", "192.168.100.100")
    assert (str(places.disks), "/var/lib/iscsi_disks") in appliance.mounts


def test_nodes_get_programs_units_and_only_if_wanted_the_login(lab: Lab) -> None:
    driver = Userspace()
    by_hand = {file.path: file for file in driver.node_files(lab, lab.nodes[0], login=False)}
    complete = {file.path: file for file in driver.node_files(lab, lab.nodes[0], login=True)}
    assert by_hand["/usr/local/sbin/iscsiadm"].mode == 0o755
    assert "/usr/local/lib/labctl/innode/command.py" in by_hand
    record = "/etc/iscsi/nodes/iqn.2023-02.com.example:blocks/192.168.100.100,3260,1/default"
    assert record not in by_hand
    assert b"node.startup = automatic" in complete[record].content
    assert complete[record].mode == 0o600
    units = {path.rpartition("/")[2] for path in by_hand if path.startswith("/etc/systemd/system/")}
    assert {"open-iscsi.service", "iscsi.service", "iscsid.service", "target.service"} <= units


def test_a_nodes_answer_is_read(lab: Lab) -> None:
    driver = Userspace()
    assert driver.answered(["unrelated"]) == NodeDisks()
    lines = ["storage configured", "storage disk sdb", "storage disk sdd", "storage nonsense"]
    assert driver.answered(lines) == NodeDisks(configured=True, disks=frozenset({"sdb", "sdd"}))


def test_a_target_that_is_not_there_is_told_as_trouble(lab: Lab) -> None:
    assert "target" in Userspace().show(FakeEngine(), lab).trouble


# -- cutting off -----------------------------------------------------------------------------


def test_only_a_tgtd_counts_as_target(tmp_path: Path) -> None:
    for number, name in (("11", "tgtd"), ("12", "systemd"), ("13", "tgtd")):
        (tmp_path / number).mkdir()
        (tmp_path / number / "comm").write_text(f"{name}\n")
        (tmp_path / number / "cgroup").write_text("0::/no-such-group\n")
    (tmp_path / "14").mkdir()  # it ended meanwhile
    (tmp_path / "self").mkdir()
    assert cut.targets(tmp_path) == [11, 13]


def test_nobody_is_asked_where_there_is_no_target(tmp_path: Path) -> None:
    cut.cut(["192.168.100.110"], proc=tmp_path)


# -- loop devices ----------------------------------------------------------------------------


def test_the_first_lab_notes_the_loop_devices_and_later_ones_leave_the_note(tmp_path: Path) -> None:
    loops.remember(tmp_path)
    note = tmp_path / ".loops"
    assert note.read_text().split()
    note.write_text("0 1")
    loops.remember(tmp_path)
    assert note.read_text() == "0 1"


def test_without_a_note_nothing_is_removed(tmp_path: Path) -> None:
    before = sorted(path.name for path in Path("/sys/block").glob("loop*"))
    loops.tidy(tmp_path, last=True)
    assert sorted(path.name for path in Path("/sys/block").glob("loop*")) == before


# -- machines and containers in one lab -----------------------------------------------------------


def test_containers_beside_machines_need_a_way_to_the_disks() -> None:
    assert choose_for_machines("auto").driver == "lio"
    assert choose_for_machines("auto", "no FUSE") == Choice(
        "none", "the nodes that are containers cannot reach disks: no FUSE"
    )
    with pytest.raises(HostLacks, match="no FUSE"):
        choose_for_machines("lio", "no FUSE")
    with pytest.raises(UsageError):
        choose_for_machines("userspace")


def test_each_node_of_a_mixed_lab_has_its_own_way_in(lab: Lab) -> None:
    machine = lab.nodes[1].model_copy(update={"mode": "vm"})
    driver = Mixed()
    in_container = {file.path for file in driver.node_files(lab, lab.nodes[0], login=True)}
    in_machine = {file.path for file in driver.node_files(lab, machine, login=True)}
    assert "/usr/local/sbin/iscsiadm" in in_container
    assert "/usr/local/sbin/iscsiadm" not in in_machine
    record = "/etc/iscsi/nodes/iqn.2023-02.com.example:blocks/192.168.100.100,3260,1/default"
    assert record in in_container & in_machine
    assert not driver.disks_on_host
