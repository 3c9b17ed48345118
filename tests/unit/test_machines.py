"""What a lab's virtual machines are made of, and what follows from it for the lab."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from labctl.errors import BadFile, HostLacks, UsageError
from labctl.lab import machines
from labctl.lab.load import load_lab
from labctl.lab.record import Record
from labctl.lab.request import Request, described, mode_of
from labctl.places import LabPlaces
from labctl.storage.choose import choose_for_machines
from labctl.vm import accel, findings, room
from tests.fakes.engine import FakeEngine

GROUND = machines.Ground(
    image="0123456789abcdef",
    disk="/b/disk.img",
    kernel="/b/vmlinuz",
    initramfs="/b/initramfs",
    cmdline="quiet",
    kind="tcg",
    reason="no KVM",
    pace=10.0,
    memory={"node1": 1024, "node2": 1024},
    cpus={"node1": 1, "node2": 1},
    alone=True,
)


def keep(places: LabPlaces) -> None:
    (places.root / machines.NAME).write_text(json.dumps(asdict(GROUND)))


def record(mode: str) -> Record:
    return Record("x", "debian", "an-image", mode, "all", 2, storage="lio")


def test_a_lab_of_containers_has_no_ground(places: LabPlaces) -> None:
    assert machines.load(places) is None
    lab = load_lab("x")
    assert machines.fitted(lab, None) is lab


def test_a_damaged_ground_is_told(places: LabPlaces) -> None:
    for text in ("{", '{"image": "only"}', "[]"):
        (places.root / machines.NAME).write_text(text)
        with pytest.raises(BadFile, match=r"machines\.json"):
            machines.load(places)


def a_host(monkeypatch: pytest.MonkeyPatch, available: int) -> None:
    monkeypatch.setattr(room, "read_host", lambda _: room.Host(16 * 1024, available, 100 * 1024, 4))


@pytest.mark.parametrize("kvm", [True, False])
def test_a_host_without_room_is_told_before_anything_is_built(
    places: LabPlaces, monkeypatch: pytest.MonkeyPatch, kvm: bool
) -> None:
    """By what the faster kind takes, while a trial may still find that; there is no lab then."""
    monkeypatch.setattr(findings, "require", lambda: None)
    monkeypatch.setattr(accel, "unusable", lambda: "" if kvm else "there is no /dev/kvm")
    lab = load_lab("x", nodes=2).with_mode("vm")
    a_host(monkeypatch, 1638 + 2 * 768 + 512 + 3 * room.OVERHEAD_MIB["kvm"])
    if kvm:
        machines.require_host(lab, places)
    else:
        with pytest.raises(HostLacks, match="3 virtual machines"):
            machines.require_host(lab, places)
    a_host(monkeypatch, 3 * 1024)
    with pytest.raises(HostLacks, match="3 virtual machines"):
        machines.require_host(lab, places)
    assert machines.load(places) is None


def test_only_machines_that_are_off_need_memory(places: LabPlaces, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = load_lab("x", nodes=2).with_mode("vm")
    a_host(monkeypatch, 2800)
    engine = FakeEngine(on=["node1"])
    with pytest.raises(HostLacks, match="node2, target, to be started"):
        machines.require_memory(lab, GROUND, engine, places, runs=True)
    with pytest.raises(HostLacks, match="node1, node2, target, to be started"):
        machines.require_memory(lab, GROUND, engine, places, runs=False)
    a_host(monkeypatch, 0)
    without = lab.model_copy(update={"storage": lab.storage.model_copy(update={"driver": "none"})})
    machines.require_memory(without, GROUND, FakeEngine(on=["node1", "node2"]), places, runs=True)


def test_sizes_and_time_outs_follow_from_the_ground() -> None:
    lab = load_lab("x", nodes=2).with_mode("vm")
    fitted = machines.fitted(lab, GROUND)
    assert [(node.memory_mib, node.cpus) for node in fitted.nodes] == [(1024, 1), (1024, 1)]
    assert fitted.cluster.token_ms == 10_000
    assert fitted.cluster.op_timeout == "200s"
    assert fitted.cluster.properties == {"stonith-timeout": "200s", "load-threshold": "800%"}
    assert fitted.fencing.monitor == "600s"


def test_what_the_labs_file_says_stays() -> None:
    lab = load_lab("x", nodes=2).with_mode("vm")
    properties = {"stonith-timeout": "9s", "load-threshold": "5%"}
    own = {"token_ms": 5000, "op_timeout": "7s", "properties": properties}
    fencing = lab.fencing.model_copy(update={"monitor": "5min"})
    lab = lab.model_copy(update={"cluster": lab.cluster.model_copy(update=own), "fencing": fencing})
    cluster = machines.fitted(lab, GROUND).cluster
    assert machines.fitted(lab, GROUND).fencing == fencing
    assert (cluster.token_ms, cluster.op_timeout) == (5000, "7s")
    assert cluster.properties == properties


def test_under_kvm_the_cluster_keeps_its_own_time_outs() -> None:
    lab = load_lab("x", nodes=2).with_mode("vm")
    fast = machines.Ground(**{**asdict(GROUND), "kind": "kvm", "pace": 1.0})
    assert machines.fitted(lab, fast).cluster == lab.cluster
    assert machines.fitted(lab, fast).fencing == lab.fencing


def test_a_lab_keeps_its_mode(places: LabPlaces) -> None:
    keep(places)
    lab = described(Request(lab="x"), record("vm"))
    assert lab.has_machines
    assert mode_of(lab) == "vm"
    assert lab.nodes[0].memory_mib == 1024
    with pytest.raises(UsageError, match="made in mode vm, not container") as caught:
        described(Request(lab="x", mode="container"), record("vm"))
    assert "labctl down --lab x" in caught.value.mend


@pytest.mark.usefixtures("places")
def test_a_mixed_lab_is_as_its_file_says() -> None:
    lab = described(Request(lab="x"), record("mixed"))
    assert not lab.has_machines
    first = lab.nodes[0].model_copy(update={"mode": "vm"})
    assert mode_of(lab.model_copy(update={"nodes": (first, *lab.nodes[1:])})) == "mixed"


def test_machines_need_no_userspace_driver() -> None:
    assert choose_for_machines("auto").driver == "lio"
    assert choose_for_machines("none").driver == "none"
    with pytest.raises(UsageError, match="kernels of their own"):
        choose_for_machines("userspace")
