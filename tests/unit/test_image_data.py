"""The families' data: package lists, unit names and scripts that the image's build reads."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from labctl.errors import UsageError
from labctl.image.family import Family, families, load_family, sources
from labctl.run import run

IMAGES = sources() / "images"
GROUPS = ["base", "cluster", "fencing", "arbitration", "storage", "services", "learner"]
each_family = pytest.mark.parametrize("family", families())


def words(path: Path) -> list[str]:
    return [word for line in path.read_text().splitlines() for word in line.partition("#")[0].split()]


def test_there_are_two_families() -> None:
    assert families() == ["centos", "debian"]


@each_family
def test_families_load_and_are_frozen(family: str) -> None:
    loaded = load_family(family)
    with pytest.raises(ValueError, match="frozen"):
        setattr(loaded, "title", "other")  # noqa: B010  (mypy knows it, too)


def test_unknown_family_is_named_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="centos, debian"):
        load_family("gentoo")


def test_families_speak_of_the_same_things() -> None:
    centos, debian = load_family("centos"), load_family("debian")
    for field in ("units", "paths", "values"):
        assert set(getattr(centos, field)) == set(getattr(debian, field)), field


@each_family
def test_every_unit_is_a_unit_and_every_path_absolute(family: str) -> None:
    loaded = load_family(family)
    assert all(re.fullmatch(r"[\w@-]+\.(service|socket)", unit) for unit in loaded.units.values())
    assert all(path.startswith("/") for path in loaded.paths.values())


@each_family
def test_every_package_group_has_a_list_without_duplicates(family: str) -> None:
    folder = IMAGES / family / "packages"
    assert {path.stem for path in folder.glob("*.txt")} - {f"{group}-optional" for group in GROUPS} == set(
        GROUPS
    )
    listed = [word for path in sorted(folder.glob("*.txt")) for word in words(path)]
    assert sorted(listed) == sorted(set(listed))
    assert all(re.fullmatch(r"[a-zA-Z0-9][\w.+-]*", word) for word in listed)


def test_containerfile_installs_every_group_once_in_order() -> None:
    text = (sources() / "Containerfile.node").read_text()
    assert re.findall(r"^RUN sh /usr/lib/labctl/install (\w+)$", text, re.MULTILINE) == GROUPS
    assert re.findall(r"packages/(\w+)\*\.txt", text) == GROUPS


def test_centos_units_all_have_a_source() -> None:
    proof = (IMAGES / "centos" / "SOURCES.md").read_text()
    missing = [unit for unit in load_family("centos").units.values() if f"`{unit}`" not in proof]
    assert missing == []


@each_family
def test_preset_enables_what_every_node_runs_and_no_cluster(family: str) -> None:
    loaded: Family = load_family(family)
    preset = words(IMAGES / family / "root/etc/systemd/system-preset/00-labctl.preset")
    enabled = {unit for verb, unit in zip(preset[::2], preset[1::2], strict=True) if verb == "enable"}
    assert {loaded.units[name] for name in ("ssh", "chrony", "pcsd")} <= enabled
    assert "labctl-hostkeys.service" in enabled
    assert not {loaded.units[name] for name in ("corosync", "pacemaker", "sbd", "web", "firewalld")} & enabled
    assert preset[-2:] == ["disable", "*"]


@each_family
def test_chronyd_never_sets_the_clock(family: str) -> None:
    loaded = load_family(family)
    root = IMAGES / family / "root"
    assert '"-x"' in (root / loaded.paths["chrony_options"].lstrip("/")).read_text()
    drop_in = root / "etc/systemd/system" / f"{loaded.units['chrony']}.d" / "labctl.conf"
    assert "ConditionCapability=\n" in drop_in.read_text()


def test_container_masks_are_units_and_spare_what_a_node_needs() -> None:
    masks = words(IMAGES / "common" / "container-masks.txt")
    assert len(masks) == len(set(masks))
    assert all(
        re.fullmatch(r"[\w@-]+\.(service|socket|mount|automount|path|timer|target)", mask) for mask in masks
    )
    needed = {"systemd-journald.service", "systemd-tmpfiles-setup.service", "systemd-user-sessions.service"}
    for family in families():
        needed |= set(load_family(family).units.values())
    assert not needed & set(masks)


SCRIPTS = [
    path
    for path in sorted(IMAGES.rglob("*"))
    if path.is_file() and (path.suffix == ".sh" or path.read_bytes().startswith(b"#!"))
]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: str(path.relative_to(IMAGES)))
def test_scripts_are_valid_sh(script: Path) -> None:
    result = run(["sh", "-n", script], timeout=10, check=False)
    assert (result.rc, result.stderr) == (0, "")


def test_install_names_the_optional_package_that_is_not_there(tmp_path: Path) -> None:
    """images/common/install with a family of two functions: required ones fail, optional ones do not."""
    (tmp_path / "packages").mkdir()
    (tmp_path / "packages" / "one.txt").write_text("# comment\ngood\nbetter # why\n")
    (tmp_path / "packages" / "one-optional.txt").write_text("rare\ngood\n")
    (tmp_path / "family.sh").write_text(
        "begin() { :; }\ntidy() { echo tidied; }\n"
        'install_packages() { echo "got $*"; case "$*" in *rare*) return 1;; esac; }\n'
    )
    script = (IMAGES / "common" / "install").read_text().replace("here=/usr/lib/labctl", f"here={tmp_path}")
    (tmp_path / "install").write_text(script)
    result = run(["sh", tmp_path / "install", "one"], timeout=10)
    lines = result.stdout.splitlines()
    assert "got good better" in lines
    assert "labctl: optional package rare: not available, left out" in lines
    assert "labctl: optional package good: installed" in lines
    (tmp_path / "packages" / "one.txt").write_text("rare\n")
    assert run(["sh", tmp_path / "install", "one"], timeout=10, check=False).rc == 1
