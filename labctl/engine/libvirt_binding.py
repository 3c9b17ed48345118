"""libvirt's Python binding, wherever this host has it.

labctl mostly runs in a virtual environment, which does not see the distribution's packages, and the
registry has the binding only as source, to be compiled against libvirt's headers. So the distribution's
build is taken as well, file by file: a whole site folder on sys.path would shadow labctl's own versions
of other packages.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

from labctl.errors import HostLacks
from labctl.host import packages

# Where distributions keep Python modules: Debian and Ubuntu; Fedora, RHEL and SUSE; Arch.
SITE_FOLDERS = (
    "usr/lib/python3/dist-packages",
    "usr/lib64/python3.*/site-packages",
    "usr/lib/python3.*/site-packages",
)
# The Python module and the extension module below it.
LIBVIRT = ("libvirt", "libvirtmod")
LIBVIRT_QEMU = ("libvirt_qemu", "libvirtmod_qemu")

_loading = threading.Lock()


def binding() -> ModuleType:
    """The module `libvirt`. Raises HostLacks when there is none that this Python can load."""
    return load(LIBVIRT)


def agent_binding() -> ModuleType:
    """The module `libvirt_qemu`, for the guest agent's own commands. Raises HostLacks, as binding() does."""
    binding()  # it imports libvirt by name
    return load(LIBVIRT_QEMU)


def load(
    names: tuple[str, str],
    *,
    root: Path = Path("/"),
    suffixes: Sequence[str] = importlib.machinery.EXTENSION_SUFFIXES,
) -> ModuleType:
    """The first of names, imported as usual, else from the distribution's folders below root.

    names: the Python module and the extension module that it imports.  suffixes: see candidates().
    Raises HostLacks; the mend is the command that installs what is missing.
    """
    with _loading:
        try:
            return importlib.import_module(names[0])
        except ImportError as error:
            tried = [f"import {names[0]}: {error}"]
        for source, built in candidates(names, root, suffixes):
            try:
                _load_file(names[1], built)
                return _load_file(names[0], source)
            except ImportError as error:
                sys.modules.pop(names[1], None)
                tried.append(f"{built}: {error}")
    raise HostLacks(
        f"This Python ({'.'.join(map(str, sys.version_info[:2]))}) cannot load libvirt's binding.",
        details="\n".join(tried),
        mend=_mend(names[0], root),
    )


def candidates(names: tuple[str, str], root: Path, suffixes: Sequence[str]) -> Iterator[tuple[Path, Path]]:
    """Pairs of files (Python module, extension module) whose ABI tag is one of suffixes, the best tag first.

    suffixes: as in importlib.machinery.EXTENSION_SUFFIXES, such as ".cpython-311-x86_64-linux-gnu.so".
    """
    plain, extension = names
    for pattern in SITE_FOLDERS:
        for folder in sorted(root.glob(pattern)):
            source = folder / f"{plain}.py"
            for suffix in suffixes:
                built = folder / f"{extension}{suffix}"
                if source.is_file() and built.is_file():
                    yield source, built


def _load_file(name: str, path: Path) -> ModuleType:
    """Import a file under a name, without its folder on sys.path. Raises ImportError, and leaves nothing."""
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no module", name=name, path=str(path))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


def _mend(name: str, root: Path) -> str:
    """The distribution's package; where that is here, but for another Python, the build from source."""
    there = any((folder / f"{name}.py").is_file() for site in SITE_FOLDERS for folder in root.glob(site))
    if there:
        return (
            f"{sys.executable} -m pip install libvirt-python"
            "   (compiles it: needs gcc, pkg-config, the headers of this Python and libvirt's)"
        )
    needs = [need for need in packages.table() if need.group == "vm" and "libvirt.py" in need.name]
    return packages.mend(needs, packages.manager())
