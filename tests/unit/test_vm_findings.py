"""labctl.vm.findings: what `up --mode vm` stops for, and doctor notes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from labctl.errors import HostLacks
from labctl.host import packages
from labctl.host.needs import Finding
from labctl.vm import accel, findings, room

ROWS = {need.programs[0]: need for need in packages.table() if need.group == "vm"}
BINDING = next(need for name, need in ROWS.items() if name.endswith("libvirt.py"))
QEMU = ROWS["qemu-system-x86_64"]


def lacks(monkeypatch: pytest.MonkeyPatch, *needs: packages.Need, binds: bool = True) -> None:
    """This host lacks what these rows of the table have; binds: whether the binding can be loaded."""

    def load() -> None:
        if not binds:
            raise HostLacks("no binding", mend="build it")

    monkeypatch.setattr(packages, "missing", lambda groups: needs if "vm" in groups else ())
    monkeypatch.setattr(packages, "manager", lambda: "apt")
    monkeypatch.setattr(findings, "binding", load)
    monkeypatch.setattr(findings, "agent_binding", load)


def noted(tmp_path: Path, guests: list[room.Guest] | None = None) -> dict[str, Finding]:
    wanted = [room.Guest("node1", 768, 1)] if guests is None else guests
    found = findings.findings(tmp_path, wanted, cache=tmp_path / "cache", device=tmp_path / "kvm")
    return {finding.id: finding for finding in found}


def test_nothing_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lacks(monkeypatch)
    findings.require()
    assert noted(tmp_path)["vm-programs"].ok is True


def test_what_is_missing_is_named_with_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lacks(monkeypatch, QEMU, BINDING, binds=False)
    with pytest.raises(HostLacks) as caught:
        findings.require()
    assert "qemu-system-x86_64, libvirt's Python binding" in caught.value.message
    assert caught.value.mend.endswith("install python3-libvirt qemu-system-x86")
    finding = noted(tmp_path)["vm-programs"]
    assert (finding.ok, finding.mend) == (None, caught.value.mend)


def test_a_binding_of_pips_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    lacks(monkeypatch, BINDING, binds=True)
    findings.require()


def test_a_binding_that_does_not_load_is_lacking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lacks(monkeypatch, binds=False)
    with pytest.raises(HostLacks, match="no binding"):
        findings.require()
    assert noted(tmp_path)["vm-programs"].mend == "build it"


def test_no_finding_blocks_a_host_for_containers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor may doctor --fix install virtual machines' programs unasked."""
    lacks(monkeypatch, *ROWS.values(), binds=False)
    found = noted(tmp_path, [room.Guest(f"node{n}", 10**6, 1, floor_mib=10**6) for n in range(4)])
    assert set(found) == {"vm-programs", "vm-kvm", "vm-room"}
    assert not any(finding.blocks or finding.fix or finding.packages for finding in found.values())
    assert found["vm-room"].ok is None
    assert "--mode container" in found["vm-room"].mend
    assert json.dumps([finding.as_dict() for finding in found.values()])


def test_kvm_is_told_as_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lacks(monkeypatch)
    assert f"there is no {tmp_path / 'kvm'}" in noted(tmp_path)["vm-kvm"].message
    (tmp_path / "kvm").touch()
    assert "the first VM tries it" in noted(tmp_path)["vm-kvm"].message
    known = {"kind": "tcg", "reason": "Guests are emulated, because I say so.", "boot_seconds": 9.0}
    (tmp_path / "cache").write_text(json.dumps({accel.BOOT_ID.read_text().strip() + " x": known}))
    assert noted(tmp_path)["vm-kvm"].message == known["reason"]
