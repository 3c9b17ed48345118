"""Nodes as systemd containers, through the bubble's podman API (podman-py).

A node is a privileged container that sees the bubble's own /dev and a read-only
/proc/sys (docs/adr/0003-privileged-with-private-dev.md).
"""

from __future__ import annotations

import json
import logging
import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labctl.engine import container
from labctl.engine.base import Appliance, File, Machine, State
from labctl.engine.container import LABEL_APPLIANCE, LABEL_LAB, LABEL_SPEC, bridge_name, network_name
from labctl.engine.handle import Handle
from labctl.engine.podman_api import Api, first_file, pack, reason_of
from labctl.errors import ActionFailed
from labctl.run import Result

if TYPE_CHECKING:
    from labctl.lab.model import Lab, Network, NodeSpec

log = logging.getLogger(__name__)

MODULE_OF_PID1 = "labctl.bubble.init"
MOUNT_RACE = "/merged: no such file or directory"
MAKING = "_making"  # what a container is called until it has its files; no host name has an underscore
STATES = {
    "running": State.ON,
    "paused": State.FROZEN,
    "stopping": State.ON,
}


class PodmanNode(Handle["PodmanEngine"]):
    """Acts inside one container."""

    def run(
        self, argv: Sequence[str], *, timeout: float, check: bool = True, stdin: str | None = None
    ) -> Result:
        """Run a command as root. The node itself enforces the time-out, so nothing stays behind."""
        words = list(argv)
        if stdin is not None:
            words = ["sh", "-c", 'printf %s "$0" | "$@"', stdin, *words]
        rc, out, err = self._engine.execute(self._name, self.limited(words, timeout), timeout + 5)
        return self.judged(argv, rc, out, err, limit=timeout, check=check)


def network_document(network: Network) -> dict[str, Any]:
    """A lab's network as podman's API takes it, and as its network_config_dir holds it."""
    return {
        "name": network_name(network.name),
        "driver": "bridge",
        "network_interface": bridge_name(network.name),
        # The bridge has an address on internal networks, too: ssh and forwarded ports come from it.
        "subnets": [{"subnet": str(network.subnet), "gateway": str(network.bridge)}],
        "internal": network.internal,
        # Names come from the lab's own table; one resolver per network would only cost time.
        "dns_enabled": False,
        "ipam_options": {"driver": "host-local"},
    }


