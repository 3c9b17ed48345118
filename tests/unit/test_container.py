"""What podman is told to make of a node and of an appliance."""

from __future__ import annotations

from labctl.engine import container
from labctl.engine.base import Appliance
from labctl.lab.load import load_lab

LAB = load_lab("x")
TARGET = Appliance("target", "target.example.com", ("/bin/serve",), "storage", "192.168.100.100")


def cards(document: dict[str, object]) -> list[str]:
    networks = document["networks"]
    assert isinstance(networks, dict)
    return [leg["static_mac"] for leg in networks.values()]


def test_every_card_has_an_address_of_its_own_and_keeps_it() -> None:
    made = [container.of_node("x", LAB, node, "image", {}) for node in LAB.nodes]
    made.append(container.of_appliance("x", TARGET, "image", {}))
    addresses = [address for document in made for address in cards(document)]
    assert len(set(addresses)) == len(addresses) == 13
    assert all(int(address[:2], 16) & 3 == 2 for address in addresses), "one machine's, given locally"
    assert cards(container.of_appliance("x", TARGET, "another image", {})) == cards(made[-1])
