"""What `up` reads from crm_mon's XML."""

from __future__ import annotations

import pytest

from labctl.cluster.state import parse_view

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