class PodmanEngine:
    """One lab's containers. Safe to use from several threads: each has its own connection."""

    def __init__(
        self, lab: str, socket: Path, *, limits: Mapping[str, tuple[int, int]] | None = None
    ) -> None:
        """limits: resource limits of new nodes, name (nofile, nproc) to (soft, hard); -1 is none."""
        self._lab = lab
        self._api = Api(lab, socket)
        self._limits = dict(limits or {})

    pace = 1.0  # the host's own

    # -- machines -------------------------------------------------------------------------

    def observe(self) -> Mapping[str, Machine]:
        return self._machines(appliances=False)

    def appliances(self) -> Mapping[str, Machine]:
        return self._machines(appliances=True)

    def _machines(self, *, appliances: bool) -> Mapping[str, Machine]:
        machines = {}
        for item in self._listed():
            name = item["Names"][0]
            labels = item.get("Labels") or {}
            if (LABEL_APPLIANCE in labels) is not appliances or name.endswith(MAKING):
                continue
            machines[name] = Machine(
                name=name,
                state=STATES.get(item["State"], State.OFF),
                image=item.get("ImageID", ""),
                spec_hash=labels.get(LABEL_SPEC, ""),
                started=str(item.get("StartedAt", "")),
                ended=int(item.get("ExitCode", 0)),
                labels=labels,
            )
        return machines

    def make_networks(self, lab: Lab) -> list[str]:
        present = {item["name"] for item in self._api.call("GET", "/networks/json").json() or ()}
        made = []
        for network in lab.networks:
            if network_name(network.name) in present:
                continue
            self._api.call("POST", "/networks/create", document=network_document(network))
            made.append(network.name)
        return made

    def create(self, lab: Lab, node: NodeSpec, image: str, files: Sequence[File]) -> None:
        self._create(container.of_node(self._lab, lab, node, image, self._limits), files)

    def create_appliance(self, appliance: Appliance, image: str, files: Sequence[File]) -> None:
        self._create(container.of_appliance(self._lab, appliance, image, self._limits), files)

    def _create(self, document: Mapping[str, Any], files: Sequence[File]) -> None:
        """Made aside and renamed, so that a machine that is there has its files, whenever we are killed."""
        name = str(document["name"])
        aside = f"{name}{MAKING}"
        self.remove(aside)
        self._api.call("POST", "/containers/create", document={**document, "name": aside})
        if files:
            self.put(aside, files)
        self._api.call("POST", f"/containers/{aside}/rename", params={"name": name})

    def start(self, name: str) -> None:
        if self._state(name) == "paused":
            self.thaw(name)
            return
        path = f"/containers/{name}/start"
        answer = self._api.call("POST", path, accept=(304, 500))
        if answer.status_code == 500:
            reason = reason_of(answer)
            if MOUNT_RACE not in reason:
                raise ActionFailed(f"podman refused to start {name}.", details=reason)
            # podman was still letting go of the mount that put() had needed; by now it has.
            log.warning("%s: a mount was in the way of its start; starting it again", name)
            self._api.call("POST", path, accept=(304,))

    def stop(self, name: str, *, timeout: float) -> None:
        if self._state(name) == "paused":
            self.power_off(name)
            return
        self._api.call(
            "POST",
            f"/containers/{name}/stop",
            params={"timeout": int(timeout)},
            timeout=timeout + 20,
            accept=(304,),
        )

    def remove(self, name: str) -> None:
        self._api.call(
            "DELETE",
            f"/containers/{name}",
            params={"force": "true", "timeout": 0, "volumes": "true"},
            accept=(404,),
        )

    # -- power ----------------------------------------------------------------------------

    def is_on(self, name: str) -> bool:
        return self._state(name) in ("running", "paused", "stopping")

    def power_off(self, name: str) -> None:
        """SIGKILL to the node's PID 1: the kernel then ends its whole PID namespace, frozen or not."""
        if not self.is_on(name):
            return
        answer = self._api.call(
            "POST", f"/containers/{name}/kill", params={"signal": "KILL"}, accept=(404, 409, 500)
        )
        if answer.status_code >= 400 and self._state(name) == "paused":
            # podman refuses to signal a paused container; a removed freeze would let it write on.
            self._kill_frozen(name)
        self._wait_off(name)

    def _kill_frozen(self, name: str) -> None:
        """Kill a frozen node's PID 1 ourselves; only the lab's own daemon shares its PID namespace."""
        document = self._api.call("GET", f"/containers/{name}/json").json()
        if MODULE_OF_PID1 not in Path("/proc/1/cmdline").read_text():
            raise ActionFailed(f"podman does not cut the power of {name}, which is frozen.")
        os.kill(int(document["State"]["Pid"]), signal.SIGKILL)

    def _wait_off(self, name: str) -> None:
        deadline = time.monotonic() + 20
        self._api.call(
            "POST",
            f"/containers/{name}/wait",
            params={"condition": ["stopped", "exited"], "interval": "20ms"},
            timeout=max(1.0, deadline - time.monotonic()),
        )

    def power_on(self, name: str) -> None:
        self.start(name)

    def freeze(self, name: str) -> None:
        self._api.call("POST", f"/containers/{name}/pause")

    def thaw(self, name: str) -> None:
        self._api.call("POST", f"/containers/{name}/unpause")

    def exits(self) -> Iterator[tuple[str, int]]:
        """Each node that is down, then each that goes down, with its exit code; ends when podman goes."""
        for item in self._listed():
            if STATES.get(item["State"], State.OFF) is State.OFF and item["State"] != "created":
                yield item["Names"][0], int(item.get("ExitCode", 0))
        filters = json.dumps({"event": ["died"], "label": [f"{LABEL_LAB}={self._lab}"]})
        answer = self._api.call(
            "GET", "/events", params={"stream": "true", "filters": filters}, timeout=None, stream=True
        )
        for line in self._api.lines(answer):
            told = json.loads(line)
            if "Actor" not in told:  # podman lost its event log's place and says so in the stream
                raise ActionFailed("podman's stream of events broke.", details=str(told)[:500])
            attributes = told["Actor"]["Attributes"]
            yield attributes["name"], int(attributes["containerExitCode"])

    # -- inside ---------------------------------------------------------------------------

    def node(self, name: str) -> PodmanNode:
        return PodmanNode(self, name)

    def put(self, name: str, files: Sequence[File]) -> None:
        self._api.call(
            "PUT",
            f"/containers/{name}/archive",
            params={"path": "/", "copyUIDGID": "false"},
            data=pack(files),
        )

    def get(self, name: str, path: str) -> bytes:
        answer = self._api.call("GET", f"/containers/{name}/archive", params={"path": path})
        content = first_file(answer.content)
        if content is None:
            raise ActionFailed(f"{path} on {name} is not a file.")
        return content

    def execute(self, name: str, argv: Sequence[str], timeout: float) -> tuple[int, str, str]:
        """One exec: exit code, stdout, stderr."""
        from podman.api.output_utils import demux_output

        document = {"AttachStdout": True, "AttachStderr": True, "Cmd": list(argv), "Env": ["LC_ALL=C.UTF-8"]}
        made = self._api.call("POST", f"/containers/{name}/exec", document=document).json()["Id"]
        ran = self._api.call(
            "POST",
            f"/exec/{made}/start",
            document={"Detach": False, "Tty": False},
            timeout=timeout,
            what=argv,
        )
        out, err = demux_output(ran.content)
        code = self._api.call("GET", f"/exec/{made}/json").json()["ExitCode"]
        return int(code), (out or b"").decode(errors="replace"), (err or b"").decode(errors="replace")

    def console(self, name: str) -> str:
        from podman.api.output_utils import demux_output

        answer = self._api.call(
            "GET",
            f"/containers/{name}/logs",
            params={"stdout": "true", "stderr": "true", "tail": "30"},
            accept=(404,),
        )
        out, err = demux_output(answer.content) if answer.status_code == 200 else (b"", b"")
        return ((out or b"") + (err or b"")).decode(errors="replace")

    def close(self) -> None:
        self._api.close()

    def _listed(self) -> list[dict[str, Any]]:
        filters = json.dumps({"label": [f"{LABEL_LAB}={self._lab}"]})
        listed: list[dict[str, Any]] | None = self._api.call(
            "GET", "/containers/json", params={"all": "true", "filters": filters}
        ).json()
        return listed or []

    def _state(self, name: str) -> str:
        answer = self._api.call("GET", f"/containers/{name}/json", accept=(404,))
        return str(answer.json()["State"]["Status"]) if answer.status_code == 200 else "missing"
