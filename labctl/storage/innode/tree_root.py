"""targetcli's /: the whole tree, and saving and restoring it."""

from __future__ import annotations

import copy
import datetime as dt
import gzip
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from . import document, tgt
from .tree import CliError, Node, Shell, truth
from .tree_iscsi import Iscsi
from .tree_stores import Backstores

BACKUPS = 10
VERSION = "2.1.53"  # of the targetcli-fb whose words these are


class Root(Node):
    def __init__(self, shell: Shell) -> None:
        super().__init__("/", None, shell)

    def children(self) -> Sequence[Node]:
        return [Backstores("backstores", self, self.shell), Iscsi("iscsi", self, self.shell)]

    def facts(self) -> Mapping[str, Any]:
        return {"served by": "tgtd, in user space", "saved configuration": document.SAVED}

    def do_saveconfig(self, savefile: str = "") -> None:
        """Save the configuration, so that it can be restored at the next boot."""
        path = Path(savefile or document.SAVED).expanduser()
        try:
            if str(path) == document.SAVED and path.exists():
                self._back_up(path)
            document.store(str(path), self.shell.config)
        except OSError as error:
            raise CliError(f"Could not open {path}: {error.strerror}") from None
        self.shell.say(f"Configuration saved to {path}")

    def _back_up(self, path: Path) -> None:
        """Keep the last configurations beside the saved one, when it has changed since the last copy."""
        folder = path.parent / "backup"
        folder.mkdir(mode=0o700, exist_ok=True)
        old, content = sorted(folder.glob("saveconfig-*json.gz")), path.read_bytes()
        if old and gzip.decompress(old[-1].read_bytes()) == content:
            return
        now = dt.datetime.now().strftime("%Y%m%d-%H:%M:%S")  # noqa: DTZ005 (local time, as the original)
        new = folder / f"saveconfig-{now}-json.gz"
        new.touch(mode=0o600)
        new.write_bytes(gzip.compress(content))
        for surplus in old[: max(0, len(old) + 1 - BACKUPS)]:
            surplus.unlink()
        self.shell.say(f"Last {BACKUPS} configs saved in {folder}/.")

    def do_restoreconfig(
        self,
        savefile: str = "",
        clear_existing: str = "",
        target: str = "",
        storage_object: str = "",
    ) -> None:
        """Restore the configuration from a file, beside what is there or in place of it."""
        path = str(Path(savefile or document.SAVED).expanduser())
        if not Path(path).is_file():
            raise CliError(f"Restore file {path} not found")
        if target or storage_object:
            raise CliError("restoring a single target or storage object is not there; the whole file is")
        try:
            saved = document.load(path)
            document.wanted(saved)
        except document.BadDocument as error:
            raise CliError(str(error)) from None
        config = self.shell.config
        if truth(clear_existing, False):
            config.clear()
            config.update(copy.deepcopy(saved))
        else:
            self._beside(saved)
        self.shell.say(f"Configuration restored from {path}")

    def _beside(self, saved: Mapping[str, Any]) -> None:
        config = self.shell.config
        known = {(so["plugin"], so["name"]) for so in config["storage_objects"]}
        for so in saved["storage_objects"]:
            if (so["plugin"], so["name"]) in known:
                raise CliError(f"storageobject '{so['plugin']}:{so['name']}' exist not restoring")
        names = {target["wwn"] for target in config["targets"]}
        for target in saved["targets"]:
            if target["wwn"] in names:
                raise CliError(f"target with wwn {target['wwn']} exist, not restoring")
        for part in ("storage_objects", "targets"):
            config[part].extend(copy.deepcopy(saved[part]))

    def do_clearconfig(self, confirm: str = "") -> None:
        """Remove all backstores and targets; files stay."""
        if not truth(confirm, False):
            raise CliError("As a precaution, confirm=True needs to be set")
        self.shell.config.clear()
        self.shell.config.update(document.empty())
        self.shell.say("All configuration cleared")

    def do_sessions(self, action: str = "list", sid: str = "") -> None:
        """Display the open sessions: list or detail."""
        if action not in ("list", "detail"):
            raise CliError("action must be one of: list, detail")
        try:
            found = [
                (target, session)
                for target in (tgt.targets() if tgt.answers() else ())
                for session in target.sessions
                if sid in ("", str(session.sid))
            ]
        except tgt.TgtError as error:
            raise CliError(str(error)) from None
        if not found and sid:
            raise CliError(f"no session found with sid {sid}")
        if not found:
            self.shell.say("(no open sessions)")
        for target, session in found:
            self.shell.say(f"alias: none\tsid: {session.sid} type: Normal session-state: LOGGED_IN")
            if action == "detail":
                self.shell.say(f"    name: {session.initiator}\n    target: {target.iqn}")
                for connection in session.connections:
                    self.shell.say(f"    address: {connection.address} (TCP)  cid: {connection.cid}")

    def do_version(self) -> None:
        """Display which targetcli this is like."""
        self.shell.say(f"targetcli version {VERSION} (labctl's, in front of tgtd)")
