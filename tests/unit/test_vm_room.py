"""labctl.vm.room: who gets what of this host's memory and processors, and when there is too little."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labctl.errors import HostLacks
from labctl.vm import room
from labctl.vm.room import Fit, Guest, Host, fit, read_host, target_guest

DISK = Path("/var/lib/labctl")


def course(nodes: int = 4, *, memory: int = 4096, cpus: int = 2) -> list[Guest]:
    return [*(Guest(f"node{n}", memory, cpus) for n in range(1, nodes + 1)), target_guest()]


def host(available: int, *, memory: int = 16 * 1024, disk: int = 100 * 1024, processors: int = 8) -> Host:
    return Host(memory, available, disk, processors)


def fitted(guests: list[Guest], there: Host, kind: str = "kvm") -> Fit:
    return fit(guests, there, kind, disk=DISK)


def test_where_there_is_room_everybody_gets_what_the_file_says() -> None:
    found = fitted(course(), host(30 * 1024, memory=32 * 1024))
    assert found.guests == tuple(course())
    assert found.reason == ""


def test_a_small_host_shares_out_what_it_can_spare_and_says_so() -> None:
    found = fitted(course(), host(8 * 1024))
    sizes = {guest.name: guest.memory_mib for guest in found.guests}
    assert sizes["target"] == 512
    assert len({sizes[f"node{n}"] for n in range(1, 5)}) == 1
    assert 768 < sizes["node1"] < 4096
    assert sizes["node1"] % 64 == 0
    assert found.reason == (
        "This host can spare 6.4 GiB of memory for 5 virtual machines,"
        f" so node1, node2, node3, node4 get {sizes['node1']} instead of 4096 MiB of memory."
    )


def test_what_a_node_was_given_by_itself_counts() -> None:
    guests = [Guest("node1", 8192, 1), Guest("node2", 1024, 1), Guest("small", 512, 1)]
    found = fitted(guests, host(6 * 1024))
    assert found.guest("node1").memory_mib > found.guest("node2").memory_mib
    assert found.guest("small").memory_mib == 512
    assert "node1 gets" in found.reason


def test_the_floor_is_the_last_that_fits() -> None:
    least = 4 * 768 + 512 + 5 * room.OVERHEAD_MIB["kvm"]
    there = host(least + 1024, memory=4096)
    assert [guest.memory_mib for guest in fitted(course(), there).guests] == [768, 768, 768, 768, 512]
    with pytest.raises(HostLacks):
        fitted(course(), host(least + 1023, memory=4096))


def test_a_large_host_keeps_a_tenth() -> None:
    assert host(60 * 1024, memory=64 * 1024).spare_mib == 60 * 1024 - 6554
    assert host(900).spare_mib == 0


def test_emulation_takes_more_memory() -> None:
    least = 4 * 768 + 512 + 5 * room.OVERHEAD_MIB["kvm"]
    with pytest.raises(HostLacks):
        fitted(course(), host(least + 1024, memory=4096), "tcg")


@pytest.mark.parametrize(
    ("available", "mend"),
    [(4600, "labctl up --mode vm --nodes 3"), (3600, "labctl up --mode vm --nodes 2"),
     (2000, "labctl up --mode container"), (0, "labctl up --mode container")],
)  # fmt: skip
def test_too_little_names_the_lab_that_fits(available: int, mend: str) -> None:
    with pytest.raises(HostLacks) as caught:
        fitted(course(), host(available, memory=6000))
    assert caught.value.mend.startswith(mend)
    words = mend.split()
    if "--nodes" in words:  # and it does
        assert fitted(course(int(words[-1])), host(available, memory=6000)).guests


def test_too_little_disk_is_seen_first() -> None:
    with pytest.raises(HostLacks) as caught:
        fit(course(), host(30 * 1024, disk=6 * 1024 - 1), "kvm", disk=DISK)
    assert "/var/lib/labctl has 6.0 GiB" in caught.value.message
    assert "LABCTL_STATE" in caught.value.mend
    assert fit(course(), host(30 * 1024, memory=32 * 1024, disk=6 * 1024), "kvm", disk=DISK).guests
    with pytest.raises(HostLacks):
        fit(course(), host(30 * 1024, disk=6 * 1024), "kvm", disk=DISK, disks_mib=1)


@pytest.mark.parametrize(
    ("kind", "processors", "cpus"),
    [("kvm", 8, 2), ("kvm", 1, 1), ("tcg", 2, 1), ("tcg", 10, 2), ("kvm", 0, 1)],
)
def test_no_more_processors_than_there_are(kind: str, processors: int, cpus: int) -> None:
    found = fitted(course(), host(30 * 1024, memory=32 * 1024, processors=processors), kind)
    assert {guest.cpus for guest in found.guests if guest.node} == {cpus}
    assert (f"none gets more than {cpus}" in found.reason) is (cpus < 2)


@given(
    available=st.integers(0, 64 * 1024),
    memory=st.lists(st.integers(64, 16 * 1024), min_size=1, max_size=16),
    kind=st.sampled_from(["kvm", "tcg"]),
)
def test_it_always_fits_or_is_refused(available: int, memory: list[int], kind: str) -> None:
    guests = [Guest(f"node{n}", size, 2) for n, size in enumerate(memory)]
    there = host(available, memory=64 * 1024)
    try:
        found = fitted(guests, there, kind)
    except HostLacks:
        floors = sum(min(768, size) for size in memory)
        assert floors + room.OVERHEAD_MIB[kind] * len(memory) > there.spare_mib
        return
    assert sum(guest.memory_mib for guest in found.guests) <= there.spare_mib
    for asked, given_one in zip(guests, found.guests, strict=True):
        assert min(768, asked.memory_mib) <= given_one.memory_mib <= asked.memory_mib


def test_sizes_chosen_earlier_start_again_beside_a_little_more() -> None:
    """What got all that was to spare is not refused for a few MiB that went meanwhile."""
    there = host(8 * 1024)
    sizes = {guest.name: guest.memory_mib for guest in fitted(course(), there).guests}
    room.require_memory(sizes, host(8 * 1024 - 512), "kvm", "x")
    room.require_memory({}, host(0), "kvm", "x")


def test_machines_that_have_no_room_any_more_are_refused_by_name() -> None:
    with pytest.raises(HostLacks) as caught:
        room.require_memory({"node2": 2048, "target": 512}, host(3 * 1024), "tcg", "x")
    assert "node2, target" in caught.value.message
    assert "labctl ls" in caught.value.mend
    assert "labctl down --lab x" in caught.value.mend


def test_reads_this_host(tmp_path: Path) -> None:
    found = read_host(tmp_path / "not" / "made")
    assert 0 < found.available_mib <= found.memory_mib
    assert found.processors == len(os.sched_getaffinity(0))
    assert found.disk_mib > 0
    assert list(tmp_path.iterdir()) == []


def test_reads_meminfo() -> None:
    text = "MemTotal:   24678912 kB\nMemFree:  1 kB\nMemAvailable:   20480000 kB\nHugePages_Total:   0\n"
    found = read_host(Path("/"), meminfo=text)
    assert (found.memory_mib, found.available_mib) == (24100, 20000)
