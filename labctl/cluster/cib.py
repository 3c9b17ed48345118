"""The cluster's first CIB: properties, one fence_ipmilan per node, and the topology for them.

Put in place before the daemons start, so that fencing is on from the first transition.
Pacemaker Explained, https://clusterlabs.org/projects/pacemaker/doc/2.1/Pacemaker_Explained/
"""

from __future__ import annotations

from xml.etree import ElementTree as ET

from labctl.lab.model import Lab, NodeSpec

MONITOR = "60s"  # what pcs gives a fence device


def fence_device(node: NodeSpec) -> str:
    """The id of the node's fence device."""
    return f"fence-{node.name}"


def first_cib(lab: Lab, empty: str) -> str:
    """A CIB to start the lab's cluster with.

    empty: what `cibadmin --empty` of the nodes' own Pacemaker prints, so that feature set and
    schema are the ones that it speaks.
    """
    cib = ET.fromstring(empty)  # noqa: S314 (our own image's words, no stranger's)
    configuration = _child(cib, "configuration")
    properties = ET.SubElement(
        _child(configuration, "crm_config"), "cluster_property_set", id="cib-bootstrap-options"
    )
    wanted = {
        # Nodes start together, so the first election need not wait the default 20 s for more of them.
        "dc-deadtime": lab.cluster.dc_deadtime,
        "stonith-enabled": "true" if lab.fencing.enabled else "false",
        **lab.cluster.properties,
    }
    _nvpairs(properties, "cib-bootstrap-options", wanted)
    if lab.cluster.op_timeout:
        defaults = ET.SubElement(_child(configuration, "op_defaults"), "meta_attributes", id="op-defaults")
        _nvpairs(defaults, "op-defaults", {"timeout": lab.cluster.op_timeout})
    if lab.fencing.enabled:
        resources, constraints = _child(configuration, "resources"), _child(configuration, "constraints")
        topology = ET.SubElement(configuration, "fencing-topology")
        for node in lab.nodes:
            _fence_device(lab, node, resources, constraints, topology)
    ET.indent(cib)
    return ET.tostring(cib, encoding="unicode") + "\n"


def fence_options(lab: Lab, node: NodeSpec) -> dict[str, str]:
    """The options of fence_ipmilan(8) for one node."""
    return {
        "ip": str(lab.bmc_address),
        "ipport": str(node.bmc_port),
        "lanplus": "1",
        "password": lab.fencing.password,
        "pcmk_host_list": node.hostname,
        # The BMC cuts the power before it answers, so there is nothing to wait for after a command.
        "power_wait": "0",
        "username": lab.fencing.user,
    }


def _fence_device(
    lab: Lab, node: NodeSpec, resources: ET.Element, constraints: ET.Element, topology: ET.Element
) -> None:
    name = fence_device(node)
    device = {"id": name, "class": "stonith", "type": "fence_ipmilan"}
    primitive = ET.SubElement(resources, "primitive", device)
    attributes = ET.SubElement(primitive, "instance_attributes", id=f"{name}-instance_attributes")
    _nvpairs(attributes, f"{name}-instance_attributes", fence_options(lab, node))
    operations = ET.SubElement(primitive, "operations")
    interval = lab.fencing.monitor or MONITOR
    ET.SubElement(
        operations, "op", id=f"{name}-monitor-interval-{interval}", interval=interval, name="monitor"
    )
    ET.SubElement(
        constraints,
        "rsc_location",
        {
            "id": f"location-{name}-{node.name}",
            "rsc": name,
            "node": node.hostname,
            "score": "-INFINITY",
        },
    )
    ET.SubElement(
        topology, "fencing-level", id=f"fl-{node.hostname}-1", target=node.hostname, index="1", devices=name
    )


def _nvpairs(parent: ET.Element, prefix: str, pairs: dict[str, str]) -> None:
    for name in sorted(pairs):
        ET.SubElement(parent, "nvpair", id=f"{prefix}-{name}", name=name, value=pairs[name])


def _child(parent: ET.Element, name: str) -> ET.Element:
    found = parent.find(name)
    return found if found is not None else ET.SubElement(parent, name)
