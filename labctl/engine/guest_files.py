"""What a virtual machine needs on its disk that a container gets from outside."""

from __future__ import annotations

import shlex
import uuid
from typing import TYPE_CHECKING

from labctl.engine.base import Appliance, File
from labctl.engine.container import mac
from labctl.engine.domain import APPLIANCE_TARGET, EMULATED

if TYPE_CHECKING:
    from labctl.lab.model import Interface, Lab, NodeSpec

PROFILES = "/etc/NetworkManager/system-connections"
UNITS = "/etc/systemd/system"
# pcsd takes more processor time to start than all the rest of a boot, and Pacemaker gives a fence agent
# ten seconds to describe itself; so on an emulated machine it starts behind the cluster: `up` starts it
# then, and after a reboot this timer does.
PCSD_TIMER = """\
[Unit]
Description=pcsd, when the cluster has had time to start
[Timer]
OnBootSec={late}s
Unit=pcsd.service
"""
PCSD_AFTER_PACE = 25  # s of a machine under KVM
# The program binds the machine's address. $$ is systemd's way to write $.
AWAIT_ADDRESS = (
    'n=0; until ip -4 -o address | grep -qF " {address}/"; do '
    "n=$$((n+1)); [ $$n -lt 600 ] || exit 1; sleep 0.1; done"
)
# slirp4netns(1): its name server.
RESOLVER = "10.0.2.3"
SYSTEMD_SECONDS = 90  # systemd's own default
# Nothing of a cluster and no time service: the machine has one task.
APPLIANCE_UNITS = {
    APPLIANCE_TARGET: """\
[Unit]
Description=The one program of this machine
Requires=basic.target labctl-appliance.service
Wants=NetworkManager.service qemu-guest-agent.service
After=basic.target
AllowIsolate=yes
""",
    "labctl-appliance.service": """\
[Unit]
Description={name}
Wants=NetworkManager.service
After=NetworkManager.service sys-kernel-config.mount
[Service]
ExecStartPre=/bin/sh -c '{wait}'
ExecStart={program}
Restart=on-failure
RestartSec=1
StandardOutput=journal+console
StandardError=journal+console
""",
}  # fmt: skip


def network_files(lab: Lab, node: NodeSpec) -> list[File]:
    """A NetworkManager profile for each of the node's legs."""
    return [_profile(lab, node, leg) for leg in node.interfaces]


def identity_files() -> list[File]:
    """A machine's own id and ssh keys: making them in the machine would take it seconds.

    machine-id(5); sshd(8), FILES.
    """
    # Imported by who makes machines: the lab's daemon looks after them without.
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
    )

    files = [File("/etc/machine-id", f"{uuid.uuid4().hex}\n".encode(), mode=0o444)]
    keys: dict[str, ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey] = {
        "ed25519": ed25519.Ed25519PrivateKey.generate(),
        "ecdsa": ec.generate_private_key(ec.SECP256R1()),
    }
    for kind, key in keys.items():
        path = f"/etc/ssh/ssh_host_{kind}_key"
        secret = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
        public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
        files += [File(path, secret, mode=0o600), File(f"{path}.pub", public + b"\n")]
    return files


def pace_files(pace: float) -> list[File]:
    """What makes an emulated machine's services wait as long as they need; none under KVM."""
    if pace <= EMULATED:
        return []
    limit = f"{SYSTEMD_SECONDS * pace:.0f}"
    words = ("DefaultTimeoutStartSec", "DefaultTimeoutStopSec", "DefaultDeviceTimeoutSec")
    manager = "[Manager]\n" + "".join(f"{word}={limit}\n" for word in words)
    late = f"{PCSD_AFTER_PACE * pace:.0f}"
    return [
        File("/etc/systemd/system.conf.d/vm-pace.conf", manager.encode()),
        # A link to nothing takes the dependency away (systemd.unit(5)).
        *(
            File(f"{UNITS}/multi-user.target.wants/{unit}", b"", link_to="/dev/null")
            for unit in ("pcsd.service", "pcsd-ruby.service")
        ),
        File(f"{UNITS}/labctl-pcsd.timer", PCSD_TIMER.format(late=late).encode()),
        File(f"{UNITS}/timers.target.wants/labctl-pcsd.timer", b"", link_to=f"{UNITS}/labctl-pcsd.timer"),
    ]


def appliance_files(appliance: Appliance) -> list[File]:
    """The appliance's name, address, and the unit that runs its program."""
    values = {
        "name": appliance.name,
        "wait": AWAIT_ADDRESS.format(address=appliance.address),
        "program": shlex.join(appliance.argv),
    }
    text = profile("eth0", mac(appliance.name, "eth0"), f"{appliance.address}/{appliance.prefix}", "")
    return [
        File("/etc/hostname", f"{appliance.hostname}\n".encode()),
        File(f"{PROFILES}/eth0.nmconnection", text.encode(), mode=0o600),
        *(
            File(f"{UNITS}/{unit}", (content.format(**values) if "{" in content else content).encode())
            for unit, content in APPLIANCE_UNITS.items()
        ),
    ]


def _profile(lab: Lab, node: NodeSpec, leg: Interface) -> File:
    network = lab.network(leg.network)
    address = f"{leg.address}/{network.subnet.prefixlen}"
    way_out = "" if network.internal else str(network.bridge)
    text = profile(leg.name, mac(node.name, leg.name), address, way_out)
    return File(f"{PROFILES}/{leg.name}.nmconnection", text.encode(), mode=0o600)


def profile(name: str, hardware: str, address: str, gateway: str) -> str:
    """A keyfile (nm-settings-keyfile(5)). gateway: the way outside, "" for none."""
    lines = ["[connection]", f"id={name}", f"uuid={uuid.uuid5(uuid.NAMESPACE_DNS, f'{name} {address}')}",
             "type=ethernet", f"interface-name={name}", "autoconnect=true", "",
             "[ethernet]", f"mac-address={hardware}", "",
             "[ipv4]", "method=manual", f"address1={address}{',' if gateway else ''}{gateway}"]  # fmt: skip
    lines += [f"dns={RESOLVER};"] if gateway else ["never-default=true"]
    return "\n".join([*lines, "", "[ipv6]", "method=disabled", ""])
