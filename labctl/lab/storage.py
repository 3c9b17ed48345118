"""From what a lab asks for to the storage driver that it has."""

from __future__ import annotations

from typing import Any

from labctl.engine.base import Engine
from labctl.errors import LabError, UsageError
from labctl.image.family import load_family
from labctl.lab.model import Lab
from labctl.lab.plan import Until
from labctl.places import LabPlaces, lab_places
from labctl.probe.facts import Facts, NodeFacts, StorageFacts
from labctl.storage import disks
from labctl.storage.base import LIO, NONE, PORT, TARGET, USERSPACE, Choice, Driver
from labctl.storage.choose import choose, choose_for_machines, userspace_lacks
from labctl.storage.trial import trial


def asked_for(lab: Lab, wanted: str | None, before: str) -> Lab:
    """The lab with the driver that `up` was asked for, or that it already has.

    wanted: of --storage.  before: of the lab's record.  Raises UsageError for a change of driver.
    """
    known = before or wanted or lab.storage.driver
    if before and wanted not in (None, "auto", before):
        raise UsageError(
            f"Lab {lab.name} was made with storage driver {before}, not {wanted}.",
            mend=f"labctl down --lab {lab.name} && labctl up --lab {lab.name} --storage {wanted}",
        )
    return _with_driver(lab, known)


def choice(lab: Lab) -> Choice:
    """The driver for this lab on this host; lab.family must be resolved. Raises HostLacks."""
    able = lab.family != "auto" and load_family(lab.family).values["qemu_iscsi"] == "yes"
    wanted = lab.storage.driver
    if lab.has_machines:
        return choose_for_machines(wanted, userspace_lacks(able) if lab.has_containers else "")
    return choose(
        wanted,
        lio=_lio_lacks(lab) if wanted in ("auto", LIO) else "not asked for",
        userspace=userspace_lacks(able) if wanted in ("auto", USERSPACE) else "not asked for",
    )


def resolved(lab: Lab) -> Lab:
    """The lab with "auto" replaced by the driver that it gets. Raises HostLacks."""
    return _with_driver(lab, choice(lab).driver)


def driver(lab: Lab, until: Until = Until.ALL) -> Driver | None:
    """The lab's driver; None without storage, or when `up` stops before it."""
    if lab.storage.driver == NONE or not until.with_storage:
        return None
    if lab.has_machines:
        from labctl.storage.mixed import Mixed
        from labctl.storage.vm import VmLio

        return Mixed() if lab.has_containers else VmLio()
    if lab.storage.driver == USERSPACE:
        from labctl.storage.userspace import Userspace

        return Userspace()
    from labctl.storage.lio import Lio

    return Lio()


def serve(driver: Driver, engine: Engine, lab: Lab, places: LabPlaces, image: str) -> None:
    """Make the target's machine, or make it anew when its description changed, and start it.

    image: id of the node image.  Raises ActionFailed, HostLacks.
    """
    disks.prepare(lab, places, on_host=driver.disks_on_host)
    driver.prepare(lab, places)
    wanted = driver.appliance(lab, places)
    machine = engine.appliances().get(TARGET)
    if machine is not None and machine.spec_hash != wanted.spec_hash(machine.image):
        engine.remove(TARGET)
        machine = None
    if machine is None:
        engine.create_appliance(wanted, image, driver.appliance_files(places))
    engine.start(TARGET)


def look(engine: Engine, lab: Lab, until: Until, *, try_it: bool) -> StorageFacts:
    """The lab's side of the shared disks. try_it: also write, read and send a stranger away."""
    if not until.with_storage:
        return StorageFacts(NONE, f"the lab was brought up without them, --until {until}")
    if (used := driver(lab, until)) is None:
        return StorageFacts(NONE, reason_of(lab))
    target = used.show(engine, lab)
    if not try_it:
        return StorageFacts(used.name, reason_of(lab), target)
    return StorageFacts(used.name, reason_of(lab), target, trial(engine, lab, target))


def reason_of(lab: Lab) -> str:
    """Why a lab has the driver that it has, as this host is now."""
    try:
        again = choice(_with_driver(lab, "auto"))
    except LabError as error:
        return error.message
    return again.reason if again.driver == lab.storage.driver else "asked for"


def status(lab: Lab, storage: StorageFacts, facts: Facts) -> dict[str, Any]:
    """The part "storage" of `status --json`."""
    if storage.driver == NONE:
        return {"driver": None, "reason": storage.reason, "disks": []}
    sessions = {name for name, _ in storage.target.sessions}
    return {
        "driver": storage.driver,
        "reason": storage.reason,
        "target": {
            "iqn": lab.storage.target,
            "portal": f"{lab.storage.address}:{PORT}",
            "answers": not storage.target.trouble,
        },
        "sessions": [
            {"node": node.name, "initiator": node.initiator, "logged_in": node.initiator in sessions}
            for node in lab.nodes
        ],
        "disks": [
            {
                "name": disk.name,
                "size": disk.size * 1024 * 1024,
                "served": disk.name in (storage.target.luns or {}),
                "wwn": next((own.disks[disk.name].wwn for own in _well(facts) if disk.name in own.disks), ""),
                "nodes": [
                    node.name
                    for node in lab.nodes
                    if isinstance(own := facts.get(node.name), NodeFacts) and disk.name in own.disks
                ],
            }
            for disk in lab.storage.disks
        ],
    }


def _with_driver(lab: Lab, name: str) -> Lab:
    return lab.model_copy(update={"storage": lab.storage.model_copy(update={"driver": name})})


def _well(facts: Facts) -> list[NodeFacts]:
    return [own for own in facts.values() if isinstance(own, NodeFacts)]


def _lio_lacks(lab: Lab) -> str:
    from labctl.storage.lio import host_lacks

    return host_lacks(lab, lab_places(lab.name))
