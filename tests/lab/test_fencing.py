"""Fencing for real: a node that fails is switched off, comes back and joins again, by itself."""

from __future__ import annotations

import json

import pytest

from labctl.engine.base import State
from labctl.engine.container import mac
from tests.lab.driver import ALL, FQDN, Driver

BMC = ("ipmitool", "-I", "lanplus", "-H", "192.168.122.1", "-U", "centos", "-N", "5", "-R", "1")


@pytest.mark.parametrize("asked_from", ["node1", "node4"])
def test_every_bmc_answers_from_a_node(calm: Driver, asked_from: str) -> None:
    for port in range(7751, 7755):
        said = calm.on(asked_from, *BMC, "-p", str(port), "-P", "centos", "chassis", "power", "status").stdout
        assert said.strip() == "Chassis Power is on"


def test_the_bmcs_way_stays_when_a_node_goes(calm: Driver) -> None:
    """A bridge left to itself bears the address of one of its ports, and changes it when that port goes."""
    calm.on("node1", "ping", "-c", "1", "-W", "5", "192.168.122.1")
    [known] = json.loads(calm.on("node1", "ip", "-json", "neigh", "show", "192.168.122.1").stdout)
    assert known["lladdr"] == mac("bridge", "default")


def test_a_wrong_password_is_refused(calm: Driver) -> None:
    before = calm.started("node2")
    answer = calm.on("node1", *BMC, "-p", "7752", "-P", "wrong", "chassis", "power", "off", check=False)
    assert answer.rc != 0
    assert calm.started("node2") == before
    assert calm.state("node2") is State.ON


def test_no_bmc_listens_on_the_host(calm: Driver) -> None:
    from labctl.run import run

    lines = run(["ss", "-H", "-l", "-u", "-n"], timeout=10).stdout.splitlines()
    assert not [line for line in lines if line.split()[3].endswith((":7751", ":7752", ":7753", ":7754"))]


def test_a_node_never_runs_its_own_fence_device(calm: Driver) -> None:
    for node in ALL:
        at = calm.on("node1", "crm_resource", "--locate", "--resource", f"fence-{node}").stdout
        assert "running on" in at
        assert node + FQDN not in at
        rules = calm.on(
            "node1", "pcs", "constraint", "location", "show", "resources", f"fence-{node}", check=False
        )
        assert f"{node}{FQDN} (score:-INFINITY)" in rules.stdout


def test_every_node_has_its_level_of_the_topology(calm: Driver) -> None:
    lines = calm.on("node1", "pcs", "stonith", "level").stdout.splitlines()
    words = [line.strip() for line in lines if line.strip()]
    for node in ALL:
        assert words[words.index(f"Target: {node}{FQDN}") + 1] == f"Level 1 - fence-{node}"


def test_fencing_is_enabled(calm: Driver) -> None:
    assert calm.json("status")["cluster"]["fencing"] == "enabled"


def test_pcs_stonith_fence_power_cycles_and_the_node_is_back(main: Driver) -> None:
    before = main.started("node2")
    others = {node: main.started(node) for node in ALL if node != "node2"}
    main.on("node1", "pcs", "stonith", "fence", "node2.example.com")
    main.await_restart("node2", before)
    main.await_online(*ALL)
    assert {node: main.started(node) for node in others} == others, "another node was fenced, too"
    history = main.on("node1", "pcs", "stonith", "history", "show", "node2.example.com").stdout
    assert "success" in history or "reboot" in history


def test_a_node_can_be_asked_to_fence_itself_away(main: Driver) -> None:
    """Its own device runs elsewhere, so another node does it."""
    before = main.started("node1")
    main.on("node1", "stonith_admin", "--reboot", "node1.example.com", check=False)
    main.await_restart("node1", before)
    main.await_online(*ALL)


def test_a_killed_corosync_ends_in_fencing(main: Driver) -> None:
    before = main.started("node3")
    main.on("node3", "pkill", "-KILL", "-x", "corosync")
    main.await_restart("node3", before)
    main.await_online(*ALL, seen_by=("node1", "node2", "node4"))


def test_a_frozen_node_is_cut_off_and_comes_back(main: Driver) -> None:
    """All its processes hang where they stand: only the power switch helps."""
    before = main.started("node4")
    main.engine.freeze("node4")
    assert main.state("node4") is State.FROZEN
    main.await_restart("node4", before)
    main.await_online(*ALL)


def test_the_dc_itself_can_be_fenced(main: Driver) -> None:
    view = main.view()
    assert view
    dc = view.dc.removesuffix(FQDN)
    before = main.started(dc)
    main.engine.freeze(dc)
    main.await_restart(dc, before)
    assert main.await_online(*ALL).dc
