"""What VM mode needs of the host: `labctl up --mode vm` stops without it, `labctl doctor` tells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from labctl.engine.libvirt_binding import agent_binding, binding
from labctl.errors import HostLacks
from labctl.host import packages
from labctl.host.needs import Finding
from labctl.host.packages import Need
from labctl.vm.accel import KVM, Acceleration, cache_file, remembered, unusable
from labctl.vm.room import Guest, fit, read_host


def lacking() -> tuple[Need, ...]:
    """The needs of the group vm that the host does not meet; a binding that pip built counts."""
    return tuple(need for need in packages.missing(["vm"]) if not (_is_binding(need) and _binds() is None))


def require() -> None:
    """Raises HostLacks when a program or the binding is missing, with the command that mends it."""
    missing = lacking()
    if missing:
        raise HostLacks(
            f"This host cannot run virtual machines: it lacks {_names(missing)}.",
            mend=packages.mend(missing, packages.manager()),
        )
    binding()
    agent_binding()


def findings(
    state: Path, guests: Sequence[Guest], *, cache: Path | None = None, device: Path = KVM
) -> Iterator[Finding]:
    """Notes for doctor: none of them is required, since containers need none of this.

    state: the folder of labs.  guests: what `up --mode vm` would start.  cache: acceleration's.
    """
    missing = lacking()
    if missing:
        yield Finding("vm-programs", None, f"virtual machines (--mode vm) lack: {_names(missing)}",
                      packages.mend(missing, packages.manager()), required=False)  # fmt: skip
    else:
        yield _binding_finding(_binds())
    known = remembered(cache or cache_file())
    yield _kvm(known, device)
    yield _room(state, guests, known)


def _binding_finding(failure: HostLacks | None) -> Finding:
    if failure is None:
        return Finding("vm-programs", True, "virtual machines (--mode vm): QEMU and libvirt are there",
                       required=False)  # fmt: skip
    return Finding("vm-programs", None, failure.message, failure.mend, required=False)


def _kvm(known: Acceleration | None, device: Path) -> Finding:
    if known is not None:
        return Finding("vm-kvm", True, known.reason, required=False)
    why = unusable(device)
    said = f"{why}: virtual machines are emulated" if why else f"{device} opens; the first VM tries it"
    return Finding("vm-kvm", True, said, required=False)


def _room(state: Path, guests: Sequence[Guest], known: Acceleration | None) -> Finding:
    host = read_host(state)
    try:
        found = fit(guests, host, known.kind if known else "kvm", disk=state)
    except HostLacks as error:
        return Finding("vm-room", None, error.message, error.mend, required=False)
    nodes = sum(guest.node for guest in guests)
    return Finding("vm-room", True, found.reason or f"{nodes} virtual machines have room for what they want",
                   required=False)  # fmt: skip


def _binds() -> HostLacks | None:
    try:
        agent_binding()
    except HostLacks as error:
        return error
    return None


def _is_binding(need: Need) -> bool:
    return "libvirt.py" in need.name


def _names(needs: Sequence[Need]) -> str:
    """What for rather than which file: the table's patterns tell a reader little."""
    return ", ".join(need.purpose if need.programs[0].startswith("/") else need.programs[0] for need in needs)
