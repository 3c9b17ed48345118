"""A connection to the libvirtd of a lab's bubble: its machines by name, its errors as ours."""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections.abc import Iterator
from typing import Any

from labctl.engine.base import State
from labctl.engine.libvirt_binding import binding
from labctl.errors import ActionFailed, HostLacks, LabError
from labctl.places import LabPlaces

ROOM = 64 * 1024**2  # bytes that must be free before a machine goes on


class Link:
    """Opened at the first question, and again when it was lost. Safe to use from several threads."""

    def __init__(self, places: LabPlaces) -> None:
        self._places = places
        self._connected: Any = None
        self._lock = threading.Lock()

    def close(self) -> None:
        with self._lock:
            if self._connected is not None:
                with contextlib.suppress(binding().libvirtError):
                    self._connected.close()
                self._connected = None

    def _connection(self) -> Any:
        with self._lock:
            if self._connected is None or not self._connected.isAlive():
                api = binding()
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

    def _found(self, name: str) -> Any | None:
        api, connection = binding(), self._connection()
        try:
            return connection.lookupByName(name)
        except api.libvirtError as error:
            if error.get_error_code() == api.VIR_ERR_NO_DOMAIN:
                return None
            raise self._failed(f"libvirt does not find {name}", error) from None

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
            state = found.state()[0]
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

    def _require_room(self) -> None:
        """A machine whose write meets a full disk stands still; going on needs room first."""
        free = shutil.disk_usage(self._places.root).free
        if free < ROOM:
            raise HostLacks(
                f"The disk below {self._places.root} is full ({free // 1024**2} MiB free), so a machine "
                "would stop at its next write.",
                mend="make room, then labctl up",
            )
