"""Why a build failed: the package group and the package, read from its output."""

from __future__ import annotations

import re

from labctl.errors import ActionFailed

_GROUP = re.compile(r"^labctl: group ([\w-]+):")
_PACKAGE = (
    re.compile(r"E: Unable to locate package (\S+)"),
    re.compile(r"E: Package '([^']+)' has no installation candidate"),
    re.compile(r"No match for argument: (\S+)"),
    re.compile(r"Unable to find a match: (.+)"),
    re.compile(r"dpkg: error processing (?:package|archive) (\S+)"),
    re.compile(r"Error unpacking rpm package (\S+)"),
)
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_OPTIONAL = "labctl: optional package "


class BuildFailed(ActionFailed):
    """An image's build ended badly. group and packages name the place, as far as the output tells."""

    def __init__(
        self, message: str, *, group: str, packages: tuple[str, ...], details: str, mend: str
    ) -> None:
        super().__init__(message, details=details, mend=mend)
        self.group = group
        self.packages = packages


class Watch:
    """Reads a build's lines as they come, and knows which group is being installed."""

    def __init__(self) -> None:
        self.group = ""
        self.packages: list[str] = []
        self.no_room = False
        self._tail: list[str] = []

    def line(self, text: str) -> None:
        text = _COLOURS.sub("", text)
        self._tail = [*self._tail[-19:], text]
        if found := _GROUP.match(text):
            self.group, self.packages = found[1], []
        if text.startswith(_OPTIONAL):
            self.packages = []
        if "No space left on device" in text or "no space left on device" in text:
            self.no_room = True
        for pattern in _PACKAGE:
            if found := pattern.search(text):
                self.packages += [name for name in found[1].split() if name not in self.packages]

    def error(self, family: str) -> BuildFailed:
        """The error for a build that failed after these lines."""
        where = f" in package group {self.group}" if self.group else ""
        which = f": {', '.join(self.packages)} cannot be installed" if self.packages else ""
        mend = f"labctl build --family {family} (goes on at the group that failed)"
        if self.packages and self.group:
            mend = f"correct images/{family}/packages/{self.group}.txt or the mirror, then {mend}"
        return BuildFailed(
            f"The {family} image's build failed{where}{which}.",
            group=self.group,
            packages=tuple(self.packages),
            details="\n".join(self._tail),
            mend=mend,
        )
