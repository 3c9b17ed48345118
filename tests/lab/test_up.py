"""`up` is idempotent and heals; the documents of the verbs keep their shape."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from labctl.engine.base import State
from labctl.run import run
from labctl.wait import wait_until
from tests.lab.conftest import MakeLab
from tests.lab.driver import ALL, FQDN, PATIENCE, Driver, labctl

RECORD = "record"
NAMESPACES = "starting the lab's namespaces"
CREATING = "creating"
FORMING = "waiting for the cluster"
BMC_OF_NODE2 = (
    "ipmitool", "-I", "lanplus", "-H", "192.168.122.1", "-p", "7752", "-U", "centos", "-P", "centos"
)  # fmt: skip


def shape(value: Any) -> Any:
    """Keys and kinds of a document, without its values; a list is known by its first item."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


def dos(document: dict[str, Any]) -> list[tuple[str, str]]:
    return [(action["do"], action["node"]) for action in document["actions"]]


# -- documents -----------------------------------------------------------------------------


def test_up_on_a_healthy_lab_changes_nothing(calm: Driver) -> None:
    before = {node: calm.started(node) for node in ALL}
    document = calm.up_json()
    assert (document["lab"], document["changed"], document["actions"]) == ("t-main", False, [])
    assert isinstance(document["seconds"], float)
    assert shape(document["stages"]) == [{"name": "str", "seconds": "float"}]
    assert "nothing to do" in calm.up().stdout
    assert {node: calm.started(node) for node in ALL} == before


def test_status_document(calm: Driver) -> None:
    document = calm.json("status")
    assert document["lab"] == "t-main"
    assert document["mode"] == "container"
    assert document["family"] in {"centos", "debian"}
    assert document["state"] == "up"
    assert [(node["name"], node["state"]) for node in document["nodes"]] == [(name, "on") for name in ALL]
    assert document["nodes"][0]["addresses"]["internal"] == "192.168.90.110"
    assert all(all(node["addresses_set"].values()) for node in document["nodes"])
    cluster = document["cluster"]
    assert (cluster["configured"], cluster["found"]) == (True, "ha_cluster_lab")
    assert (cluster["name"], cluster["quorate"], cluster["fencing"]) == ("ha_cluster_lab", True, "enabled")
    assert sorted(cluster["online"]) == [name + FQDN for name in ALL]
    assert cluster["offline"] == []
    assert cluster["dc"] in cluster["online"]
    assert {resource["id"] for resource in cluster["resources"]} == {f"fence-{name}" for name in ALL}
    assert set(document["storage"]) >= {"driver", "disks"}


def test_validate_passes_and_its_document(calm: Driver) -> None:
    document = calm.json("validate")
    failed = [check for check in document["checks"] if check["status"] == "failed"]
    assert failed == []
    assert document["failed"] == 0
    assert document["passed"] + document["skipped"] == len(document["checks"])
    assert {key for check in document["checks"] for key in check} == {
        "id",
        "node",
        "status",
        "message",
        "hint",
    }
    assert {check["status"] for check in document["checks"]} <= {"passed", "skipped"}


def test_validate_writes_junit(calm: Driver, tmp_path: Any) -> None:
    from junitparser import JUnitXml

    calm("validate", "--junit", str(tmp_path / "report.xml"))
    assert sum(suite.tests for suite in JUnitXml.fromfile(str(tmp_path / "report.xml"))) > 20


def test_ls_document(calm: Driver) -> None:
    [mine] = [lab for lab in labctl_ls() if lab["lab"] == "t-main"]
    assert (mine["state"], mine["nodes"]) == ("up", 4)
    assert all(2224 <= port <= 2323 for port in mine["ports"])


def labctl_ls() -> list[dict[str, Any]]:
    import json

    labs: list[dict[str, Any]] = json.loads(labctl("ls", "--json").stdout)["labs"]
    return labs


# -- dry runs ------------------------------------------------------------------------------


def test_a_dry_run_says_what_is_then_done_and_touches_nothing(make_lab: MakeLab) -> None:
    lab = make_lab("t-dry")
    said = lab.up_json("--nodes", "2", "--dry-run")
    assert not lab.places.root.exists()
    assert not lab.runs()
    document = lab.up_json("--nodes", "2")
    assert dos(document) == dos(said)
    assert dos(said)[0] == ("start-bubble", "")
    assert {action["reason"] for action in said["actions"]} == {
        action["reason"] for action in document["actions"]
    }
    down = lab.json("down")
    assert down["removed"] == ["t-dry"]
    assert not lab.places.root.exists()
    assert lab.json("down")["removed"] == []


