#!/usr/bin/env python3
"""The lio storage driver, run for real in an emulated virtual machine. docs/lio.md tells what it proves.

    ci/lio/vm.py                 build what is missing, boot, run the whole proof, end the machine
    ci/lio/vm.py make|boot|sync|stop
    ci/lio/vm.py ssh [WORD …]    in the machine that runs

Needs root, qemu-system-x86 and the means of `labctl build`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from bed import HOME, Bed, LabError

PROOF_SECONDS = 3000.0


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", nargs="?", default="all",
                        choices=("all", "make", "boot", "sync", "stop", "ssh", "proof"))  # fmt: skip
    parser.add_argument("words", nargs=argparse.REMAINDER)
    parser.add_argument("--folder", type=Path, help="where to keep the machine (all: a temporary folder)")
    parser.add_argument("--anew", action="store_true", help="build the disks again")
    parser.add_argument("--timeout", type=float, default=600.0, help="seconds for ssh")
    arguments = parser.parse_args()
    try:
        if arguments.folder is None and arguments.what == "all":
            with tempfile.TemporaryDirectory(prefix="labctl-lio-") as passing:
                return _whole(Bed(Path(passing), _say), arguments)
        folder = (arguments.folder or Path(tempfile.gettempdir()) / "labctl-lio").resolve()
        return _one(Bed(folder, _say), arguments)
    except LabError as error:
        _say(f"error: {error}")
        return error.exit_code


def _one(bed: Bed, arguments: argparse.Namespace) -> int:
    match arguments.what:
        case "all":
            return _whole(bed, arguments)
        case "make":
            bed.make(anew=arguments.anew)
        case "boot":
            bed.boot()
        case "sync":
            bed.sync()
        case "stop":
            bed.stop()
        case "ssh":
            result = bed.ssh(arguments.words or ["uptime"], timeout=arguments.timeout, check=False)
            sys.stdout.write(result.stdout)
            sys.stderr.write(result.stderr)
            return result.rc
        case "proof":
            return _proof(bed, arguments.words)
    return 0


def _whole(bed: Bed, arguments: argparse.Namespace) -> int:
    try:
        bed.make(anew=arguments.anew)
        bed.boot()
        bed.sync()
        return _proof(bed, arguments.words)
    finally:
        bed.stop()


def _proof(bed: Bed, words: list[str]) -> int:
    return bed.stream(["python3", f"{HOME}/ci/lio/proof.py", *words], timeout=PROOF_SECONDS).rc


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
