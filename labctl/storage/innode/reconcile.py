"""Brings a running tgtd to a configuration: adds what is missing, removes what is too much, in a safe order.

Sessions are undisturbed by what is added.  What a session may be using is removed by force only.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path

from . import document, sever, tgt
from .document import Disk, Wanted, WantedTarget

FIRST_PORTAL = "127.0.0.2:3261"  # tgtd must have one from its start; nobody else reaches this one
LEFT_OUT = "; the LUN is left out"
BARRIER = "labctl-barrier"  # an account that nobody has the password of
ORGANISATION = "6001405"  # NAA 6 and LIO's company id: both drivers give a disk the same identifier


def apply(wanted: Wanted, before: Wanted, *, force: bool = False) -> list[str]:
    """Make tgtd have what is wanted; sentences about what it could not be given.

    before: what it was last given, for passwords, which it does not tell.
    force: close the sessions of what is to be removed.  Raises TgtError when tgtd refuses a step.
    """
    problems = list(wanted.problems)
    for portal in tgt.portals():
        if portal != FIRST_PORTAL and portal not in wanted.portals:
            tgt.delete_portal(portal)
    there = {target.iqn: target for target in tgt.targets()}
    names = {target.iqn for target in wanted.targets}
    for target in there.values():
        if target.iqn not in names:
            problems += _remove_target(target, force)
    known = _accounts(wanted, before)
    there = {target.iqn: target for target in tgt.targets()}
    tids = {target.tid for target in there.values()}
    for goal in wanted.targets:
        found = there.get(goal.iqn)
        if found is None:
            tid = next(number for number in range(1, len(tids) + 2) if number not in tids)
            tids.add(tid)
            tgt.new_target(tid, goal.iqn)
            found = tgt.Target(tid, goal.iqn, (), (), (), "", (), ())
        problems += _bring_to(found, goal, known, force)
    listening = tgt.portals()
    for portal in wanted.portals:
        if portal not in listening:
            problems += _open(portal)
    return problems


def refusals(wanted: Wanted) -> list[str]:
    """What could not be removed now because somebody is logged in; nothing is changed by asking."""
    goals = {goal.iqn: goal for goal in wanted.targets}
    found = []
    for target in tgt.targets():
        if not target.sessions:
            continue
        goal = goals.get(target.iqn)
        if goal is None:
            found.append(f"target {target.iqn} is in use: {_users(target)}")
            continue
        leaving = [lun for lun in target.luns if not any(_same(lun, disk) for disk in goal.disks)]
        found += [f"lun{lun.lun} of {target.iqn} is in use: {_users(target)}" for lun in leaving]
    return found


def identifier(wwn: str) -> str:
    """32 hex digits for VPD page 0x83, from a storage object's wwn (a uuid), as LIO makes them."""
    digits = "".join(digit for digit in wwn.lower() if digit in "0123456789abcdef")
    return (ORGANISATION + digits + "0" * 25)[:32]


def _remove_target(target: tgt.Target, force: bool) -> list[str]:
    for who in (*target.initiators, *target.addresses):
        tgt.disallow(target.tid, who)
    if target.sessions:
        if not force:
            for who in (*target.initiators, *target.addresses):
                tgt.allow(target.tid, who)
            return [f"target {target.iqn} stays, it is in use: {_users(target)}"]
        sever.sessions(target.tid)
    for lun in target.luns:
        tgt.delete_lun(target.tid, lun.lun)
    tgt.delete_target(target.tid)
    return []


def _users(target: tgt.Target) -> str:
    names = ", ".join(sorted({session.initiator for session in target.sessions}))
    return f"{names} logged in to it. Log out there first (iscsiadm -m node -T {target.iqn} --logout)"


def _accounts(wanted: Wanted, before: Wanted) -> set[str]:
    """Every account exists with its password; one that is not wanted, or has a new password, is gone first.

    tgtd 1.0.85 falls over its own list when an account is taken from a target that has another one
    bound later (target.c: it leaves a hole, and counts it).  So such a target loses all its accounts,
    the last one first, and for that moment nobody may log in to it.
    """
    goal, last = _passwords(wanted), _passwords(before)
    goals = {target.iqn: target for target in wanted.targets}
    targets = tgt.targets()
    staying = {
        user for target in targets if target.iqn not in goals for user in (*target.users, target.outgoing)
    }
    there = set(tgt.accounts())
    stale = (
        {user for user in there if last.get(user) != goal.get(user) or user not in goal} - {BARRIER} - staying
    )
    for target in targets:
        if target.iqn not in goals:
            continue
        users, back = _users_of(goals[target.iqn])
        gone = [user for user in target.users if user in stale or user not in users]
        if gone or (target.outgoing and (target.outgoing in stale or target.outgoing != back)):
            for who in (*target.initiators, *target.addresses):
                tgt.disallow(target.tid, who)
            for user in reversed(target.users):
                tgt.unbind_account(target.tid, user)
            if target.outgoing:
                tgt.unbind_account(target.tid, target.outgoing, outgoing=True)
    for user in sorted(stale):
        tgt.delete_account(user)
    for user in sorted(set(goal) - (there - stale)):
        tgt.new_account(user, goal[user])
    return (there - stale) | set(goal)


