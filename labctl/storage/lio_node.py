"""A node's own disks in its own /dev: device nodes and links like udev's, which does not run in nodes.

One command in the node does all of it, and can be run again at any time.  What it leaves in
/run/labctl-iscsi tells, after a restart of the node, that its session belongs to the boot before.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from labctl.storage.lio_kernel import Block, Lun, Session

STATE = "/run/labctl-iscsi"  # the same place and form as the userspace driver's
SECONDS = 30.0
# From stdin: "DEVICE NAME MAJOR MINOR" and "LINK NAME TARGET", then after an empty line the session's
# state; $1 the folder, $2 the file, $3 is /dev. What was made before and is not named now goes away.
PLACE = """\
set -eu
state=$1 file=$2 dev=$3
umask 022
mkdir -p "$state/sessions" "$dev/disk/by-id" "$dev/disk/by-path"
made=$state/made.new
: > "$made"
while read -r kind one two three; do
    case $kind in
    DEVICE)
        now=$(stat -c '%t %T' "$dev/$one" 2>/dev/null || :)
        if [ "$now" != "$(printf '%x %x' "$two" "$three")" ] || [ ! -b "$dev/$one" ]; then
            rm -f "$dev/$one"
            mknod -m 0660 "$dev/$one" b "$two" "$three"
            chgrp disk "$dev/$one" 2>/dev/null || :
        fi
        echo "$dev/$one" >> "$made" ;;
    LINK)
        ln -sfn "$two" "$dev/$one"
        echo "$dev/$one" >> "$made" ;;
    '') break ;;
    esac
done
cat > "$state/sessions/.new"
if [ -s "$state/sessions/.new" ]; then
    mv "$state/sessions/.new" "$state/sessions/$file.json"
else
    rm -f "$state/sessions/.new" "$state/sessions/$file.json"
fi
if [ -e "$state/made" ]; then
    while read -r old; do
        grep -qxF -e "$old" "$made" || rm -f "$old"
    done < "$state/made"
fi
mv "$made" "$state/made"
"""
FILE = "lio"


def argv() -> list[str]:
    """The command to run in the node, with placed() or nothing() on its stdin."""
    return ["sh", "-c", PLACE, "labctl-disks", STATE, FILE, "/dev"]


def nothing() -> str:
    """What takes all devices away."""
    return "\n"


def placed(session: Session, names: Sequence[str], portal: str) -> str:
    """The lines for a session's disks. names: of LUN 1, LUN 2, …; portal: ADDRESS:PORT for by-path.

    A LUN beyond the names takes the next free letter.
    """
    lines: list[str] = []
    disks: list[dict[str, object]] = []
    for lun, name in named(session.luns, names):
        parts = [(lun.disk, name, ""), *((part, f"{name}{part.partition}", f"-part{part.partition}")
                                         for part in lun.partitions)]  # fmt: skip
        for block, inside, suffix in parts:
            lines.append(_device(inside, block))
            path = f"disk/by-path/ip-{portal}-iscsi-{session.target}-lun-{lun.lun}"
            lines += [
                f"LINK {link}{suffix} ../../{inside}"
                for link in (path, *(f"disk/by-id/{i}" for i in ids(lun)))
            ]
        disks.append(
            {
                "lun": lun.lun,
                "name": name,
                "size": lun.size,
                "wwn": f"wwn-0x{lun.naa}" if lun.naa else "",
                "serial": lun.serial,
                "host": lun.disk.kernel_name,
            }
        )
    state = {
        "sid": session.sid,
        "state": session.state,
        "target": session.target,
        "portal": portal,
        "tpgt": 1,
        "initiator": session.initiator,
        "iface": "default",
        "disks": disks,
    }
    return "\n".join(lines) + "\n\n" + json.dumps(state, indent=1) + "\n"


def named(luns: Sequence[Lun], names: Sequence[str]) -> list[tuple[Lun, str]]:
    """Each LUN with its name in the node."""
    free = iter(
        name for name in (f"sd{chr(letter)}" for letter in range(ord("b"), ord("z") + 1)) if name not in names
    )
    return [
        (lun, names[lun.lun - 1] if 0 < lun.lun <= len(names) else next(free))
        for lun in sorted(luns, key=lambda one: one.lun)
    ]


def ids(lun: Lun) -> list[str]:
    """Names in /dev/disk/by-id, as udev's 60-persistent-storage.rules make them from VPD page 0x83."""
    return [f"scsi-3{lun.naa}", f"wwn-0x{lun.naa}"] if lun.naa else []


def _device(name: str, block: Block) -> str:
    return f"DEVICE {name} {block.number[0]} {block.number[1]}"