# -- healing, from the smallest to the largest damage ----------------------------------------


def test_a_dry_run_on_damage_touches_nothing(main: Driver) -> None:
    main.on("node2", "systemctl", "stop", "pcsd")
    said = main.up_json("--dry-run")
    assert dos(said) == [("start-pcsd", "node2")]
    assert not main.member("node2").pcsd
    assert dos(main.up_json()) == dos(said)
    assert main.member("node2").pcsd


def test_heals_a_stopped_corosync(main: Driver) -> None:
    main.on("node2", "systemctl", "stop", "pacemaker", "corosync")
    assert ("start-cluster", "node2") in dos(main.up_json())
    main.await_online(*ALL)


def test_heals_a_removed_container(main: Driver) -> None:
    main("podman", "--", "rm", "-f", "-t", "0", "node3")
    assert main.state("node3") is State.MISSING
    assert ("create-node", "node3") in dos(main.up_json())
    main.await_online(*ALL)
    assert main.up_json()["changed"] is False


def test_heals_a_stopped_node(main: Driver) -> None:
    main("podman", "--", "stop", "-t", "20", "node4")
    main.await_state("node4", State.OFF)
    assert ("start-node", "node4") in dos(main.up_json())
    main.await_online(*ALL)


def test_heals_a_frozen_node(main: Driver) -> None:
    """Without fencing in between: `up` comes first, or the cluster does; either way all are back."""
    main("podman", "--", "pause", "node2")
    main.up()
    main.await_online(*ALL)


def test_heals_everything_at_once(main: Driver) -> None:
    main("podman", "--", "rm", "-f", "-t", "0", "node3")
    main("podman", "--", "pause", "node4")
    main.on("node2", "systemctl", "kill", "--signal=KILL", "pcsd", check=False)
    main.up()
    main.await_online(*ALL)


def pids_in_the_bubble(lab: Driver, pattern: str) -> list[str]:
    return lab.inside("pgrep", "-f", pattern, check=False).stdout.split()


@pytest.mark.parametrize("service", ["labctl.bubble.labd", "system service --time 0"], ids=["labd", "podman"])
def test_a_killed_service_of_the_lab_comes_back_by_itself(main: Driver, service: str) -> None:
    [before] = pids_in_the_bubble(main, service)
    main.inside("kill", "-KILL", before)
    wait_until(
        f"{service} to be back",
        lambda: pids_in_the_bubble(main, service) not in ([], [before]),
        timeout=PATIENCE,
    )
    wait_until("podman to answer", lambda: main("podman", "--", "ps", check=False).ok, timeout=PATIENCE)
    main.up()
    main.await_online(*ALL)
    # The BMCs are labd's, and it imports for a second or more before it listens.
    status = [*BMC_OF_NODE2, "chassis", "power", "status"]
    wait_until(
        "the BMC to answer",
        lambda: "is on" in main.on("node1", *status, check=False).stdout,
        timeout=PATIENCE,
    )


def test_a_killed_bubble_is_like_a_host_that_rebooted(main: Driver) -> None:
    """Everything that runs is gone at once; `up` brings the same cluster back, with what was set in it."""
    main.on("node1", "pcs", "property", "set", "cluster-recheck-interval=17min")
    main.on("node1", "sh", "-c", "echo kept > /root/a-file && sync")
    configured = {main.member(node).conf for node in ALL}
    run(["kill", "-KILL", str(main.bubble().init)], timeout=10)
    wait_until("the lab to be gone", lambda: not main.runs(), timeout=PATIENCE)
    assert main("exec", "node1", "--", "true", check=False).rc == 1
    assert main.json("status")["state"] == "stopped"
    main.engine.close()
    said = main.up_json()
    assert dos(said)[0] == ("start-bubble", "")
    assert {do for do, _ in dos(said)} == {"start-bubble", "start-node", "serve-disks"}
    main.await_online(*ALL)
    assert {main.member(node).conf for node in ALL} == configured
    assert "cluster-recheck-interval: 17min" in main.on("node2", "pcs", "property").stdout.replace("=", ": ")
    assert main.on("node1", "cat", "/root/a-file").stdout == "kept\n"
    main.on("node1", "pcs", "property", "unset", "cluster-recheck-interval")


