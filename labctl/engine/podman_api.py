"""The wire to a bubble's podman: libpod's HTTP calls over podman-py's APIClient.

podman-py's own container model cannot name interfaces or set a read time-out per
call, so requests go with libpod's own documents
(https://docs.podman.io/en/latest/_static/api.html).
"""

from __future__ import annotations

import io
import json
import shlex
import tarfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from labctl.engine.base import File
from labctl.errors import ActionFailed, TimedOut

if TYPE_CHECKING:
    from podman.api.client import APIClient

CALL_TIMEOUT = 60.0


class Api:
    """One lab's podman service. Safe to use from several threads: each has its own connection."""

    def __init__(self, lab: str, socket: Path) -> None:
        self._lab = lab
        self._socket = socket
        self._local = threading.local()

    def _client(self) -> APIClient:
        client = getattr(self._local, "client", None)
        if client is None:
            from podman.api.client import APIClient

            client = APIClient(base_url=f"unix://{self._socket}", version="4.0.0")
            self._local.client = client
        return cast("APIClient", client)

    def call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        document: Mapping[str, Any] | None = None,
        data: bytes | None = None,
        timeout: float | None = CALL_TIMEOUT,
        stream: bool = False,
        accept: Sequence[int] = (),
        what: Sequence[str] = (),
    ) -> Any:
        """One call. accept: error codes that are answers. Raises TimedOut, ActionFailed."""
        import requests

        body = json.dumps(document).encode() if document is not None else data
        headers = {"Content-Type": "application/json"} if document is not None else {}
        try:
            answer = self._client()._request(  # the verbs of APIClient are this call with one word fixed
                method, path, params=params, data=body, headers=headers, timeout=timeout, stream=stream
            )
        except requests.exceptions.ReadTimeout:
            raise TimedOut(
                f"podman did not answer {method} {path} within {timeout:.0f} s.", details=shlex.join(what)
            ) from None
        except requests.exceptions.RequestException as error:
            raise ActionFailed(
                f"The lab's podman service does not answer ({type(error).__name__}).",
                details=str(error),
                mend=f"labctl up --lab {self._lab}",
            ) from None
        status = answer.status_code
        if status >= 400 and status not in accept:
            raise ActionFailed(
                f"podman refused {method} {path}.",
                details=reason_of(answer),
                mend=f"labctl down --lab {self._lab} && labctl up --lab {self._lab}",
            )
        return answer

    def lines(self, answer: Any) -> Iterator[bytes]:
        """The lines of a streamed answer. Raises ActionFailed when podman goes in between."""
        import requests

        try:
            yield from (line for line in answer.iter_lines() if line)
        except requests.exceptions.RequestException as error:
            raise ActionFailed("The lab's podman service ended.", details=str(error)) from None

    def close(self) -> None:
        """Give back this thread's connection."""
        client = getattr(self._local, "client", None)
        if client is not None:
            client.close()
            self._local.client = None


def pack(files: Sequence[File]) -> bytes:
    """A tar archive of the files, parents included, as libpod's archive call takes it.

    It ends with its end mark, two blocks of zeros (tar(5)): podman's reader goes when it has read that,
    and the padding to a whole record that usually follows would find nobody to take it (EPIPE).
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for file in files:
            entry = tarfile.TarInfo(file.path.lstrip("/"))
            entry.mode, entry.uid, entry.gid, entry.mtime = file.mode, file.uid, file.gid, int(time.time())
            if file.directory:
                entry.type = tarfile.DIRTYPE
            elif file.link_to:
                entry.type, entry.linkname = tarfile.SYMTYPE, file.link_to
            else:
                entry.size = len(file.content)
            archive.addfile(entry, io.BytesIO(file.content) if entry.isreg() else None)
        end = archive.offset + 2 * tarfile.BLOCKSIZE
    return buffer.getvalue()[:end]


def first_file(archive: bytes) -> bytes | None:
    """The content of the first regular file of a tar archive; None when there is none.

    Raises ActionFailed for a file that changed its size while podman read it.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
            for member in opened:
                content = opened.extractfile(member)
                if content is not None:
                    return content.read()
    except tarfile.TarError as error:
        raise ActionFailed("A file could not be read whole.", details=str(error)) from None
    return None


def reason_of(answer: Any) -> str:
    """Podman's own words for a refusal."""
    try:
        return str(answer.json().get("message") or answer.json().get("cause"))
    except ValueError:
        return str(answer.text)[:2000]
