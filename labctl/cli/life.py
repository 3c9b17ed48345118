"""A lab's life: up, down."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from labctl import console
from labctl.cli import tongue
from labctl.cli.frame import FileOption, JsonOption, LabOption, WaitOption, require_root
from labctl.cli.helping import add
from labctl.cli.tongue import say
from labctl.errors import OK, BadFile, LabError, UsageError
from labctl.lab.plan import Until
from labctl.places import DEFAULT_LAB, lab_flag, lab_places


def register(app: typer.Typer) -> None:
    """Add these commands to the app."""
    add(app, "up", up)
    add(app, "down", down)


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
    storage: Annotated[
        str | None,
        typer.Option(
            "--storage",
            envvar="LABCTL_STORAGE",
            help="Who serves the shared disks: auto, lio, userspace or none.",
        ),
    ] = None,
    mode: Annotated[
        str | None,
        typer.Option(
            "--mode", envvar="LABCTL_MODE", help="container or vm; without it, as the lab's file says."
        ),
    ] = None,
    vm_image: Annotated[
        Path | None,
        typer.Option(
            "--vm-image",
            metavar="FILE",
            help="Make the virtual machines of this cloud image (qcow2 or raw) of a distribution.",
        ),
    ] = None,
    libvirt_uri: Annotated[
        str | None,
        typer.Option(
            "--libvirt-uri",
            metavar="URI",
            help="Make the virtual machines in this libvirt: qemu:///system, qemu+ssh://USER@HOST/system.",
        ),
    ] = None,
    until: Annotated[
        Until | None,
        typer.Option(
            "--until",
            help="Stop early, to do the rest by hand.",
            show_default="all; while an exercise is under way, its start",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    keep_on_error: Annotated[
        bool,
        typer.Option("--keep-on-error/--clear-on-error", help="Keep a lab whose start failed, to look at."),
    ] = True,
    snapshot: Annotated[
        bool, typer.Option("--snapshot/--no-snapshot", help="Keep a new lab's state, for a fast way back.")
    ] = True,
    as_json: JsonOption = False,
    wait: WaitOption = 0,
) -> int:
    """Build what is missing, start the nodes, form the cluster. Again and again: it heals."""
    require_root("up")
    from labctl.lab.request import Request
    from labctl.lab.up import bring_up

    _one_of("mode", mode, ("container", "vm"))
    _one_of("family", family, ("auto", "centos", "debian"))
    _one_of("storage", storage, ("auto", "lio", "userspace", "none"))
    request = Request(
        lab=lab,
        file=file,
        overrides=tuple(override or ()),
        scenario=scenario,
        nodes=nodes,
        family=family,
        mode=mode,
        vm_image=vm_image,
        libvirt_uri=libvirt_uri,
        storage=storage,
        until=until or as_far_as_the_exercise(lab),
        dry_run=dry_run,
        label=snapshot,
        patience=wait,
    )
    _require_programs()
    fresh = not lab_places(lab).root.exists()
    with console.Steps(say("steps", command="labctl up", lab=lab)) as steps:
        try:
            outcome = bring_up(request, tongue.progress(steps))
        except LabError:
            if fresh and not keep_on_error and not dry_run:
                from labctl.lab.down import take_down

                take_down(lab, say=tongue.told(steps.say))
            raise
    if as_json:
        console.document(outcome.document())
        return OK
    if dry_run:
        for action in outcome.actions:
            console.line(f"{action.do.value:14} {action.node:8} {tongue.because(action.reason)}")
        if not outcome.actions:
            console.line(say("nothing-to-do"))
        return OK
    if not outcome.actions:
        console.line(say("up-already", lab=lab, seconds=f"{outcome.seconds:.1f}"))
        return OK
    for port, asked, address, inside in outcome.forwards:
        if port != asked:
            console.note(say("port-taken", asked=asked, address=address, inside=inside, port=port))
    _summary(outcome.lab, outcome.seconds, outcome.forwards, lab, request.until)
    return OK


def as_far_as_the_exercise(lab: str) -> Until:
    """As far as the start of the exercise that is under way, and that is told: the rest is the learner's.

    Without one, all.
    """
    from labctl.course import progress
    from labctl.lab import record

    places = lab_places(lab)
    before = record.load(places.record, lab) if places.root.is_dir() else None
    if before is None or before.until == Until.ALL:
        return Until.ALL
    active = ""
    with suppress(BadFile):  # of a newer labctl
        active = progress.load(places).active
    if not active:
        return Until.ALL
    whole = f"labctl up --until all{lab_flag(lab)}"
    console.note(say("as-far-as", active=active, until=before.until, whole=whole))
    return Until(before.until)


def _one_of(option: str, given: str | None, known: tuple[str, ...]) -> None:
    """Raises UsageError for a word that the option does not know."""
    if given is not None and given not in known:
        others = f"   (or {', '.join(known[1:])})" if known[1:] else ""
        raise UsageError(
            f"There is no {option} {given!r} in this version.",
            mend=f"labctl up --{option} {known[0]}{others}",
        )


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
    flag, first = lab_flag(name), lab.nodes[0].name
    taken = f"{seconds:.1f}"
    console.heading(say("up-done", lab=name, count=len(lab.nodes), family=lab.family, seconds=taken))
    if until is Until.NODES:
        console.line(say("up-nodes", whole=f"labctl up --until all{flag}"))
    else:
        fencing = say("fencing-on" if lab.fencing.enabled else "fencing-off")
        console.line(say("up-cluster", name=lab.cluster.name, fencing=fencing))
    console.line(say("up-get-in", command=f"labctl ssh {first}{flag}"))
    for port, _, _, inside in forwards:
        if inside == 2224:
            console.line(say("up-pcsd", port=port, password=lab.credentials.hacluster_password))
    console.line(say("up-look", status=f"labctl status{flag}", validate=f"labctl validate{flag}"))
    if until is not Until.NODES:
        console.line(say("up-try", command=f"labctl exec {first}{flag} -- pcs status"))
        console.line(say("up-learn", command=f"labctl exercise day1{flag}"))
    console.line(say("up-clear", command=f"labctl down{flag}"))


def down(
    lab: LabOption = DEFAULT_LAB,
    every: Annotated[bool, typer.Option("--all", help="Every lab of this host.")] = False,
    keep: Annotated[
        bool,
        typer.Option("--keep", help="Only switch off; disks and snapshots stay, and `labctl up` carries on."),
    ] = False,
    wait: WaitOption = 0,
    as_json: JsonOption = False,
) -> int:
    """Remove the lab: its processes, mounts, networks, files and snapshots. The node image stays."""
    require_root("down")
    from labctl.lab.down import labs, switch_off, take_down

    began = time.monotonic()
    names = labs() if every else [lab]
    gone = []
    with console.Steps("labctl down", quiet=as_json) as steps:
        for name in names:
            steps.stage(name)
            ended = (switch_off if keep else take_down)(name, say=tongue.told(steps.say), patience=wait)
            gone += [name] if ended else []
    seconds = time.monotonic() - began
    if as_json:
        console.document({"switched_off" if keep else "removed": gone, "seconds": round(seconds, 3)})
        return OK
    words = {"labs": ", ".join(gone), "lab": lab, "seconds": f"{seconds:.1f}"}
    if keep:
        done = say("down-kept" if gone else "down-not-running", **words)
        console.line(f"{done} {say('go-on', command='labctl up' + ('' if every else lab_flag(lab)))}")
    elif gone:
        console.line(say("down-gone", **words))
    else:
        console.line(say("down-none" if every else "down-no-lab", **words))
    return OK
