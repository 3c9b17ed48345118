"""Looking at labs: status, ls, validate."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from labctl import console
from labctl.bubble import start as bubble
from labctl.cli import tongue
from labctl.cli.frame import JsonOption, LabOption, known_lab, require_lab, require_root, require_running
from labctl.cli.helping import add
from labctl.cli.tongue import say
from labctl.errors import FAILED, OK, LabError
from labctl.lab.plan import Until
from labctl.places import DEFAULT_LAB, LabPlaces, lab_places

WATCH_SECONDS = 2.0
UNREADABLE = "damaged or another version's"  # what `ls --json` says of the version of such a lab


def register(app: typer.Typer) -> None:
    """Add these commands to the app."""
    for command in (status, ls, validate):
        add(app, command.__name__, command)


def status(
    lab: LabOption = DEFAULT_LAB,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on showing it; Ctrl-C ends.")] = False,
    as_json: JsonOption = False,
) -> int:
    """What runs: nodes, cluster, fencing, resources, shared disks."""
    require_root("status")
    places = require_lab(lab)
    if watch and not as_json:
        with console.watch() as show:
            while True:
                document = _status(places, lab)
                show(*_node_table(document), "\n".join([_headline(document), *_planned(document)]))
                time.sleep(WATCH_SECONDS)  # a pace for the reader, not a wait for anything
    document = _status(places, lab)
    if as_json:
        console.document(document)
        return OK
    console.heading(_headline(document))
    columns, rows = _node_table(document)
    console.table(columns, rows)
    for text in _planned(document):
        console.line(text)
    if resources := document["cluster"]["resources"]:
        console.table(*_resource_table(resources))
    for text in _storage_lines(document):
        console.line(text)
    for port, _, address, inside in bubble.forwards(places) if document["state"] != "stopped" else ():
        console.line(say("from-host", port=port, address=address, inside=inside))
    return OK


def _status(places: LabPlaces, name: str) -> dict[str, Any]:
    from concurrent.futures import ThreadPoolExecutor

    from labctl.engine.base import Machine, State
    from labctl.lab import bubble as lab_bubble
    from labctl.lab import storage
    from labctl.lab.status import status_document
    from labctl.probe.gather import gather

    described_lab = known_lab(places)
    if bubble.find(places) is None:
        off = {node.name: Machine(node.name, State.OFF) for node in described_lab.nodes}
        return status_document(described_lab, off, {})
    engine = lab_bubble.engine(name, places)
    with ThreadPoolExecutor(1) as beside:
        looked = beside.submit(storage.look, engine, described_lab, _until(places), try_it=False)
        machines = engine.observe()
        facts = gather(engine, described_lab, timeout=10)
        seen = looked.result()
    return status_document(described_lab, machines, facts, storage.status(described_lab, seen, facts))


def _until(places: LabPlaces) -> Until:
    """How far the lab was brought up."""
    from labctl.lab import record

    known = record.load(places.record, places.lab)
    return Until(known.until) if known else Until.ALL


def _storage_lines(document: dict[str, Any]) -> list[str]:
    storage = document["storage"]
    if storage["driver"] is None:
        return [say("no-disks", reason=tongue.because(storage["reason"]))] if storage.get("reason") else []
    target = storage["target"]
    lines = [
        say("disks-at" if target["answers"] else "disks-silent", iqn=target["iqn"], portal=target["portal"]),
        say("disks-by", driver=storage["driver"], reason=tongue.because(storage["reason"])),
    ]
    absent = [each["node"] for each in storage["sessions"] if not each["logged_in"]]
    count = len(storage["sessions"])
    words = {"there": count - len(absent), "count": count, "absent": ", ".join(absent)}
    lines.append(say("logged-in-not" if absent else "logged-in", **words))
    for disk in storage["disks"]:
        everywhere = len(disk["nodes"]) == count
        where = say("everywhere") if everywhere else _short(disk["nodes"]) or say("no-node")
        wwn = disk["wwn"] or "-"
        lines.append(say("disk", name=disk["name"], size=disk["size"] // 2**20, wwn=wwn, where=where))
    return lines


def _headline(document: dict[str, Any]) -> str:
    cluster, state = document["cluster"], tongue.state("lab", document["state"])
    lab = say("headline", lab=document["lab"], family=document["family"], state=state)
    if document["state"] in ("stopped", "absent", "nodes"):
        return lab
    if cluster["found"] is None:  # what is planned is not what is there
        unknown = "headline-silent" if cluster["configured"] is None else "headline-no-cluster"
        return say("headline-cluster-off" if cluster["configured"] else unknown, lab=lab)
    return say(
        "headline-cluster",
        lab=lab,
        name=cluster["found"],
        quorum=say("quorate" if cluster["quorate"] else "no-quorum-now"),
        dc=cluster["dc"] or say("no-dc-now"),
        fencing=tongue.state("cluster", cluster["fencing"]),
    )


def _short(hosts: Sequence[str]) -> str:
    return " ".join(host.partition(".")[0] for host in hosts)


def _node_table(document: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    online = set(document["cluster"]["online"])
    rows = []
    for node in document["nodes"]:
        member = "online" if online & {node["name"], node["hostname"]} else "offline"
        in_cluster = "-" if document["cluster"]["configured"] is False else tongue.state("cluster", member)
        addresses = [
            address if node["addresses_set"][network] else f"({address})"
            for network, address in node["addresses"].items()
        ]
        rows.append([node["name"], tongue.state("machine", node["state"]), in_cluster, "  ".join(addresses)])
    return tongue.headings("node", "machine", "cluster", "addresses"), rows


def _planned(document: dict[str, Any]) -> list[str]:
    """What brackets mean, when there are any in the table of nodes."""
    everywhere = all(all(node["addresses_set"].values()) for node in document["nodes"])
    return [] if everywhere else [say("planned")]


def _resource_table(resources: Sequence[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """A role is Pacemaker's own word, as pcs shows it, too."""
    failed = tongue.state("cluster", "failed")
    rows = [
        [each["id"], each["agent"], failed if each["failed"] else each["role"], _short(each["nodes"])]
        for each in resources
    ]
    return tongue.headings("resource", "agent", "state", "on"), rows


