"""What `up` reads from crm_mon's XML."""

from __future__ import annotations

import pytest

from labctl.cluster.state import parse, parse_view

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
