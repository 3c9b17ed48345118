"""The host's side: doctor, build, schema, completion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from labctl import console
from labctl.cli import tongue
from labctl.cli.frame import JsonOption, require_root
from labctl.cli.helping import add
from labctl.cli.tongue import say
from labctl.errors import HOST_LACKS, OK, UsageError
from labctl.places import image_store, labs_root, state_root

if TYPE_CHECKING:
    from labctl.host.needs import Finding

SHELLS = ("bash", "zsh", "fish", "powershell")


def register(app: typer.Typer) -> None:
    """Add these commands to the app."""
    for command in (doctor, build, schema, completion):
        add(app, command.__name__, command)


def doctor(
    fix: Annotated[bool, typer.Option("--fix", help="Install what is missing.")] = False,
    as_json: JsonOption = False,
) -> int:
    """Can this host run a lab, what is missing, and the command that mends it."""
    from labctl.host import doctor as examiner

    if fix:
        require_root("doctor --fix")
    findings = _findings()
    if fix:
        with console.Steps("labctl doctor --fix", quiet=as_json) as steps:
            examiner.fix(findings, steps.say)
        findings = _findings()
    blocked = [finding for finding in findings if finding.blocks]
    if as_json:
        console.document({"ready": not blocked, "findings": [finding.as_dict() for finding in findings]})
    else:
        for finding in findings:
            mark = say("mark-ok" if finding.ok else "mark-note" if finding.ok is None else "mark-lack")
            console.line(f"{mark}  {finding.id:16} {tongue.found(finding.message)}")
            if not finding.ok and finding.mend:
                console.line(f"      → {tongue.mend(finding.mend)}")
        console.heading(say("host-lacks", count=len(blocked)) if blocked else say("host-ready"))
    return HOST_LACKS if blocked else OK


def _findings() -> list[Finding]:
    from labctl.host import doctor as examiner
    from labctl.lab.load import load_lab
    from labctl.storage import choose, lio_host
    from labctl.vm import findings, room

    kernel = lio_host.lacks(lio_host.look("", labs_root(), ""))
    nodes = load_lab("doctor").nodes
    guests = [room.Guest(node.name, node.memory_mib, node.cpus) for node in nodes]
    machines = findings.findings(state_root(), [*guests, room.target_guest()])
    return [*examiner.examine(state_root()), choose.finding(kernel), *machines]


def build(
    family: Annotated[str, typer.Option("--family", help="auto, centos or debian.")] = "auto",
    force: Annotated[bool, typer.Option("--force", help="Even when nothing changed.")] = False,
    as_json: JsonOption = False,
) -> int:
    """Build the node image, when its inputs changed; --json tells the package versions inside."""
    require_root("build")
    from labctl.image import build as builder
    from labctl.image.store import ImageStore

    if family not in ("auto", "centos", "debian"):
        raise UsageError(
            f"There is no family {family!r}.", mend="labctl build --family auto   (or centos, debian)"
        )
    with console.Steps("labctl build") as steps:
        image = builder.build(
            family,  # type: ignore[arg-type]
            store=ImageStore(image_store()),
            on_line=tongue.told(steps.say),
            force=force,
        )
    if as_json:
        console.document(
            {"image": image.tag, "id": image.id, "family": image.family, "base": image.base,
             "size": image.size, "seconds": round(image.seconds, 1), "rebuilt": image.rebuilt,
             "packages": image.packages}
        )  # fmt: skip
        return OK
    size, count = f"{image.size / 1e9:.2f}", len(image.packages)
    done = "image-built" if image.rebuilt else "image-kept"
    console.line(say(done, image=image.tag, seconds=round(image.seconds), size=size, count=count))
    for package in ("pacemaker", "corosync", "pcs", "resource-agents", "fence-agents"):
        if package in image.packages:
            console.line(f"  {package} {image.packages[package]}")
    return OK


def schema() -> int:
    """The JSON Schema of a lab's description, for editors."""
    from labctl.lab.file.schema import lab_schema

    console.document(lab_schema())
    return OK


def completion(
    shell: Annotated[str, typer.Argument(metavar="SHELL", help="bash, zsh, fish or powershell.")] = "bash",
) -> int:
    """Print the completion script of a shell: source <(labctl completion bash)."""
    if shell not in SHELLS:
        raise UsageError(f"There is no completion for {shell!r}.", mend=f"labctl completion {SHELLS[0]}")
    from typer._completion_shared import get_completion_script

    console.line(get_completion_script(prog_name="labctl", complete_var="_LABCTL_COMPLETE", shell=shell))
    return OK
