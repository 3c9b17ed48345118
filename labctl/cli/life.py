"""A lab's life: up, status, ls, validate, down."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from labctl import console
from labctl.bubble import start as bubble
from labctl.cli.frame import (
    DEFAULT_LAB,
    FileOption,
    JsonOption,
    LabOption,
    WaitOption,
    require_lab,
    require_root,
    require_running,
)
from labctl.errors import FAILED, OK, LabError, UsageError
from labctl.lab.plan import Until
from labctl.places import LabPlaces, lab_places

WATCH_SECONDS = 2.0


def register(app: typer.Typer) -> None:
    """Add these commands to the app."""
    app.command("up")(up)
    app.command("status")(status)
    app.command("ls")(ls)
    app.command("validate")(validate)
    app.command("down")(down)


def up(
    lab: LabOption = DEFAULT_LAB,
    file: FileOption = None,
    override: Annotated[
        list[Path] | None,
        typer.Option(
            "--override", "-o", metavar="FILE", help="A file of changes on top, by Compose's rules."
        ),
    ] = None,
    nodes: Annotated[int | None, typer.Option("--nodes", "-n", help="How many nodes, 2 to 16.")] = None,
    scenario: Annotated[
        str | None, typer.Option("--scenario", help="A named change of the lab: two-node, …")
    ] = None,
    family: Annotated[str | None, typer.Option("--family", help="auto, centos or debian.")] = None,
    mode: Annotated[str, typer.Option("--mode", help="container (vm comes later).")] = "container",
    until: Annotated[Until, typer.Option("--until", help="Stop early, to do the rest by hand.")] = Until.ALL,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    keep_on_error: Annotated[
        bool,
        typer.Option("--keep-on-error/--clear-on-error", help="Keep a lab whose start failed, to look at."),
    ] = True,
    as_json: JsonOption = False,
    wait: WaitOption = 0,
) -> int:
    """Build what is missing, start the nodes, form the cluster. Again and again: it heals."""
    require_root("up")
    from labctl.lab.up import Progress, Request, bring_up

    if mode != "container":
        raise UsageError(f"There is no mode {mode!r} in this version.", mend="labctl up --mode container")
    if family not in (None, "auto", "centos", "debian"):
        raise UsageError(
            f"There is no family {family!r}.", mend="labctl up --family auto   (or centos, debian)"
        )
    request = Request(
        lab=lab,
        file=file,
        overrides=tuple(override or ()),
        scenario=scenario,
        nodes=nodes,
        family=family,
        until=until,
        dry_run=dry_run,
        patience=wait,
    )
    _require_programs()
    fresh = not lab_places(lab).root.exists()
    with console.Steps(f"labctl up, lab {lab}") as steps:
        try:
            outcome = bring_up(request, Progress(say=steps.say, stage=steps.stage))
        except LabError:
            if fresh and not keep_on_error and not dry_run:
                from labctl.lab.down import take_down

                take_down(lab, say=steps.say)
            raise
    if as_json:
        console.document(outcome.document())
        return OK
    if dry_run:
        for action in outcome.actions:
            console.line(f"{action.do.value:14} {action.node:8} {action.reason}")
        if not outcome.actions:
            console.line("Nothing to do.")
        return OK
    if not outcome.actions:
        console.line(f"Lab {lab} is up; nothing to do ({outcome.seconds:.1f} s).")
        return OK
    for port, asked, address, inside in outcome.forwards:
        if port != asked:
            console.note(f"Port {asked} of 127.0.0.1 is taken; {address}:{inside} is at {port}.")
    _summary(outcome.lab, outcome.seconds, outcome.forwards, lab, until)
    return OK


def _require_programs() -> None:
    """Raises HostLacks, naming the command, when a program that `up` needs is missing."""
    from labctl.errors import HostLacks
    from labctl.host import packages

    lacking = packages.missing(["up"])
    if lacking:
        raise HostLacks(
            f"This host has no {', '.join('|'.join(need.programs) for need in lacking)}.",
            mend=packages.mend(lacking, packages.manager()) or "labctl doctor --fix",
        )


def _summary(
    lab: Any, seconds: float, forwards: tuple[tuple[int, int, str, int], ...], name: str, until: Until
) -> None:
    flag = "" if name == DEFAULT_LAB else f" --lab {name}"

    def tell(text: str) -> None:
        console.line(console.command(text))

    console.heading(f"Lab {name} is up: {len(lab.nodes)} nodes ({lab.family}) in {seconds:.1f} s.")
    first = lab.nodes[0].name
    if until is Until.NODES:
        tell("The nodes run; there is no cluster yet. The rest is yours, or: " + f"labctl up{flag}")
    else:
        fencing = "fencing on" if lab.fencing.enabled else "no fencing"
        tell(f"Cluster {lab.cluster.name}: quorate, {fencing}, one BMC per node.")
    tell(f"  get in      labctl ssh {first}{flag}")
    for port, _, _, inside in forwards:
        if inside == 2224:
            tell(
                f"  pcsd        https://127.0.0.1:{port}   (hacluster, {lab.credentials.hacluster_password})"
            )
    tell(f"  look        labctl status{flag}   ·   labctl validate{flag}")
    if until is not Until.NODES:
        tell(f"  try         labctl exec {first}{flag} -- pcs status")
    tell(f"  clear away  labctl down{flag}")


def status(
    lab: LabOption = DEFAULT_LAB,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on showing it; Ctrl-C ends.")] = False,
    as_json: JsonOption = False,
) -> int:
    """What runs: nodes, cluster, fencing, resources."""
    require_root("status")
    places = require_lab(lab)
    if watch and not as_json:
        with console.watch() as show:
            while True:
                document = _status(places, lab)
                show(*_node_table(document), _headline(document))
                time.sleep(WATCH_SECONDS)  # a pace for the reader, not a wait for anything
    document = _status(places, lab)
    if as_json:
        console.document(document)
        return OK
    console.heading(_headline(document))
    columns, rows = _node_table(document)
    console.table(columns, rows)
    resources = document["cluster"]["resources"]
    if resources:
        console.table(
            ["resource", "agent", "state", "on"],
            [
                [
                    each["id"],
                    each["agent"],
                    "failed" if each["failed"] else each["role"],
                    _short(each["nodes"]),
                ]
                for each in resources
            ],
        )
    for port, _, address, inside in bubble.forwards(places) if document["state"] != "stopped" else ():
        console.line(f"127.0.0.1:{port} → {address}:{inside}")
    return OK


def _status(places: LabPlaces, name: str) -> dict[str, Any]:
    from labctl.engine.base import Machine, State
    from labctl.lab import bubble as lab_bubble
    from labctl.lab import record
    from labctl.lab.status import status_document
    from labctl.lab.up import Request, described
    from labctl.probe.gather import gather

    described_lab = described(Request(lab=name), record.load(places.record, name))
    machines: Mapping[str, Any] = {}
    facts: Mapping[str, Any] = {}
    if bubble.find(places) is not None:
        engine = lab_bubble.engine(name, places)
        machines = engine.observe()
        facts = gather(engine, described_lab, timeout=10)
    else:
        machines = {node.name: Machine(node.name, State.OFF) for node in described_lab.nodes}
    document: dict[str, Any] = status_document(described_lab, machines, facts)
    return document


def _headline(document: dict[str, Any]) -> str:
    cluster = document["cluster"]
    if document["state"] in ("stopped", "absent", "nodes"):
        return f"Lab {document['lab']} ({document['family']}): {document['state']}"
    quorum = "quorate" if cluster["quorate"] else "no quorum"
    return (
        f"Lab {document['lab']} ({document['family']}): {document['state']} · cluster {cluster['name']}, "
        f"{quorum}, DC {cluster['dc'] or 'none'}, fencing {cluster['fencing']}"
    )


def _short(hosts: Sequence[str]) -> str:
    return " ".join(host.partition(".")[0] for host in hosts)


def _node_table(document: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    online = set(document["cluster"]["online"])
    rows = []
    for node in document["nodes"]:
        member = "online" if online & {node["name"], node.get("hostname", "")} else "offline"
        addresses = node["addresses"]
        shown = addresses.values() if isinstance(addresses, dict) else addresses
        rows.append([node["name"], node["state"], member, "  ".join(str(a) for a in shown)])
    return ["node", "machine", "cluster", "addresses"], rows


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
            made, nodes, family = "damaged or another version's", 0, "?"
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
        console.line(console.command("No lab. Make one: labctl up"))
    else:
        rows = [
            [
                each["lab"],
                each["state"],
                str(each["nodes"]),
                each["family"],
                " ".join(f"127.0.0.1:{port}" for port in each["ports"]),
                each["version"],
            ]
            for each in found
        ]
        console.table(["lab", "state", "nodes", "family", "pcsd", "made by"], rows)
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
    """Prove that the lab works: nodes, names, time, networks, corosync, quorum, DC, fencing, daemons."""
    require_root("validate")
    places, _ = require_running(lab)
    from labctl.checks.lab_checks import validate as judge
    from labctl.checks.report import as_json as to_json
    from labctl.checks.report import write_junit
    from labctl.lab import bubble as lab_bubble
    from labctl.lab import record
    from labctl.lab.up import Request, described
    from labctl.probe.gather import gather, why_no_outside

    known = record.load(places.record, lab)
    described_lab = described(Request(lab=lab), known)
    engine = lab_bubble.engine(lab, places)
    stage = known.until if known else Until.ALL.value
    silent = why_no_outside()
    facts = gather(engine, described_lab, timeout=10, outside=not silent)
    results = judge(described_lab, facts, stage="nodes" if stage == Until.NODES else "all", no_outside=silent)
    document = to_json(results)
    if junit:
        write_junit(results, junit, f"labctl validate {lab}")
    if as_json:
        console.document(document)
    else:
        console.checks(results, every=verbose)
        console.heading(
            f"{document['passed']} passed, {document['failed']} failed, {document['skipped']} skipped"
        )
    return FAILED if document["failed"] else OK


def down(
    lab: LabOption = DEFAULT_LAB,
    every: Annotated[bool, typer.Option("--all", help="Every lab of this host.")] = False,
    wait: WaitOption = 0,
    as_json: JsonOption = False,
) -> int:
    """Remove the lab: its processes, mounts, networks and files. The node image stays."""
    require_root("down")
    from labctl.lab.down import labs, take_down

    began = time.monotonic()
    names = labs() if every else [lab]
    gone = []
    with console.Steps("labctl down", quiet=as_json) as steps:
        for name in names:
            steps.stage(name)
            if take_down(name, say=steps.say, patience=wait):
                gone.append(name)
    seconds = time.monotonic() - began
    if as_json:
        console.document({"removed": gone, "seconds": round(seconds, 3)})
    elif gone:
        console.line(f"Lab {', '.join(gone)} is gone ({seconds:.1f} s).")
    else:
        console.line("There was no lab to remove." if every else f"There is no lab {lab}; nothing to do.")
    return OK