def moment(lab: Driver, at: str) -> None:
    """Begin `up` and kill it -9 at a moment."""
    begun = lab.begin("up", "--nodes", "2")
    if at == RECORD:
        begun.await_file(lab.places.record)
    else:
        begun.await_words(at)
    begun.kill()


def test_up_completes_what_a_killed_up_began(make_lab: MakeLab) -> None:
    """Killed again and again, ever later; then it is let."""
    lab = make_lab("t-half")
    for at in (RECORD, NAMESPACES, CREATING):
        moment(lab, at)
    lab.up()
    lab.await_online("node1", "node2")
    assert lab.json("status")["state"] == "up"
    assert lab.up_json()["changed"] is False


@pytest.mark.parametrize("at", [RECORD, NAMESPACES, CREATING, FORMING])
def test_down_clears_what_a_killed_up_began(make_lab: MakeLab, at: str) -> None:
    lab = make_lab("t-half")
    moment(lab, at)
    lab.down()
    assert not lab.runs()
    assert not lab.places.root.exists()


# -- part by part, and side by side ----------------------------------------------------------


def test_nodes_first_then_the_cluster(make_lab: MakeLab) -> None:
    lab = make_lab("t-steps")
    lab.up("--nodes", "2", "--until", "nodes")
    assert lab.json("status")["state"] == "nodes"
    assert not any(lab.member(node).conf or lab.member(node).corosync for node in ("node1", "node2"))
    assert lab.json("validate", check=False)["failed"] == 0
    assert lab.up_json("--until", "nodes")["changed"] is False
    assert ("join-cluster", "node1") in dos(lab.up_json())
    lab.await_online("node1", "node2")
    assert set(lab.engine.observe()) == {"node1", "node2"}


def test_a_learners_own_cluster_is_left_alone(make_lab: MakeLab) -> None:
    """`--until nodes`, then by hand as in the course; `up` takes it as it is."""
    lab = make_lab("t-hand")
    lab.up("--nodes", "2", "--until", "nodes")
    lab.on("node1", "pcs", "host", "auth", "-u", "hacluster", "-p", "centos", "node1" + FQDN, "node2" + FQDN)
    lab.on("node1", "pcs", "cluster", "setup", "mine", "node1" + FQDN, "node2" + FQDN)
    # Else the first election waits 20 s, for nodes that might still come.
    seed = "cibadmin --empty >cib.xml; CIB_file=$PWD/cib.xml crm_attribute --name dc-deadtime --update 2s"
    own = "chown hacluster:haclient *; chmod 600 *"
    lab.on("node1", "sh", "-ec", f"cd /var/lib/pacemaker/cib; {seed}; {own}")
    lab.on("node1", "pcs", "cluster", "start", "--all", "--wait")
    lab.await_online("node1", "node2")
    lab.up()
    assert "Cluster name: mine" in lab.on("node2", "pcs", "status").stdout
    assert lab.json("status")["cluster"]["found"] == "mine"


def test_two_labs_with_the_same_addresses(calm: Driver, make_lab: MakeLab) -> None:
    twin = make_lab("t-twin")
    twin.up("--nodes", "2")
    twin.await_online("node1", "node2")
    calm.await_online(*ALL)
    words = ["ip", "-4", "-o", "addr", "show", "dev", "eth1"]
    assert "192.168.90.110/24" in twin.on("node1", *words).stdout
    assert "192.168.90.110/24" in calm.on("node1", *words).stdout
    # The same address is another machine in each, and nodes that only one lab has answer only there.
    twin.on("node2", "sh", "-c", "echo twin > /root/whose")
    assert calm.on("node2", "test", "-e", "/root/whose", check=False).rc == 1
    assert calm("ssh", "node1", "--", "ping", "-c1", "-W5", "192.168.90.130").ok
    assert not twin("ssh", "node1", "--", "ping", "-c1", "-W2", "192.168.90.130", check=False).ok
    assert len({tuple(lab["ports"]) for lab in labctl_ls() if lab["lab"] in {"t-main", "t-twin"}}) == 2
    twin.down()
    assert calm.up_json()["changed"] is False


def test_interrupted_by_ctrl_c(make_lab: MakeLab) -> None:
    lab = make_lab("t-ctrlc")
    for at in (NAMESPACES, CREATING):
        begun = lab.begin("up", "--nodes", "2")
        begun.await_words(at)
        begun.signal(signal.SIGINT)
        assert begun.end() == 130, begun.said
        assert "Traceback" not in begun.said
        assert "labctl up" in begun.said
    lab.up()
    lab.await_online("node1", "node2")
