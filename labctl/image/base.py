"""Getting a family's base image: local, pulled, or made from packages with mmdebstrap."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass

from labctl import run
from labctl.errors import CommandFailed, HostLacks, LabError, TimedOut
from labctl.host import packages
from labctl.image.family import Family
from labctl.image.store import ImageStore

PULL_SECONDS = 180.0
MMDEBSTRAP_SECONDS = 900.0

OnLine = Callable[[str], None]


@dataclass(frozen=True)
class Base:
    """A base image in the store. kind: local, pulled or packages."""

    reference: str
    kind: str


def packages_tag(family: Family) -> str:
    """The name in the store of a base that was made from packages."""
    return f"localhost/labctl/base:{family.name}"


def local_base(store: ImageStore, family: Family) -> Base | None:
    """The base that the store holds already: pulled before, or made from packages before."""
    for reference in (family.base, packages_tag(family)):
        if store.inspect(reference) is not None:
            return Base(reference, "local")
    return None


def pull(store: ImageStore, family: Family, on_line: OnLine) -> tuple[Base | None, str]:
    """Pull the base. (base, "") or (None, why not): one line, podman's own reason."""
    on_line(f"Pulling {family.base}.")
    try:
        result = store.podman_stream("pull", family.base, timeout=PULL_SECONDS, on_line=on_line)
    except TimedOut:
        return None, f"no answer within {PULL_SECONDS:.0f} s"
    if result.ok:
        return Base(family.base, "pulled"), ""
    return None, pull_reason(result.stdout)


def pull_reason(output: str) -> str:
    """The reason in podman's output: its last "Error:" line, without the chain of wrappings.

    >>> pull_reason("Trying…\\nError: initializing source docker://x: pinging x: no such host")
    'no such host'
    """
    errors = [line for line in output.splitlines() if line.startswith("Error:")]
    line = errors[-1] if errors else output.strip().rpartition("\n")[2]
    return line.rpartition(": ")[2].strip() or "podman gave no reason"


def host_mirrors(suite: str) -> list[str]:
    """The host's own apt sources for Debian's main component of this suite, as sources.list(5) lines.

    A host behind a mirror or without the usual one keeps its ways. Empty where the host is not
    that release of Debian: mmdebstrap then takes its own default.
    """
    with contextlib.suppress(OSError):
        if platform.freedesktop_os_release().get("VERSION_CODENAME") != suite:
            return []
    try:
        listed = run.run(
            [
                "apt-get",
                "indextargets",
                "--format",
                "$(ORIGIN) $(COMPONENT) $(RELEASE) $(REPO_URI)",
                "Created-By: Packages",
            ],
            timeout=30,
        )
    except LabError:
        return []
    lines: list[str] = []
    for words in map(str.split, listed.stdout.splitlines()):
        if len(words) == 4 and words[:2] == ["Debian", "main"] and words[2].startswith(suite):
            line = f"deb {words[3]} {words[2]} main"
            if line not in lines:
                lines.append(line)
    # Without the suite itself (lists never fetched) the rest is of no use.
    return lines if any(line.split()[2] == suite for line in lines) else []


def host_proxies() -> list[str]:
    """mmdebstrap options that carry the host's apt proxies; http_proxy in the environment works anyway."""
    options: list[str] = []
    for key in ("Acquire::http::Proxy", "Acquire::https::Proxy"):
        with contextlib.suppress(LabError):
            value = run.run(["apt-config", "dump", "--format", "%v%n", key], timeout=30).stdout.strip()
            if value and '"' not in value and "\n" not in value:
                options.append(f'--aptopt={key} "{value}"')
    return options


def from_packages(store: ImageStore, family: Family, suite: str, on_line: OnLine) -> Base:
    """Make the base from the distribution's packages. Raises HostLacks, CommandFailed, TimedOut."""
    on_line(f"Making the base of {family.title} from packages.")
    tar = store.run_root / "base.tar"
    tag = packages_tag(family)
    try:
        # fmt: off
        argv = ["mmdebstrap", "--variant=minbase", "--include=ca-certificates", *host_proxies(),
                suite, str(tar), *host_mirrors(suite)]
        # fmt: on
        made = run.stream(
            store.isolated(*argv), timeout=MMDEBSTRAP_SECONDS, on_line=on_line, env=store.environment
        )
        if not made.ok:
            raise CommandFailed(
                f"mmdebstrap could not make the base of {family.title}.",
                details=made.describe(),
                mend="look at the line with E: above; is a Debian mirror in reach?",
            )
        store.podman("import", "--quiet", str(tar), tag, timeout=300)
    finally:
        tar.unlink(missing_ok=True)
    return Base(tag, "packages")


def have_mmdebstrap() -> bool:
    """Whether mmdebstrap can be run here."""
    try:
        return run.run(["mmdebstrap", "--version"], timeout=30, check=False).ok
    except HostLacks:
        return False


def _install_mmdebstrap(on_line: OnLine) -> None:
    """Install what makes a base from packages, where installing is the caller's way. Raises HostLacks.

    The launcher installs what a lab needs; a labctl that was called by itself changes no host unasked.
    """
    if not os.environ.get("LABCTL_INVOKED_AS"):
        raise HostLacks("Only ./lab installs packages unasked.")
    packages.ensure(["debian"], on_line=on_line)


def get_base(store: ImageStore, family: Family, on_line: OnLine) -> Base:
    """The family's base in the store, by the first way that works. Raises HostLacks.

    What failed on the way is said through on_line, and again in the error.
    """
    base = local_base(store, family)
    if base is not None:
        return base
    pulled, why = pull(store, family, on_line)
    if pulled is not None:
        return pulled
    missing = HostLacks(
        f"The base image {family.base} cannot be had.",
        details=f"pull: {why}",
        mend=f"podman --root {store.graph_root} pull {family.base}",
    )
    if family.base_from_packages is None:
        raise missing
    on_line(f"{family.base} cannot be pulled ({why}).")
    if not have_mmdebstrap():
        try:
            _install_mmdebstrap(on_line)
        except HostLacks as error:
            missing.details += f"\nfrom packages: mmdebstrap is not installed ({error.message})"
            missing.mend = "labctl doctor --fix (installs mmdebstrap)"
            raise missing from error
    try:
        return from_packages(store, family, family.base_from_packages.suite, on_line)
    except (CommandFailed, TimedOut) as error:
        missing.details += f"\nfrom packages: {error.message}\n{error.details}"
        missing.mend = "get a registry or a Debian mirror in reach, then: labctl build --family debian"
        raise missing from error