def ls(as_json: JsonOption = False) -> int:
    """All labs on this host."""
    from labctl.lab import record
    from labctl.lab.down import labs

    require_root("ls")
    found: list[dict[str, Any]] = []
    for name in labs():
        places = lab_places(name)
        try:
            known = record.load(places.record, name)
            made, nodes, family = (known.version, known.nodes, known.family) if known else ("?", 0, "?")
        except LabError:
            made, nodes, family = UNREADABLE, 0, "?"
        running = bubble.find(places) is not None
        found.append(
            {
                "lab": name,
                "state": "up" if running else "off",
                "nodes": nodes,
                "family": family,
                "version": made,
                "ports": [port for port, _, _, _ in bubble.forwards(places)] if running else [],
            }
        )
    if as_json:
        console.document({"labs": found})
    elif not found:
        console.line(say("no-lab", command="labctl up"))
    else:
        rows = [
            [
                each["lab"],
                tongue.state("lab", each["state"]),
                str(each["nodes"]),
                each["family"],
                " ".join(f"127.0.0.1:{port}" for port in each["ports"]),
                say("lab-unreadable") if each["version"] == UNREADABLE else each["version"],
            ]
            for each in found
        ]
        console.table(tongue.headings("lab", "state", "nodes", "family", "pcsd", "made-by"), rows)
    return OK


def validate(
    lab: LabOption = DEFAULT_LAB,
    as_json: JsonOption = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="A line for every node, not only where they differ.")
    ] = False,
    junit: Annotated[
        Path | None, typer.Option("--junit", metavar="FILE", help="Also write the results as JUnit XML.")
    ] = None,
) -> int:
    """Prove that the lab works: nodes, names, time, networks, cluster, fencing, shared disks."""
    require_root("validate")
    places, _ = require_running(lab)
    from concurrent.futures import ThreadPoolExecutor

    from labctl.checks.lab_checks import validate as judge
    from labctl.checks.report import as_json as to_json
    from labctl.checks.report import write_junit
    from labctl.lab import bubble as lab_bubble
    from labctl.lab import machines, storage, waits
    from labctl.probe.gather import gather, why_no_outside

    described_lab = known_lab(places)
    engine = lab_bubble.engine(lab, places)
    until = _until(places)
    ground = machines.load(places)
    if ground is not None and until is not Until.NODES:
        waits.pcsd_answers(engine, described_lab, waits.BOOT_SECONDS, ground.pace)
    with ThreadPoolExecutor(1) as beside:
        looked = beside.submit(storage.look, engine, described_lab, until, try_it=True)
        silent = why_no_outside()
        facts = gather(engine, described_lab, timeout=10, outside=not silent)
        seen = looked.result()
    results = judge(described_lab, facts, stage=until.value, no_outside=silent, storage=seen)
    document = to_json(results)
    if junit:
        write_junit(results, junit, f"labctl validate {lab}")
    if as_json:
        console.document(document)
    else:
        console.checks(tongue.checked(results), every=verbose, everywhere=say("everywhere"))
        counts = {name: document[name] for name in ("passed", "failed", "skipped")}
        console.heading(say("validated", **counts))
    return FAILED if document["failed"] else OK
