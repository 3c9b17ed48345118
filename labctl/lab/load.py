"""From compose.yaml and its overrides to a Lab, or to a list of all that is wrong with them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final

from labctl.errors import BadFile, UsageError
from labctl.lab.file.form import ComposeForm
from labctl.lab.file.read import read_form
from labctl.lab.file.yaml_tree import Mistake
from labctl.lab.model import Interface, Lab, Network, NodeSpec, PortForward, nearest, resized
from labctl.packaged import data_file

SCENARIOS: Final = Path(__file__).resolve().parent / "scenarios"

_LAB_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,30}")


def load_lab(
    name: str,
    *,
    file: Path | None = None,
    scenario: str | None = None,
    overrides: Sequence[Path] = (),
    nodes: int | None = None,
    environment: Mapping[str, str] | None = None,
) -> Lab:
    """Read a lab's description.

    name: the lab's own name (`--lab`).  file: its main file, the packaged one when None.
    The scenario's file is put over it, then the overrides in order; then the number of
    nodes is fitted.  environment: for ${VARIABLES}, the process's own when None.
    Raises UsageError for a wrong name, scenario or number, BadFile with every mistake found.
    """
    if _LAB_NAME.fullmatch(name) is None:
        raise UsageError(
            f"{name!r} cannot be a lab's name.",
            details="A name is 1 to 31 small letters, digits and hyphens, and begins with a letter.",
        )
    main = file if file is not None else data_file("compose.yaml")
    files = [main, *([scenario_file(scenario)] if scenario else []), *overrides]
    form, mistakes = read_form(files, os.environ if environment is None else environment)
    if form is None or mistakes:
        raise _bad_file(files, mistakes)
    lab = _lab(name, main, form)
    return lab if nodes is None else resized(lab, nodes)


def scenarios() -> tuple[str, ...]:
    """The names of the scenarios that come with labctl."""
    return tuple(sorted(path.stem for path in SCENARIOS.glob("*.yaml")))


def scenario_file(name: str) -> Path:
    """A scenario's override file; UsageError names the nearest and lists all."""
    known = scenarios()
    if name not in known:
        raise UsageError(
            f"There is no scenario {name!r}{nearest(name, known)}.", details=f"There are: {', '.join(known)}"
        )
    return SCENARIOS / f"{name}.yaml"


def _bad_file(files: Sequence[Path], mistakes: Sequence[Mistake]) -> BadFile:
    unique = sorted(set(mistakes), key=lambda mistake: (mistake.where.file, mistake.where.line, str(mistake)))
    names = ", ".join(dict.fromkeys(mistake.where.file for mistake in unique)) or str(files[0])
    many = "a mistake" if len(unique) == 1 else f"{len(unique)} mistakes"
    gone = any(mistake.code == "unreadable" for mistake in unique)
    return BadFile(
        f"The lab's description has {many}: {names}",
        details="\n".join(str(mistake) for mistake in unique),
        mend="give the path of a readable Compose file, or leave it out to take labctl's own"
        if gone
        else "correct the lines above",
    )


def _lab(name: str, source: Path, form: ComposeForm) -> Lab:
    """The model of a form without mistakes."""
    part = form.x_lab
    nodes = []
    for index, (node, service) in enumerate(form.services.items(), start=1):
        legs = [
            Interface(network=network, name=leg.interface_name, address=leg.ipv4_address)
            for network, leg in service.networks.items()
        ]
        ports = [
            PortForward(host_ip=IPv4Address(port.host_ip), host_ports=port.host_ports, port=port.target)
            for port in service.ports
        ]
        nodes.append(
            NodeSpec(
                name=node,
                hostname=service.hostname,
                index=index,
                mode=service.x_lab.mode,
                interfaces=tuple(sorted(legs, key=lambda leg: leg.name)),
                aliases=service.x_lab.aliases,
                ports=tuple(ports),
                initiator=part.storage.initiator.replace("{node}", node),
                bmc_port=part.fencing.first_port + index - 1,
                memory_mib=service.x_lab.memory or part.vm.memory,
                cpus=service.x_lab.cpus or part.vm.cpus,
            )
        )
    networks = [
        Network(
            name=network,
            subnet=shape.ipam.config[0].subnet,
            gateway=shape.ipam.config[0].gateway,
            internal=shape.internal,
        )
        for network, shape in form.networks.items()
    ]
    sections = dict(part)
    return Lab(name=name, source=source, nodes=tuple(nodes), networks=tuple(networks), **sections)
