"""What a node knows of its sessions while it runs: below /run/labctl-iscsi, gone with the node.

request/SID.json   what was asked for, passwords included (0600); written before the keeper starts
outcome/SID.json   how the login goes: {"state": TRYING | DONE | FAILED, "code": iscsiadm's, "words"}
sessions/SID.json  a session that is logged in, for iscsiadm and labctl's probe
control/SID.sock   where the keeper listens
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .command import write_atomic
from .database import locked

RUN = Path("/run/labctl-iscsi")
KEPT = Path("/var/lib/labctl-iscsi")  # survives a reboot: names of disks, what was told once

Document = dict[str, Any]


def file(kind: str, sid: int) -> Path:
    return RUN / kind / f"{sid}.json"


def load(kind: str, sid: int) -> Document | None:
    """A document, None when it is not there."""
    try:
        found: Document = json.loads(file(kind, sid).read_text())
    except (FileNotFoundError, ValueError):
        return None
    return found


def save(kind: str, sid: int, document: Document) -> None:
    RUN.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_atomic(str(file(kind, sid)), json.dumps(document, indent=1) + "\n", 0o600)


def forget(sid: int, *kinds: str) -> None:
    for kind in kinds:
        file(kind, sid).unlink(missing_ok=True)


def listed(kind: str) -> list[Document]:
    """All documents of a kind by number; each gets its "sid"."""
    found = []
    for path in (RUN / kind).glob("[0-9]*.json"):
        document = load(kind, int(path.stem))
        if document is not None:
            found.append({**document, "sid": int(path.stem)})
    return sorted(found, key=lambda document: int(document["sid"]))


def reserve(request: Document) -> int:
    """Write a request under the next session number. Numbers are not used twice until the node reboots."""
    with locked(RUN / "sid.lock"):
        last = RUN / "last-sid"
        sid = int(last.read_text()) + 1 if last.exists() else 1
        write_atomic(str(last), f"{sid}\n", 0o600)
    save("request", sid, request)
    return sid


def names() -> dict[str, str]:
    """Which disk got which name, by "TARGET WWID"."""
    try:
        found: dict[str, str] = json.loads((KEPT / "names.json").read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return found


def name_for(key: str) -> str:
    """The name of a disk: what it had before, or the first free of sdb, sdc, …; remembered.

    A disk that another session of this node has under its name already (two paths to it) gets a further name.
    """
    with locked(RUN / "names.lock"):
        known = names()
        taken = {disk["name"] for session in listed("sessions") for disk in session["disks"]}
        for path in range(1, 100):
            at = key if path == 1 else f"{key} path {path}"
            name = known.get(at)
            if name is None:
                used = {*known.values(), *taken}
                name = next(name for name in map(_letters, range(1, 18278)) if name not in used)
                write_atomic(str(KEPT / "names.json"), json.dumps({**known, at: name}, indent=1) + "\n")
            if name not in taken:
                return name
    raise RuntimeError(f"no name for {key}")


def _letters(number: int) -> str:
    """sda is 0, sdz 25, sdaa 26, as the kernel counts (sd_format_disk_name)."""
    text = ""
    number += 1
    while number:
        number, rest = divmod(number - 1, 26)
        text = chr(97 + rest) + text
    return f"sd{text}"
