"""What several unit tests begin with."""

from __future__ import annotations

from pathlib import Path

import pytest

from labctl.places import LabPlaces


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LabPlaces:
    """The empty folder of a lab x, in a state folder of the test's own."""
    monkeypatch.setenv("LABCTL_STATE", str(tmp_path))
    found = LabPlaces("x", tmp_path / "labs" / "x")
    found.root.mkdir(parents=True)
    return found