def _users_of(goal: WantedTarget) -> tuple[list[str], str]:
    """Who may log in by CHAP, and as whom the target answers."""
    users = [BARRIER] if goal.locked else [account.user for account in goal.accounts]
    return users, goal.outgoing.user if goal.outgoing else ""


def _passwords(wanted: Wanted) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for target in wanted.targets:
        for account in (*target.accounts, *([target.outgoing] if target.outgoing else [])):
            found.setdefault(account.user, account.password)
    return found


def _bring_to(found: tgt.Target, goal: WantedTarget, known: set[str], force: bool) -> list[str]:
    """One target, from the inside out: nobody is let in before its disks and its CHAP are there."""
    tid = found.tid
    now = tgt.parameters(tid)
    for name, value in goal.parameters.items():
        if now.get(name) != value:
            tgt.set_parameter(tid, name, value)
    allowed = {*goal.initiators, *(("ALL",) if goal.open_to_all else ())}
    present = {*found.initiators, *found.addresses}
    for who in sorted(present - allowed):
        tgt.disallow(tid, who)
    _chap(found, goal, known)
    problems = _disks(found, goal, force)
    for who in sorted(allowed - present):
        tgt.allow(tid, who)
    return problems


def _chap(found: tgt.Target, goal: WantedTarget, known: set[str]) -> None:
    users, back = _users_of(goal)
    if goal.locked and BARRIER not in known:
        tgt.new_account(BARRIER, secrets.token_hex(16))
        known.add(BARRIER)
    for user in users:
        if user not in found.users:
            tgt.bind_account(found.tid, user)
    if back and found.outgoing != back:
        tgt.bind_account(found.tid, back, outgoing=True)


def _disks(found: tgt.Target, goal: WantedTarget, force: bool) -> list[str]:
    problems = []
    for lun in found.luns:
        if any(_same(lun, disk) for disk in goal.disks):
            continue
        if found.sessions and not force:
            problems.append(f"lun{lun.lun} of {goal.iqn} stays, it is in use: {_users(found)}")
            continue
        if found.sessions:
            sever.sessions(found.tid)
        tgt.delete_lun(found.tid, lun.lun)
    taken = {lun.lun: lun for target in tgt.targets() if target.tid == found.tid for lun in target.luns}
    for disk in goal.disks:
        if disk.lun not in taken:
            problems += _add(found.tid, disk)
        elif taken[disk.lun].readonly != disk.readonly:
            tgt.update_lun(found.tid, disk.lun, {"readonly": str(int(disk.readonly))})
    return problems


def _same(lun: tgt.Lun, disk: Disk) -> bool:
    return (lun.lun, lun.path, lun.serial) == (disk.lun, disk.path, disk.wwn)


def _add(tid: int, disk: Disk) -> list[str]:
    if disk.plugin == "ramdisk":
        _ramdisk(disk)
    if fault := document.fault(disk):
        return [f"{fault}{LEFT_OUT}"]
    try:
        tgt.new_lun(tid, disk.lun, disk.path, sync=not disk.write_back)
        about = {
            "vendor_id": "TGT",
            "product_id": disk.name[:16],
            "scsi_sn": disk.wwn[:36],
            "scsi_id": identifier(disk.wwn),
            "readonly": str(int(disk.readonly)),
        }
        tgt.update_lun(tid, disk.lun, about)
    except tgt.TgtError as error:
        return [f"{disk.name}: tgtd does not take its image {disk.path}: {error}"]
    return []


def _ramdisk(disk: Disk) -> None:
    """LIO's ramdisk is memory of the kernel; here a file in the memory file system under /run."""
    path = Path(disk.path)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with path.open("ab") as file:
        if file.tell() < disk.size:
            file.truncate(disk.size)


def _open(portal: str) -> list[str]:
    try:
        tgt.new_portal(portal)
    except tgt.TgtError as error:
        return [f"the portal {portal} cannot be opened (is the address there, the port free?): {error}"]
    return []


__all__ = ["FIRST_PORTAL", "LEFT_OUT", "apply", "identifier", "refusals"]
