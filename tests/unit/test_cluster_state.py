"""What `up` reads from crm_mon's XML."""

from __future__ import annotations

from pathlib import Path

import pytest

from labctl.cluster.state import parse, parse_view, until_booted, until_formed
from labctl.run import run

XML = """\
<pacemaker-result><summary><current_dc present="true" name="node1" with_quorum="true"/></summary>
<nodes><node name="node1" online="true" pending="false" unclean="false"/></nodes>
<resources><resource id="fence-node1" resource_agent="stonith:fence_ipmilan" role="{role}"{more}/></resources>
</pacemaker-result>
"""


@pytest.mark.parametrize(
    ("role", "more", "fencing"),
    [
        ("Started", "", {"fence-node1": "Started"}),
        ("Started", ' pending="Starting"', {"fence-node1": "Stopped"}),
        ("Started", ' pending="Monitoring"', {"fence-node1": "Started"}),
        ("Stopped", "", {"fence-node1": "Stopped"}),
        ("Stopped", ' target_role="Stopped"', {}),
    ],
)
def test_a_fence_device_counts_unless_somebody_disabled_it(
    role: str, more: str, fencing: dict[str, str]
) -> None:
    view = parse_view(XML.format(role=role, more=more))
    assert view is not None
    assert view.fencing == fencing


@pytest.mark.parametrize(
    ("boot", "booted"),
    [
        ("boot running", True),
        ("boot degraded", True),
        ("boot starting", False),  # before anything is queued
        ("boot starting\njob ssh.service start waiting\njob pcsd.service start running", False),
        ("boot starting\njob multi-user.target start waiting\njob pcsd.service start running", True),
        ("boot stopping\njob pcsd.service stop running", False),
    ],
)
def test_a_node_has_booted_when_it_waits_for_pcsd_alone(boot: str, booted: bool) -> None:
    assert parse(f"units active activating activating\n{boot}\n").booted is booted


def test_units_that_run_and_pcsd_that_is_being_started() -> None:
    member = parse("units active activating activating\nboot running\nconf totem {\n")
    assert (member.corosync, member.pacemaker, member.pcsd) == (True, False, True)
    assert not parse("units inactive inactive failed\nboot running\n").pcsd
    assert parse("units active active inactive\nboot running\njob pcsd.service start waiting\n").pcsd


def looks(tmp_path: Path, fragment: str, **programs: str) -> int:
    """How often a fragment asks the first of these programs; each is a shell script."""
    for name, script in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\necho >>{tmp_path}/asked-{name}\n{script}\n")
        (tmp_path / name).chmod(0o755)
    asked = tmp_path / f"asked-{next(iter(programs))}"
    asked.write_text("")
    run(["env", f"PATH={tmp_path}:/usr/bin:/bin", "sh", "-c", fragment], timeout=60)
    return len(asked.read_text())


STARTING = 'case $1 in is-system-running) echo starting ;; list-jobs) echo "  7 {unit} start running" ;; esac'
RUNNING = "case $1 in is-system-running) echo running ;; esac"
SECOND = 0.21  # the pace at which it is looked for a second


def test_the_wait_in_the_node_ends_when_only_pcsd_is_left_to_start(tmp_path: Path) -> None:
    assert looks(tmp_path, until_booted(SECOND), systemctl=RUNNING) == 2
    assert looks(tmp_path, until_booted(SECOND), systemctl=STARTING.format(unit="pcsd.service")) == 2
    # It comes back from a wait in vain, too: one look after another, or none that systemd answers yet.
    assert looks(tmp_path, until_booted(SECOND), systemctl=STARTING.format(unit="ssh.service")) > 2
    assert looks(tmp_path, until_booted(SECOND), systemctl="exit 1") > 2


@pytest.mark.parametrize(
    "not_yet",
    [
        XML.format(role="Started", more="").replace('with_quorum="true"', 'with_quorum="false"'),
        XML.format(role="Started", more="").replace('online="true"', 'online="false"'),
        XML.format(role="Started", more="").replace('unclean="false"', 'unclean="true"'),
        XML.format(role="Stopped", more=""),
        XML.format(role="Started", more=' pending="Starting"'),
    ],
    ids=["no quorum", "offline", "unclean", "no fencing", "fencing starts"],
)
def test_the_wait_in_the_node_ends_when_the_cluster_has_formed(tmp_path: Path, not_yet: str) -> None:
    formed = [XML.format(role="Started", more=more) for more in ("", ' pending="Monitoring"')]
    for xml, often in [*((xml, False) for xml in formed), (not_yet, True)]:
        crm_mon = f"cat <<'X'\n{xml}\nX"
        assert (looks(tmp_path, until_formed(SECOND), crm_mon=crm_mon, systemctl="exit 0") > 1) is often


def test_the_fence_devices_may_come_later(tmp_path: Path) -> None:
    crm_mon = f"cat <<'X'\n{XML.format(role='Stopped', more='')}\nX"
    at_once = until_formed(SECOND, fencing=False)
    assert looks(tmp_path, at_once, crm_mon=crm_mon, systemctl="exit 0") == 1
    offline = crm_mon.replace('online="true"', 'online="false"')
    assert looks(tmp_path, at_once, crm_mon=offline, systemctl="exit 0") > 1


def test_without_pacemaker_nothing_is_waited_for(tmp_path: Path) -> None:
    assert looks(tmp_path, until_formed(SECOND), crm_mon="exit 1", systemctl="exit 3") == 0
