"""A connection to the libvirtd of a lab's machines: those by name, its errors as ours.

In another libvirtd than the lab's own, machines of others live beside ours: a domain is ours when its
metadata name the lab's folder, whatever it is called.
"""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections.abc import Iterator
from typing import Any

from labctl.engine import domain, elsewhere
from labctl.engine.base import State
from labctl.engine.libvirt_binding import binding
from labctl.errors import ActionFailed, HostLacks, LabError, TimedOut
from labctl.places import LabPlaces
from labctl.wait import wait_until

ROOM = 64 * 1024**2  # bytes that must be free before a machine goes on
STOPS_AGAIN = 2.0  # s; a write that found no room is repeated as soon as the machine goes on


class Link:
    """Opened at the first question, and again when it was lost. Safe to use from several threads."""

    def __init__(self, places: LabPlaces) -> None:
        self._places = places
        self._in_bubble = places.in_bubble
        self._connected: Any = None
        self._lock = threading.Lock()

    def close(self) -> None:
        with self._lock:
            if self._connected is not None:
                with contextlib.suppress(binding().libvirtError):
                    self._connected.close()
                self._connected = None

    def _connection(self) -> Any:
        api = binding()
        with self._lock:
            if self._connected is not None and not self._answers():
                self._connected = None
            if self._connected is None and not self._in_bubble:
                self._connected = elsewhere.connection(self._places)
            if self._connected is None:
                api.registerErrorHandler(lambda *_: None, None)  # it would print what is raised anyway
                try:
                    self._connected = api.open(self._places.libvirt_uri)
                except api.libvirtError as error:
                    raise ActionFailed(
                        "The lab's libvirt does not answer.",
                        details=str(error),
                        mend=f"labctl up --lab {self._places.lab}",
                    ) from None
            return self._connected

    def _answers(self) -> bool:
        """Whether libvirtd is still the one of this connection; isAlive() notices an end only at a call."""
        try:
            return bool(self._connected.isAlive() and self._connected.getLibVersion())
        except binding().libvirtError:
            return False

    def _title(self, name: str) -> str:
        return name if self._in_bubble else domain.title(self._places.lab, name)

    def _ours(self, about: dict[str, str]) -> bool:
        return self._in_bubble or about.get("folder") == self._places.owner

    def _found(self, name: str) -> Any | None:
        api, connection = binding(), self._connection()
        title = self._title(name)
        try:
            found = connection.lookupByName(title)
            ours = self._in_bubble or self._ours(domain.about(found.XMLDesc()))
        except api.libvirtError as error:
            if error.get_error_code() == api.VIR_ERR_NO_DOMAIN:
                return None
            raise self._failed(f"libvirt does not find {name}", error) from None
        if not ours:
            raise ActionFailed(
                f"The libvirt at {self._places.libvirt_uri} has a machine {title} that is not of this lab.",
                mend=f"another name for this lab, or: virsh --connect "
                f"'{self._places.libvirt_uri}' dumpxml {title}   (tells whose it is)",
            )
        return found

    def _domain(self, name: str) -> Any:
        found = self._found(name)
        if found is None:
            raise ActionFailed(f"There is no machine {name}.", mend=f"labctl up --lab {self._places.lab}")
        return found

    def _runs(self, name: str) -> bool:
        """Whether a machine is on. Raises ActionFailed when there is none."""
        return self._state_of(self._domain(name)) is not State.OFF

    def _state_of(self, found: Any) -> State:
        api = binding()
        with self._errors("libvirt does not tell a machine's state"):
            state, reason = found.state()
        if state == api.VIR_DOMAIN_PAUSED and reason == api.VIR_DOMAIN_PAUSED_STARTING_UP:
            return State.ON  # nobody has frozen it, and nobody needs to thaw it
        if state in (api.VIR_DOMAIN_PAUSED, api.VIR_DOMAIN_PMSUSPENDED):
            return State.FROZEN
        off = (api.VIR_DOMAIN_SHUTOFF, api.VIR_DOMAIN_CRASHED, api.VIR_DOMAIN_NOSTATE)
        return State.OFF if state in off else State.ON

    @contextlib.contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        """libvirt's errors as ours."""
        api = binding()
        try:
            yield
        except api.libvirtError as error:
            raise self._failed(what, error) from None

    def _failed(self, what: str, error: Any) -> LabError:
        return ActionFailed(
            f"{what}.", details=str(error), mend=f"labctl logs --lab {self._places.lab}"
        )  # fmt: skip

    def _require_room(self, name: str) -> None:
        """A machine whose write meets a full disk stands still; going on needs room first."""
        folder = self._places.vms / name
        free = shutil.disk_usage(folder if folder.is_dir() else self._places.root).free
        if free < ROOM:
            raise self._full(name)

    def _require_going(self, found: Any, name: str) -> None:
        """QEMU repeats the write at once; a machine that found no room then stands still again."""
        with contextlib.suppress(TimedOut):
            wait_until(
                f"{name} to stop",
                lambda: self._state_of(found) is State.FROZEN,
                timeout=STOPS_AGAIN,
                every=0.1,
            )
            raise self._full(name)

    def _full(self, name: str) -> LabError:
        return HostLacks(
            f"The disk that {name} writes to is full, so it stands still at its next write.",
            details=f"Its file is below {self._places.vms / name}.",
            mend="make room, then labctl up",
        )
