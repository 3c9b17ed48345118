"""Machines in another libvirtd than the lab's own: `up --libvirt-uri` (docs/adr/0018-another-libvirtd.md)."""

from __future__ import annotations

from collections.abc import Callable

from labctl.bubble import start as bubble
from labctl.engine import elsewhere, exports
from labctl.engine.libvirt_host import absolute, require_usable
from labctl.engine.remote import is_remote, parse
from labctl.errors import UsageError
from labctl.lab.model import Lab
from labctl.places import LabPlaces


def require_fits(lab: Lab, places: LabPlaces, made: bool, asked: str | None) -> None:
    """Whether the lab's machines can be where they are asked for. made: whether they were chosen before.

    Nobody is asked here. Raises UsageError.
    """
    if asked is None:
        return
    require_usable(asked)
    if not lab.has_machines:
        raise UsageError(
            "--libvirt-uri is for virtual machines, and this lab has none.",
            mend=f"labctl up --lab {lab.name} --mode vm --libvirt-uri '{asked}'",
        )
    if lab.has_containers:
        raise UsageError(
            "--libvirt-uri is for labs of virtual machines alone, and some nodes of this one are containers.",
            mend=f"labctl up --lab {lab.name}   (their machines then are in the lab's own libvirt)",
        )
    if made and (places.in_bubble or places.libvirt_uri != absolute(asked)):
        name, where = lab.name, places.libvirt_uri
        raise UsageError(
            f"The machines of lab {name} are in the lab's own libvirt, not at {asked}."
            if places.in_bubble
            else f"The machines of lab {name} are in the libvirt at {where}, not at {asked}.",
            mend=f"labctl down --lab {lab.name} && "
            f"labctl up --lab {lab.name} --mode vm --libvirt-uri '{asked}'",
        )


def is_lost(places: LabPlaces) -> bool:
    """Whether the lab runs, and its machines, on another host, have lost their disks.

    The connection does not stand, or who served them here was started anew.
    """
    if not places.token or bubble.find(places) is None:
        return False
    return not elsewhere.remote(places).alive or not exports.served(places)


def for_new(asked: str | None, places: LabPlaces, say: Callable[[str], None]) -> str:
    """The libvirtd of a lab whose machines are still to be made; "" for its own. It has been asked.

    One that began elsewhere goes on there.  Raises HostLacks, NotPermitted.
    """
    uri = absolute(asked) if asked else "" if places.in_bubble else places.libvirt_uri
    if uri:
        elsewhere.require(places, uri)
    if is_remote(uri):
        say(f"the machines are to be on {parse(uri).host}: its memory and processors count")
    return uri
