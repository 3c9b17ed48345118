"""The plain sequence: the commands that a course tells a learner to type, one after the other.

Same bubble, same image, same nodes as `labctl up`; everything that labctl does better is left out:
nodes start in turn, pcs makes the cluster and the fencing, and each step waits for the one before.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from labctl.bubble import start as bubble
from labctl.cluster import state
from labctl.cluster.cib import fence_device, fence_options
from labctl.engine.base import File, Node
from labctl.errors import LabError
from labctl.image.build import find_image
from labctl.image.store import ImageStore
from labctl.lab import bubble as lab_bubble
from labctl.lab.down import take_down
from labctl.lab.load import load_lab
from labctl.lab.model import Lab
from labctl.places import image_store, lab_places
from labctl.wait import wait_until

BOOT_SECONDS = 120
PCS_SECONDS = 600
# Not part of the plain sequence's sum: a person's podman needs no bubble.
APART = "bubble"


class Steps:
    """Times of named steps, in seconds, in the order in which they came."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - began

    @property
    def total(self) -> float:
        """The whole sequence without the bubble's own start."""
        return sum(spent for name, spent in self.seconds.items() if name != APART)


def plain(lab_name: str, nodes: int, family: str) -> Steps:
    """Make the cluster by hand and leave it running; the caller takes the lab down.

    Raises LabError. The node image must be there.
    """
    lab = load_lab(lab_name, nodes=nodes).model_copy(update={"family": family})
    store = ImageStore(image_store())
    image = find_image(lab.family, store=store)
    if image is None:
        raise LabError("There is no up-to-date node image to measure with.", mend="labctl build")
    places = lab_places(lab_name)
    steps = Steps()
    with steps.step(APART):
        bubble.start(places, lab_bubble.prepare(lab, places, store.graph_root))
    engine = lab_bubble.engine(lab_name, places)
    try:
        with steps.step("start containers"):
            engine.make_networks(lab)
            hosts = File("/etc/hosts", lab.hosts_table().encode())
            for node in lab.nodes:
                engine.create(lab, node, image.id, [hosts])
                engine.start(node.name)
        with steps.step("wait for boot"):
            for node in lab.nodes:
                _wait_for_boot(engine.node(node.name))
        _cluster(lab, engine.node(lab.nodes[0].name), steps)
    finally:
        engine.close()
    return steps


def _wait_for_boot(node: Node) -> None:
    """systemctl(1) waits by itself, once there is a systemd to ask."""

    def booted() -> bool:
        asked = node.run(["systemctl", "is-system-running", "--wait"], timeout=BOOT_SECONDS, check=False)
        return asked.stdout.strip() in ("running", "degraded")

    wait_until(f"{node.name} to boot", booted, timeout=BOOT_SECONDS, every=0.2)


def _cluster(lab: Lab, first: Node, steps: Steps) -> None:
    names = [node.hostname for node in lab.nodes]
    password = lab.credentials.hacluster_password

    def pcs(*words: str) -> None:
        first.run(["pcs", *words], timeout=PCS_SECONDS)

    with steps.step("pcs host auth"):
        pcs("host", "auth", *names, "-u", "hacluster", "-p", password)
    with steps.step("pcs cluster setup --start --enable --wait"):
        pcs("cluster", "setup", lab.cluster.name, *names, "--start", "--enable", "--wait")
    with steps.step("pcs stonith create, constraints, levels"):
        for node in lab.nodes:
            device = fence_device(node)
            options = [f"{key}={value}" for key, value in fence_options(lab, node).items()]
            pcs("stonith", "create", device, "fence_ipmilan", *options)
            pcs("constraint", "location", device, "avoids", node.hostname)
            pcs("stonith", "level", "add", "1", node.hostname, device)
    with steps.step("wait for all"):
        wait_until("the cluster", lambda: _whole(first, names), timeout=PCS_SECONDS, every=0.2)


def _whole(first: Node, names: list[str]) -> bool:
    """What `labctl up` waits for, too: all online, a DC, quorum, every fence device started."""
    view = state.ask(first).view
    if view is None or not view.dc or not view.quorate or set(names) - view.online:
        return False
    return len(view.fencing) == len(names) and set(view.fencing.values()) == {"Started"}


def clear(lab_name: str) -> None:
    """Take a bench's lab down, whatever state it is in."""
    if not lab_name.startswith("bench-"):
        raise ValueError(f"{lab_name} is not a bench's lab")
    take_down(lab_name, say=lambda _: None, patience=30)


def cpus_and_memory() -> tuple[str, float]:
    """The processor's name and the memory in GiB, for the table's caption."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        "unknown processor",
    )
    total = int(Path("/proc/meminfo").read_text().split()[1])
    return model, total / 1024**2
