"""labctl.engine.libvirt_binding, with small modules in a distribution's folders below another root."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from labctl.engine import libvirt_binding
from labctl.errors import HostLacks
from labctl.host import packages

NAMES = ("labctl_trial", "labctl_trialmod")
# What fits this Python, the best first. They end in .py, for nobody compiles an extension here.
FITTING = (".cpython-this.py", ".abi3.py")


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    yield
    for name in NAMES:
        sys.modules.pop(name, None)


def put(root: Path, folder: str, *, tag: str, built: str = "ANSWER = 42") -> Path:
    place = root / folder
    place.mkdir(parents=True, exist_ok=True)
    (place / f"{NAMES[0]}.py").write_text(f"import {NAMES[1]}\nANSWER = {NAMES[1]}.ANSWER\n")
    (place / f"{NAMES[1]}{tag}").write_text(built + "\n")
    return place


@pytest.mark.parametrize(
    "folder",
    [
        "usr/lib/python3/dist-packages",
        "usr/lib64/python3.9/site-packages",
        "usr/lib64/python3.12/site-packages",
        "usr/lib/python3.14/site-packages",
    ],
)
def test_takes_the_distributions_build(tmp_path: Path, folder: str) -> None:
    place = put(tmp_path, folder, tag=FITTING[0])
    (place / "yaml.py").write_text("raise RuntimeError('the folder is on the path')\n")
    before = list(sys.path)
    module = libvirt_binding.load(NAMES, root=tmp_path, suffixes=FITTING)
    assert module.ANSWER == 42
    assert module.__file__ == str(place / f"{NAMES[0]}.py")
    assert sys.path == before
    assert importlib.import_module(NAMES[0]) is module
    assert libvirt_binding.load(NAMES, root=tmp_path / "gone", suffixes=FITTING) is module


def test_only_what_fits_this_python(tmp_path: Path) -> None:
    put(tmp_path, "usr/lib64/python3.9/site-packages", tag=".cpython-39.py", built="ANSWER = 9")
    put(tmp_path, "usr/lib64/python3.12/site-packages", tag=FITTING[1], built="ANSWER = 12")
    assert libvirt_binding.load(NAMES, root=tmp_path, suffixes=FITTING).ANSWER == 12


def test_the_best_tag_goes_first(tmp_path: Path) -> None:
    put(tmp_path, "usr/lib/python3/dist-packages", tag=FITTING[1], built="ANSWER = 1")
    put(tmp_path, "usr/lib/python3/dist-packages", tag=FITTING[0], built="ANSWER = 2")
    assert libvirt_binding.load(NAMES, root=tmp_path, suffixes=FITTING).ANSWER == 2


def test_one_that_does_not_load_is_passed_over(tmp_path: Path) -> None:
    put(tmp_path, "usr/lib/python3/dist-packages", tag=FITTING[0], built="raise ImportError('libvirt.so.0')")
    put(tmp_path, "usr/lib64/python3.12/site-packages", tag=FITTING[0])
    assert libvirt_binding.load(NAMES, root=tmp_path, suffixes=FITTING).ANSWER == 42


def test_the_python_half_may_fail_as_well(tmp_path: Path) -> None:
    place = put(tmp_path, "usr/lib/python3/dist-packages", tag=FITTING[0])
    (place / f"{NAMES[0]}.py").write_text("import labctl_nonesuch\n")
    with pytest.raises(HostLacks) as caught:
        libvirt_binding.load(NAMES, root=tmp_path, suffixes=FITTING)
    assert "labctl_nonesuch" in caught.value.details
    assert not set(NAMES) & set(sys.modules)


def test_none_at_all_names_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "manager", lambda: "apt")
    with pytest.raises(HostLacks) as caught:
        libvirt_binding.load(NAMES, root=tmp_path, suffixes=FITTING)
    assert caught.value.mend.endswith("install python3-libvirt")


def test_one_for_another_python_has_to_be_built(tmp_path: Path) -> None:
    put(tmp_path, "usr/lib64/python3.9/site-packages", tag=".cpython-39.py")
    with pytest.raises(HostLacks) as caught:
        libvirt_binding.load(NAMES, root=tmp_path, suffixes=FITTING)
    assert "pip install libvirt-python" in caught.value.mend


def test_the_real_one() -> None:
    try:
        module = libvirt_binding.binding()
    except HostLacks as error:
        pytest.skip(f"no binding here: {error.mend}")
    assert issubclass(module.libvirtError, Exception)
    assert callable(libvirt_binding.agent_binding().qemuAgentCommand)
